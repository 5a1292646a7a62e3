// The WebSocket: connects, connects again, answers calls by number, and confirms what it has received.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
const REFUSED_WAIT_MS = 15000;
// A page that nobody sees lets go of the robot's network after this long.
const HIDDEN_MS = 60000;
const ROUND_TRIP_MS = 3000;
const TOO_MANY_PAGES = 4003;
const TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i2: Int16Array, f4: Float32Array };
const decoder = new TextDecoder();

/** Return head and arrays of a binary frame; the arrays lie in it. */
export function readFrame(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(decoder.decode(new Uint8Array(buffer, 4, length)));
  let position = 4 + length;
  head.arrays = head.arrays.map(([type, count]) => {
    position += -position & 3;
    const array = new TYPES[type](buffer, position, count);
    position += array.byteLength;
    return array;
  });
  return head;
}

export class Connection {
  /** handlers: opened(), changed(key, value), gone(key), frame(head), status(state, text), needsToken() */
  constructor(handlers) {
    this.handlers = handlers;
    this.wait = FIRST_WAIT_MS;
    this.waiting = new Map();
    this.number = 0;
    this.roundTrip = null;
    document.addEventListener("visibilitychange", () => this.#seen());
    window.addEventListener("online", () => this.connect());
    setInterval(() => this.#measure(), ROUND_TRIP_MS);
  }

  get live() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** Connect now, whatever was planned. */
  async connect() {
    clearTimeout(this.retry);
    if (this.live || this.connecting) return;
    this.connecting = true;
    try {
      const response = await fetch("session", { cache: "no-store" });
      if (!response.ok) throw new Error((await response.text()).trim());
      if (!(await response.json()).signed_in) {
        this.handlers.status("offline", "Needs a token");
        this.handlers.needsToken();
        return;
      }
      this.#open();
    } catch (error) {
      this.#again(error instanceof TypeError ? "" : error.message);
    } finally {
      this.connecting = false;
    }
  }

  /** Show the token once; returns what was wrong, "" when nothing was. */
  async signIn(token) {
    try {
      const response = await fetch("session", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ token }),
      });
      return response.ok ? "" : (await response.text()).trim();
    } catch {
      return "The robot does not answer.";
    }
  }

  /** Ask for something; resolves to {success, message, values} and never rejects. */
  call(name, values = {}) {
    if (!this.live) return Promise.resolve({ success: false, message: "Not connected to the robot.", values: {} });
    const number = ++this.number;
    return new Promise((resolve) => {
      this.waiting.set(number, resolve);
      this.socket.send(JSON.stringify({ call: name, number, arguments: values }));
    });
  }

  #open() {
    const address = new URL("socket", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.received = 0;
    socket.onopen = () => {
      this.wait = FIRST_WAIT_MS;
      this.handlers.opened();
      this.handlers.status("live", "Live");
      this.#measure();
    };
    socket.onmessage = ({ data }) => {
      try {
        if (typeof data === "string") this.#text(JSON.parse(data));
        else this.handlers.frame(readFrame(data));
      } finally {
        this.received += 1;
        if (socket.readyState === WebSocket.OPEN) socket.send(`{"received":${this.received}}`);
      }
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = undefined;
      for (const resolve of this.waiting.values()) resolve({ success: false, message: "The connection was lost.", values: {} });
      this.waiting.clear();
      if (event.code === TOO_MANY_PAGES) this.wait = REFUSED_WAIT_MS;
      if (!this.resting) this.#again(event.code === TOO_MANY_PAGES ? event.reason : "");
    };
  }

  #text(message) {
    if (message.kind === "answer") {
      this.waiting.get(message.number)?.(message);
      this.waiting.delete(message.number);
      return;
    }
    for (const [key, value] of message.changed) this.handlers.changed(key, value);
    for (const key of message.gone) this.handlers.gone(key);
    this.handlers.told();
  }

  #again(reason) {
    const wait = this.wait;
    this.wait = Math.min(LONGEST_WAIT_MS, 2 * wait);
    this.handlers.status("offline", reason || "No connection, trying again");
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.connect(), wait * (0.75 + 0.5 * Math.random()));
  }

  #seen() {
    clearTimeout(this.rest);
    if (document.hidden) {
      this.rest = setTimeout(() => {
        this.resting = true;
        clearTimeout(this.retry);
        this.socket?.close();
      }, HIDDEN_MS);
    } else {
      this.resting = false;
      this.wait = FIRST_WAIT_MS;
      this.connect();
    }
  }

  async #measure() {
    if (!this.live || document.hidden) return;
    const began = performance.now();
    if ((await this.call("echo")).success) {
      this.roundTrip = performance.now() - began;
      this.handlers.measured(this.roundTrip);
    }
  }
}
