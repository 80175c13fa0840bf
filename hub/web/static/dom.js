// The few lines of DOM that every page needs. Text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const h = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);
export const $ = (id) => document.getElementById(id);

/** Change a text only when it is another: no flicker, no lost selection. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Make the children of `box` those of `items`, keeping nodes by key, so that a click that began
 * on a node ends on it. `make(item)` builds a node, `update(node, item)` brings it up to date.
 */
export function keyed(box, items, key, make, update) {
  const known = new Map([...box.children].map((node) => [node.dataset.key, node]));
  let before = box.firstElementChild;
  for (const item of items) {
    const id = String(key(item));
    let node = known.get(id);
    known.delete(id);
    if (!node) {
      node = make(item);
      node.dataset.key = id;
    }
    update(node, item);
    if (node === before) before = before.nextElementSibling;
    else box.insertBefore(node, before);
  }
  for (const node of known.values()) node.remove();
}

// Shapes differ, not only colours: dot, triangle, square with a bar, octagon, ring, tick.
const SHAPES = {
  ok: () => [s("circle", { cx: 12, cy: 12, r: 7 })],
  warning: () => [s("path", { d: "M12 3 22.5 21h-21z" }), mark("M12 9.5v5M12 17.4v.6")],
  critical: () => [s("path", { d: "M8 2h8l6 6v8l-6 6H8l-6-6V8z" }), mark("M12 7v6.5M12 16.6v.6")],
  down: () => [s("rect", { x: 3, y: 3, width: 18, height: 18, rx: 3 }), mark("M8 8l8 8M16 8l-8 8")],
  no_data: () => [s("circle", { cx: 12, cy: 12, r: 7, class: "hollow" })],
  info: () => [s("circle", { cx: 12, cy: 12, r: 9 }), mark("M12 11v6M12 7v.6")],
  acknowledged: () => [s("circle", { cx: 12, cy: 12, r: 9 }), mark("M7.5 12.5l3 3 6-6.5")],
};
const mark = (d) => s("path", { d, class: "mark" });

/** A state or severity as a shape; its word is for those who don't see it. */
export function icon(name, word = "") {
  return s("svg", { class: `icon ${name}`, viewBox: "0 0 24 24", role: "img", "aria-label": word || name },
    ...(SHAPES[name] ?? SHAPES.no_data)());
}

/** Replace an icon when the state is another. */
export function turn(node, name, word) {
  if (node.dataset.state === name) return;
  node.dataset.state = name;
  node.replaceChildren(icon(name, word));
}

/** Send JSON; throws an Error whose message is the hub's detail and remedy. */
export async function send(method, path, body) {
  const answer = await fetch(path, {
    method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}),
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const error = new Error([said.detail ?? `HTTP ${answer.status}`, said.remedy].filter(Boolean).join(" "));
    throw Object.assign(error, { status: answer.status });
  }
  return said;
}

export async function get(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}
