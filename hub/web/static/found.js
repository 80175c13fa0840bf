// What collectors found and the inventory does not have: a list, and a file that is ready to keep. What
// a person dismisses is in neither; it stands below, to be brought back.

import { ask, mayAct, nameField, whyField } from "./ask.js";
import { get, h, keyed, say, send, turn } from "./dom.js";
import { state } from "./state.js";
import { moment, t } from "./text.js";

const COPIED_MS = 2000;
const SHAPES = { device: "info", new: "acknowledged", beside: "ok", circle: "critical", stranger: "warning" };
let found = { items: [], yaml: "", dismissed: [] };

const nameOf = (id) => state.info.get(id)?.name ?? id;
const what = (one) => t(`found.${one.what}.what`, { device: nameOf(one.device), other: nameOf(one.other), port: one.port });
const saysOf = (one) => [one.by, one.text].filter(Boolean).join(" · ");

function row() {
  return h("div", { class: "event" }, h("time"), h("span", { class: "thing-icon" }), h("span", {}, h("b"), h("small")), h("button", { class: "quiet" }));
}

function fill(node, one, time_ms, says, word, act) {
  say(node.querySelector("time"), moment(time_ms, state.regency.zone, "moment"));
  turn(node.querySelector(".thing-icon"), SHAPES[one.what], t(`found.${one.what}`));
  say(node.querySelector("b"), what(one));
  say(node.querySelector("small"), says);
  const button = node.querySelector("button");
  say(button, word);
  button.hidden = !mayAct();
  button.onclick = act;
}

function fillRow(node, one) {
  fill(node, one, one.last_ms, saysOf(one), t("found.dismiss"), () => askWhether(one, "POST", "dismiss"));
}

function fillDismissed(node, { item, who, why, time_ms }) {
  const says = [t("alert.by", { who }), why && `“${why}”`, saysOf(item)].filter(Boolean).join(" · ");
  fill(node, item, time_ms, says, t("found.undismiss"), () => askWhether(item, "DELETE", "undismiss"));
}

function askWhether(one, method, act) {
  ask(t(`found.${act}`), `${what(one)} · ${saysOf(one)}`, [nameField(), whyField(false, "found.why.example")], t(`found.${act}`), async (data) => {
    await send(method, `/api/v1/proposals/${encodeURIComponent(one.key)}/dismiss`, data);
    await loadFound();
    document.querySelectorAll("#things[data-tab=found]").forEach(showFound);
  });
}

async function copy(event) {
  const button = event.target;
  await navigator.clipboard.writeText(found.yaml).catch((error) => window.alert(error.message));
  say(button, t("found.copied"));
  setTimeout(() => say(button, t("found.copy")), COPIED_MS);
}

function section(name) {
  if (name === "none") return h("p", { class: "muted" }, t("found.none"));
  if (name === "list") return h("section", {}, h("h3", {}, t("found.list")), h("div"));
  if (name === "dismissed") return h("details", { class: "found-dismissed" }, h("summary"), h("div"));
  return h("section", { class: "found-file" }, h("h3", {}, t("found.file"), h("button", { onclick: copy }, t("found.copy"))), h("pre"),
    h("p", { class: "muted" }, t("found.how")));
}

export function showFound(box) {
  const { items, dismissed } = found;
  const parts = [...(items.length ? ["list", "file"] : ["none"]), ...(dismissed.length ? ["dismissed"] : [])];
  keyed(box, parts, (one) => one, section, () => {});
  if (items.length) {
    keyed(box.firstChild.lastChild, items, (one) => `${one.key} ${one.by}`, row, fillRow);
    say(box.querySelector("pre"), found.yaml);
  }
  if (dismissed.length) {
    say(box.lastChild.firstChild, t("found.dismissed", { count: dismissed.length }));
    keyed(box.lastChild.lastChild, dismissed, ({ item }) => `${item.key} ${item.by}`, row, fillDismissed);
  }
}

export async function loadFound() {
  found = await get("/api/v1/proposals").catch(() => found);
}
