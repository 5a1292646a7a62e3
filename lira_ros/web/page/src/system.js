// How the robot and the connection are: a line in the bar, and a panel with rates, delays and the health of the nodes.

import { byId, keepList, make, notify, say } from "./dom.js";

// From the diagnostics of the nodes: what a person wants to know, which node says it, and under which name.
const MEASURES = [
  ["Camera pictures mapped", "mapping_node", "frames mapped"],
  ["From picture to map", "mapping_node", "stage sensor stamp to map"],
  ["From picture to thing", "fusion_node", "stage sensor stamp to published instance"],
];

const delay = (milliseconds) =>
  milliseconds >= 1000 ? `${(milliseconds / 1000).toFixed(1)} s` : `${Math.max(1, Math.round(milliseconds))} ms`;

/** Return a rate as it is, and of a stage of the work how long it takes as a rule. */
function inWords(value) {
  const median = /p50 ([\d.]+) ms/.exec(value ?? "");
  return median ? delay(Number(median[1])) : (value ?? null);
}

export class System {
  constructor(connection) {
    this.connection = connection;
    this.state = "connecting";
    this.text = "Connecting";
    this.roundTrip = null;
    byId("connection").addEventListener("click", () => this.#toggle());
    byId("close-system").addEventListener("click", () => this.#toggle(false));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#toggle(false);
    });
    byId("pause").addEventListener("click", async () => {
      const answer = await connection.call(this.paused ? "resume" : "pause");
      if (answer.success) this.#setPaused(!this.paused);
      notify(answer.success ? (this.paused ? "Mapping is paused." : "Mapping goes on.") : answer.message, answer.success ? "" : "bad");
    });
    this.#pill([]);
  }

  connected(state, text) {
    this.state = state;
    this.text = text;
    if (state !== "live") this.roundTrip = null;
    for (const id of ["pause", "save", "reset"]) byId(id).disabled = state !== "live";
    this.#pill([]);
  }

  measured(milliseconds) {
    this.roundTrip = milliseconds;
    this.#pill(this.troubled ?? []);
  }

  show(health) {
    const nodes = [...health].map(([name, value]) => ({ ...value, name })).sort((a, b) => a.name.localeCompare(b.name));
    this.troubled = nodes.filter((node) => node.level > 0);
    if (nodes.length && !health.has("mapping_node")) this.troubled = [{ silent: true }];
    this.#pill(this.troubled);
    const paused = health.get("mapping_node")?.values.paused;
    if (paused !== undefined) this.#told(/^true$/i.test(paused));
    const rows = MEASURES.map(([title, node, key]) => [title, inWords(health.get(node)?.values[key])]);
    rows.push(["From page to robot and back", this.roundTrip === null ? null : delay(this.roundTrip)]);
    const text = JSON.stringify(rows);
    const list = byId("measures");
    if (list.dataset.told !== text) {
      list.dataset.told = text;
      list.replaceChildren(...rows.flatMap(([title, value]) => [make("dt", {}, title), make("dd", {}, value ?? "–")]));
    }
    keepList(byId("nodes"), nodes, {
      key: (node) => node.name,
      create: () =>
        make(
          "li",
          { className: "node" },
          make("details", {}, make("summary", {}, make("span", { className: "dot", "aria-hidden": "true" }), make("span", { className: "name" })), make("dl")),
          make("p"),
        ),
      update: (element, node) => this.#update(element, node),
    });
  }

  #update(element, node) {
    element.dataset.state = node.level === 0 ? "live" : node.level === 1 ? "warning" : "offline";
    say(element.querySelector(".name"), node.name);
    say(element.querySelector("p"), node.level === 0 ? "" : `${node.level === 1 ? "Warning" : "Error"}: ${node.message}`);
    const list = element.querySelector("dl");
    if (element.querySelector("details").open) {
      list.replaceChildren(
        ...Object.entries(node.values).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
      );
    }
  }

  #pill(troubled) {
    const pill = byId("connection");
    const live = this.state === "live";
    pill.dataset.state = live && troubled.length ? "warning" : this.state;
    const trip = this.roundTrip === null ? "" : ` · ${delay(this.roundTrip)}`;
    let text = this.text;
    if (live && troubled.length) text = troubled[0].silent ? "No mapping" : troubled.length === 1 ? "1 warning" : `${troubled.length} warnings`;
    say(byId("connection-text"), live && !troubled.length ? `Live${trip}` : text);
    pill.setAttribute("aria-label", `${text}. Show the state of the system`);
  }

  /** Take over what the robot tells, unless a person has just pressed the button. */
  #told(paused) {
    if (performance.now() - (this.pressed ?? -1e9) > 2500) this.#setPaused(paused, false);
  }

  #setPaused(paused, pressed = true) {
    if (pressed) this.pressed = performance.now();
    this.paused = paused;
    byId("pause").setAttribute("aria-pressed", String(paused));
    byId("pause").setAttribute("aria-label", paused ? "Go on mapping" : "Pause mapping");
    say(byId("pause").querySelector("span"), paused ? "Go on" : "Pause");
  }

  #toggle(open) {
    const narrow = getComputedStyle(document.querySelector(".tabs")).display !== "none";
    if (narrow && open === undefined) {
      document.querySelector('.tabs [data-tab="system"]').click();
      return;
    }
    document.body.classList.toggle("system-open", open);
  }
}
