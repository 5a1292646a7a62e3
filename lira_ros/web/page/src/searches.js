// What is looked for: the composer, what came of it, and a card for each instruction.

import { byId, keepList, make, notify, say } from "./dom.js";

const STATES = {
  pending: "waiting",
  searching: "searching",
  found: "found",
  none_conform: "none fits",
  cancelled: "cancelled",
  failed: "failed",
};
const EXAMPLES = [
  "Find something to sit on near the window.",
  "Where can we have dinner together?",
  "Which table is the largest?",
  "I spilled coffee.",
];
const MOST_SUGGESTIONS = 4;

export class Searches {
  constructor(connection, { selected }) {
    this.connection = connection;
    this.selected = selected;
    this.chosen = null; // id of the instruction that the person has chosen
    this.replaced = null;
    this.text = byId("text");
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.#submit();
      } else if (event.key === "Escape") this.#replace(null);
    });
    this.text.addEventListener("input", () => this.#typed());
    byId("keep").addEventListener("click", () => this.#replace(null));
    this.#typed();
  }

  /** Return the id of the instruction whose things are shown, null when there is none. */
  current() {
    return this.chosen;
  }

  show(instructions, instances) {
    const items = [...instructions].map(([id, value]) => ({ id, ...value })).sort((a, b) => b.order - a.order);
    if (!instructions.has(this.chosen)) this.chosen = items[0]?.id ?? null;
    if (this.fresh && instructions.has(this.fresh)) {
      this.chosen = this.fresh;
      this.fresh = null;
    }
    if (this.replaced && !instructions.has(this.replaced)) this.#replace(null);
    byId("no-searches").hidden = items.length > 0;
    byId("searches-heading").hidden = items.length === 0;
    keepList(byId("searches"), items, {
      key: (item) => item.id,
      create: (item) => this.#card(item.id),
      update: (card, item) => this.#update(card, item),
    });
    this.#suggest(instances);
  }

  #card(id) {
    const card = make(
      "li",
      { className: "card" },
      make(
        "button",
        { type: "button", className: "card-main", onclick: () => this.#choose(id) },
        make("span", { className: "card-title" }, make("span", { className: "words" }), make("span", { className: "state" })),
        make("span", { className: "card-text understood" }),
        make("span", { className: "card-text reason" }),
        make("div", { className: "progress", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, make("i")),
      ),
      make(
        "div",
        { className: "card-actions" },
        make("button", { type: "button", className: "change", onclick: () => this.#replace(id) }, "Change"),
        make("button", { type: "button", className: "cancel", onclick: () => this.#cancel(id) }, "Cancel"),
      ),
    );
    return card;
  }

  #update(card, item) {
    const find = (selector) => card.querySelector(selector);
    card.dataset.selected = String(item.id === this.chosen);
    card.words = item.text;
    find(".card-main").setAttribute("aria-pressed", String(item.id === this.chosen));
    say(find(".words"), item.text);
    const state = find(".state");
    say(state, item.state === "found" && item.found > 1 ? `${item.found} found` : (STATES[item.state] ?? item.state));
    state.dataset.state = item.state;
    say(find(".understood"), item.understood && item.understood !== item.text ? `Understood as: ${item.understood}` : "");
    say(find(".reason"), item.reason);
    const all = item.answered + item.pending;
    const share = all ? item.answered / all : 0;
    const progress = find(".progress");
    progress.hidden = !item.pending;
    progress.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    progress.setAttribute("aria-label", `${item.answered} of ${all} pictures looked at`);
    progress.firstChild.style.transform = `scaleX(${share})`;
    progress.firstChild.style.width = "100%";
    find(".change").setAttribute("aria-label", `Change ${item.text}`);
    find(".cancel").setAttribute("aria-label", `Cancel ${item.text}`);
  }

  #choose(id) {
    this.chosen = id;
    this.selected();
  }

  #typed() {
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight}px`;
    byId("send").disabled = this.text.value.trim() === "";
  }

  #replace(id) {
    const before = this.replaced;
    this.replaced = id;
    const card = [...byId("searches").children].find((item) => item.dataset.key === id);
    byId("replacing").hidden = id === null;
    if (id !== null) {
      say(byId("replacing").firstElementChild, `Replaces “${card?.words ?? id}”`);
      this.text.value = card?.words ?? "";
      this.text.focus();
      this.text.select();
    } else if (before !== null) this.text.value = "";
    this.#typed();
  }

  async #submit() {
    const text = this.text.value.trim();
    if (!text || this.busy) return;
    this.busy = true;
    const said = byId("said");
    say(said, "Asking…");
    const replaces = this.replaced;
    const answer = await this.connection.call("submit", { text, id: replaces ?? "", replace: replaces !== null });
    this.busy = false;
    if (answer.success) {
      this.replaced = null;
      byId("replacing").hidden = true;
      this.text.value = "";
      this.fresh = answer.values.id;
      say(said, answer.values.understood ? `Understood as: ${answer.values.understood}` : answer.message, "good");
    } else {
      say(said, answer.message, "bad");
    }
    this.#typed();
    this.selected();
  }

  async #cancel(id) {
    const answer = await this.connection.call("cancel", { id });
    if (!answer.success) notify(answer.message, "bad");
  }

  /** Offer what can be asked, in part about what was seen. */
  #suggest(instances) {
    const seen = new Map();
    for (const { label, colors } of instances.values()) {
      if (label) seen.set(label, [...(seen.get(label) ?? []), colors[0]?.[0] ?? ""]);
    }
    const own = [...seen].sort((a, b) => b[1].length - a[1].length || a[0].localeCompare(b[0])).map(([label, colors]) => {
      if (colors.length > 1) return `Which ${label} is the largest?`;
      return colors[0] ? `Find the ${colors[0]} ${label}.` : `Find the ${label}.`;
    });
    const texts = [...own.slice(0, 2), ...EXAMPLES].slice(0, MOST_SUGGESTIONS);
    keepList(byId("suggestions"), texts, {
      key: (text) => text,
      create: (text) =>
        make(
          "li",
          {},
          make("button", {
            type: "button",
            onclick: () => {
              this.text.value = text;
              this.text.focus();
              this.#typed();
            },
          }, text),
        ),
      update: () => {},
    });
  }
}
