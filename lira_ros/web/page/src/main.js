// The page: holds what the robot tells, and shows it.

import { Connection } from "./connection.js";
import { byId, notify, say } from "./dom.js";
import { Searches } from "./searches.js";
import { System } from "./system.js";
import { Things } from "./things.js";
import { World } from "./world.js";

const told = { instruction: new Map(), instance: new Map(), health: new Map() };
let pictureUrl = "";
let waitingRegions = 0;
let asked = false;

const world = (() => {
  try {
    return new World(byId("view"), byId("labels"), { select: (id) => things.select(id, { from: "map" }) });
  } catch (error) {
    say(byId("nothing-mapped-why"), `This browser cannot show the map: ${error.message}`);
    return null;
  }
})();

const connection = new Connection({
  opened() {
    for (const values of Object.values(told)) values.clear();
    world?.clear();
    refresh();
  },
  changed([kind, name], value) {
    if (told[kind]) told[kind].set(name, value);
    else if (kind === "pose") world?.setPose(value);
    else if (kind === "up") world?.setUp(value);
    else if (kind === "surface") waitingRegions = value.waiting;
  },
  gone([kind, name]) {
    if (told[kind]) told[kind].delete(name);
    else if (kind === "region") world?.removeRegion(name);
    else if (kind === "voxels") world?.removeVoxels(name);
    else if (kind === "way") world?.setWay({ arrays: [new Float32Array()] });
    else if (kind === "picture") showPicture(null);
  },
  told: refresh,
  frame(head) {
    if (head.kind === "picture") showPicture(head);
    else if (head.kind === "region") world?.setRegion(head);
    else if (head.kind === "voxels") world?.setVoxels(head);
    else if (head.kind === "way") world?.setWay(head);
    refresh();
  },
  status(state, text) {
    document.body.dataset.connection = state;
    system.connected(state, text);
  },
  measured: (milliseconds) => system.measured(milliseconds),
  needsToken: () => dialogs.token.showModal(),
});

const searches = new Searches(connection, { selected: () => refresh() });
const things = new Things(connection, world, { changed: () => refresh() });
const system = new System(connection);

function showPicture(head) {
  const picture = byId("picture");
  const before = pictureUrl;
  pictureUrl = head ? URL.createObjectURL(new Blob([head.arrays[0]], { type: "image/jpeg" })) : "";
  picture.hidden = !head;
  byId("no-picture").hidden = Boolean(head);
  if (head) {
    picture.src = pictureUrl;
    const masks = head.source === "masks";
    picture.alt = masks ? "What the camera sees, with the masks of what was recognised" : "What the camera sees";
    say(byId("picture-source"), masks ? "Camera with masks" : "Camera");
  }
  if (before) URL.revokeObjectURL(before);
}

/** Show what has changed, once for each picture of the screen however much came. */
function refresh() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    searches.show(told.instruction, told.instance);
    things.show(told.instance, searches.current(), told.instruction);
    system.show(told.health);
    const { triangles, regions } = world ? world.statistics() : { triangles: 0, regions: 0 };
    byId("nothing-mapped").hidden = Boolean(world) && regions > 0;
    const more = waitingRegions ? `, ${waitingRegions} parts to come` : "";
    say(byId("stage-info"), regions ? `${Math.round(triangles / 1000)} k triangles${more}` : "");
  });
}

// ---- dialogs ----

const dialogs = Object.fromEntries(["save", "reset", "token"].map((name) => [name, byId(`${name}-dialog`)]));

for (const [name, dialog] of Object.entries(dialogs)) {
  dialog.querySelector(".cancel")?.addEventListener("click", () => dialog.close());
  dialog.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = dialog.querySelector("[type=submit]");
    button.disabled = true;
    try {
      await submitted[name](byId(`${name}-said`), dialog);
    } finally {
      button.disabled = false;
    }
  });
}

const submitted = {
  async save(said, dialog) {
    say(said, "Saving…");
    const answer = await connection.call("save", { name: byId("name").value.trim() });
    say(said, answer.success ? "" : answer.message, "bad");
    if (answer.success) {
      dialog.close();
      notify(answer.message);
    }
  },
  async reset(said, dialog) {
    const answer = await connection.call("reset");
    say(said, answer.success ? "" : answer.message, "bad");
    if (answer.success) {
      dialog.close();
      notify("The map is empty and grows anew.");
    }
  },
  async token(said, dialog) {
    const field = byId("token");
    const wrong = await connection.signIn(field.value.trim());
    say(said, wrong, "bad");
    if (!wrong) {
      field.value = "";
      dialog.close();
      connection.connect();
    }
  },
};

dialogs.token.addEventListener("cancel", (event) => event.preventDefault());
byId("save").addEventListener("click", () => {
  const now = new Date();
  const two = (value) => String(value).padStart(2, "0");
  byId("name").value ||= `map-${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  say(byId("save-said"), "");
  dialogs.save.showModal();
});
byId("reset").addEventListener("click", () => {
  say(byId("reset-said"), "");
  dialogs.reset.showModal();
});

// ---- parts of the page ----

function showTab(name) {
  document.body.dataset.tab = name;
  for (const button of document.querySelectorAll(".tabs button")) {
    if (button.dataset.tab === name) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
}
for (const button of document.querySelectorAll(".tabs button")) {
  button.addEventListener("click", () => showTab(button.dataset.tab));
}
things.opened = () => showTab("found");

byId("enlarge").addEventListener("click", () => {
  const large = document.body.classList.toggle("enlarged");
  byId("enlarge").setAttribute("aria-pressed", String(large));
});

if (world) {
  const press = (id, on) => byId(id).setAttribute("aria-pressed", String(on));
  world.onFollowing = (on) => press("follow", on);
  byId("fit").addEventListener("click", () => world.fit());
  byId("top").addEventListener("click", () => world.top());
  byId("follow").addEventListener("click", () => world.toggleFollowing());
  byId("surface").addEventListener("click", () => press("surface", world.toggleSurface()));
}

// The token comes behind the #, which browsers send to nobody; it is shown once and then forgotten.
const secret = new URLSearchParams(location.hash.slice(1)).get("token");
if (secret) {
  history.replaceState(null, "", location.pathname);
  connection.signIn(secret).then((wrong) => {
    if (wrong) say(byId("token-said"), wrong, "bad");
    connection.connect();
  });
} else {
  connection.connect();
}
