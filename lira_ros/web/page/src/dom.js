// Small helpers for elements. Texts from outside only ever become text nodes.

export const byId = (id) => document.getElementById(id);

/** Return a new element with properties and children; children that are no elements become text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "data") Object.assign(element.dataset, value);
    else if (name.startsWith("aria-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set a text only when it differs, so that screen readers are not told the same again. */
export function say(element, text, tone = "") {
  if (element.textContent !== text) element.textContent = text;
  element.classList.toggle("good", tone === "good");
  element.classList.toggle("bad", tone === "bad");
}

/** Keep the children of a list like `items`, by key: elements that stay are updated in place and keep their focus. */
export function keepList(list, items, { key, create, update }) {
  const present = new Map([...list.children].map((child) => [child.dataset.key, child]));
  let after = null;
  for (const item of items) {
    const name = String(key(item));
    let element = present.get(name);
    if (element) present.delete(name);
    else {
      element = create(item);
      element.dataset.key = name;
    }
    update(element, item);
    const place = after ? after.nextSibling : list.firstChild;
    if (place !== element) list.insertBefore(element, place);
    after = element;
  }
  for (const element of present.values()) element.remove();
}

/** Show a sentence for a few seconds. */
export function notify(text, tone = "") {
  const notice = make("p", { className: `notice ${tone}` }, text);
  const notices = byId("notices");
  notices.append(notice);
  while (notices.children.length > 3) notices.firstChild.remove();
  setTimeout(() => notice.remove(), tone === "bad" ? 9000 : 5000);
}

export const meters = (value) => value.toFixed(2);
export const sizeText = (size) => (size.every((value) => value !== null) ? `${size.map(meters).join(" × ")} m` : "size unknown");
export const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`);
