// What collectors found and the inventory does not have: a list, and a file that is ready to keep.

import { get, h, keyed, say, turn } from "./dom.js";
import { state } from "./state.js";
import { moment, t } from "./text.js";

const COPIED_MS = 2000;
const SHAPES = { device: "info", new: "acknowledged", beside: "ok", circle: "critical", stranger: "warning" };
let found = { items: [], yaml: "" };

const nameOf = (id) => state.info.get(id)?.name ?? id;

function row() {
  return h("div", { class: "event" }, h("time"), h("span", { class: "thing-icon" }), h("span", {}, h("b"), h("small")));
}

function fillRow(node, one) {
  say(node.querySelector("time"), moment(one.last_ms, state.regency.zone, "moment"));
  turn(node.querySelector(".thing-icon"), SHAPES[one.what], t(`found.${one.what}`));
  say(node.querySelector("b"), t(`found.${one.what}.what`, { device: nameOf(one.device), other: nameOf(one.other), port: one.port }));
  say(node.querySelector("small"), [one.by, one.text].filter(Boolean).join(" · "));
}

async function copy(event) {
  const button = event.target;
  await navigator.clipboard.writeText(found.yaml).catch((error) => window.alert(error.message));
  say(button, t("found.copied"));
  setTimeout(() => say(button, t("found.copy")), COPIED_MS);
}

export function showFound(box) {
  if (!found.items.length) {
    box.replaceChildren(h("p", { class: "muted", "data-key": "none" }, t("found.none")));
    return;
  }
  keyed(box, ["list", "file"], (one) => one, (one) => one === "list"
    ? h("section", {}, h("h3", {}, t("found.list")), h("div"))
    : h("section", { class: "found-file" }, h("h3", {}, t("found.file"), h("button", { onclick: copy }, t("found.copy"))), h("pre"),
      h("p", { class: "muted" }, t("found.how"))), () => {});
  keyed(box.firstChild.lastChild, found.items, (one) => `${one.by} ${one.what} ${one.device} ${one.port} ${one.text}`, row, fillRow);
  say(box.querySelector("pre"), found.yaml);
}

export async function loadFound() {
  found = await get("/api/v1/proposals").catch(() => found);
}
