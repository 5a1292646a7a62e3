// What was found: the list, what is known of each thing, and which one is selected in list and map.

import { byId, keepList, make, meters, percent, say, sizeText } from "./dom.js";

const VERDICTS = { conforms: "fits", undecided: "undecided", rejected: "does not fit" };
const RANK = { conforms: 0, undecided: 1, rejected: 2 };
// Pictures are asked for again while a thing is looked at, since better ones come.
const PICTURES_MS = 6000;

/** Return verdict, score and reason of a thing for an instruction. */
const judged = (thing, instruction) => thing.verdicts[instruction] ?? { verdict: "undecided", score: null, reason: "" };

export class Things {
  constructor(connection, world, { changed }) {
    this.connection = connection;
    this.world = world;
    this.changed = changed;
    this.selected = null;
    this.all = false;
    this.urls = [];
    for (const [id, all] of [["only-fitting", false], ["all-things", true]]) {
      byId(id).addEventListener("click", () => {
        this.all = all;
        byId("only-fitting").setAttribute("aria-pressed", String(!all));
        byId("all-things").setAttribute("aria-pressed", String(all));
        this.changed();
      });
    }
  }

  /** Select a thing, or nothing with null. from: "map" or "list". */
  select(id, { from }) {
    this.selected = id === this.selected && from === "list" ? null : id;
    this.#forgetPictures();
    if (this.selected !== null) {
      if (from === "list") this.world?.show(id);
      else this.opened?.();
      this.#fetchPictures();
    }
    this.scroll = from === "map";
    this.changed();
  }

  show(instances, instruction, instructions) {
    const items = [...instances.values()].map((thing) => ({ ...thing, ...judged(thing, instruction) }));
    items.sort((a, b) => RANK[a.verdict] - RANK[b.verdict] || (b.score ?? 0) - (a.score ?? 0) || a.id - b.id);
    if (this.selected !== null && !instances.has(String(this.selected))) this.#follow(instances);
    const shown = items.filter((item) => this.all || item.verdict === "conforms" || item.id === this.selected);
    const fitting = items.filter((item) => item.verdict === "conforms").length;
    const count = byId("found-count");
    count.hidden = fitting === 0;
    say(count, String(fitting));
    const asked = instructions.get(instruction);
    say(byId("things-about"), asked ? `For “${asked.text}”` : "");
    say(byId("no-things"), shown.length ? "" : this.#nothing(asked, items.length));
    keepList(byId("things"), shown, {
      key: (item) => item.id,
      create: (item) => this.#card(item.id),
      update: (card, item) => this.#update(card, item),
    });
    this.world?.setThings(
      shown.map((item) => ({ id: item.id, title: item.label || `thing ${item.id}`, box: item.box, verdict: item.verdict })),
      this.selected,
    );
    if (this.scroll) {
      this.scroll = false;
      byId("things").querySelector('[data-selected="true"]')?.scrollIntoView({ block: "nearest" });
    }
  }

  #nothing(asked, known) {
    if (!asked) return known ? "Ask for something, or look at all things." : "What fits your search appears here.";
    const seen = known ? ` ${known} ${known === 1 ? "thing was" : "things were"} looked at; “All” shows them with the reasons.` : "";
    if (asked.state === "none_conform") return `None fits.${seen}`;
    return `Nothing fits so far.${seen}`;
  }

  /** What was selected has become part of another thing: that is selected now. */
  #follow(instances) {
    const other = [...instances.values()].find((thing) => thing.merged_from.includes(this.selected));
    this.selected = other ? other.id : null;
    this.#forgetPictures();
    if (other) this.#fetchPictures();
  }

  #card(id) {
    return make(
      "li",
      { className: "card" },
      make(
        "button",
        { type: "button", className: "card-main", onclick: () => this.select(id, { from: "list" }) },
        make(
          "span",
          { className: "card-title" },
          make("span", {}, make("span", { className: "swatch", "aria-hidden": "true" }), make("span", { className: "name" })),
          make("span", { className: "state" }),
        ),
        make("span", { className: "card-text reason" }),
        make("span", { className: "facts" }, make("span", { className: "size" }), make("span", { className: "sure" })),
      ),
      make("div", { className: "more", hidden: true }),
    );
  }

  #update(card, item) {
    const find = (selector) => card.querySelector(selector);
    const selected = item.id === this.selected;
    card.dataset.selected = String(selected);
    card.dataset.verdict = item.verdict;
    const main = find(".card-main");
    main.setAttribute("aria-expanded", String(selected));
    say(find(".name"), item.label || `Thing ${item.id}`);
    const state = find(".state");
    state.dataset.state = item.verdict;
    say(state, VERDICTS[item.verdict]);
    say(find(".reason"), item.reason);
    say(find(".size"), sizeText(item.size_m));
    say(find(".sure"), `${percent(item.existence)} sure`);
    const more = find(".more");
    more.hidden = !selected;
    if (selected) this.#detail(more, item);
    else more.replaceChildren();
  }

  #detail(more, item) {
    const [length, width, height] = item.size_m;
    const facts = [
      ["Length, width", length === null ? "" : `${meters(length)} m, ${meters(width)} m`],
      ["Height", height === null ? "" : `${meters(height)} m`],
      ["Above the floor", item.bottom_height_m === null ? "" : `${meters(Math.max(0, item.bottom_height_m))} m`],
      ["Colour", item.colors.filter(([, share]) => share >= 0.05).map(([name, share]) => `${name} ${percent(share)}`).join(", ")],
      ["Name", item.names.map(([name, share]) => `${name} ${percent(share)}`).join(", ")],
      ["Fits by", item.score === null ? "" : percent(item.score)],
      ["Is there", `${percent(item.existence)}${item.confirmed ? ", confirmed" : ", seen too little to be sure"}`],
      ["Seen in", `${item.observations} ${item.observations === 1 ? "picture" : "pictures"}`],
      ["Number", `#${item.id}${item.merged_from.length ? ` (with ${item.merged_from.map((id) => `#${id}`).join(", ")})` : ""}`],
    ].filter(([, text]) => text);
    if (!more.firstChild) more.append(make("div", { className: "pictures" }), make("dl", { className: "details" }));
    const list = more.querySelector("dl");
    const text = JSON.stringify(facts);
    if (list.dataset.told !== text) {
      list.dataset.told = text;
      list.replaceChildren(...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    }
    const pictures = more.querySelector(".pictures");
    const told = this.urls.join(" ");
    pictures.hidden = this.urls.length === 0;
    if (pictures.dataset.told !== told) {
      pictures.dataset.told = told;
      pictures.replaceChildren(
        ...this.urls.map((src, i) => make("img", { src, alt: `View ${i + 1} of ${item.label || "the thing"}` })),
      );
    }
  }

  async #fetchPictures() {
    const id = this.selected;
    const answer = await this.connection.call("views", { id });
    if (id !== this.selected) return;
    const jpegs = answer.values.jpegs ?? [];
    const told = jpegs.join();
    if (told !== this.jpegs) {
      this.#forgetPictures();
      this.jpegs = told;
      this.urls = jpegs.map((text) => {
        const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
        return URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
      });
      this.changed();
    }
    this.again = setTimeout(() => this.#fetchPictures(), PICTURES_MS);
  }

  #forgetPictures() {
    clearTimeout(this.again);
    for (const url of this.urls) URL.revokeObjectURL(url);
    this.urls = [];
    this.jpegs = undefined;
  }
}
