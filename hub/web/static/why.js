// Why each rule about a device is or is not firing right now: the value beside its limit, since when,
// and what holds it back.

import { $, get, h, keyed, s, say, turn } from "./dom.js";
import { now, state } from "./state.js";
import { compared, duration, has, language, moment, pick, t } from "./text.js";

const REFRESH_MS = 3000;
const ORDER = ["firing", "acknowledged", "pending", "resolved", "ok"];
const COMPARED = new Set(["above", "below", "at_least"]);
const STIRRED = new Set(["firing", "acknowledged", "pending"]);

const idOf = (one) => one.key || `${one.rule} ${one.device}`;
const part = (one) => Object.values(one.tags).join(" ");

/** Can nothing be said? Then a calm dot would lie. */
const unknown = (one) => one.holds === null || one.data_state === "no_data";

function sign(one) {
  if (one.state === "firing") return one.severity;
  if (one.state === "acknowledged") return "acknowledged";
  if (one.state === "pending") return "info";
  return unknown(one) ? "no_data" : "ok";
}

/** "aktif · sejak 08:24 (2 jam)", "normal", "data lama". */
function standing(one) {
  const said = [t(`stage.${one.state}`)];
  if (one.since_ms) said.push(`${t("thing.since", { time: moment(one.since_ms, state.regency.zone, "day") })} (${duration(now() - one.since_ms)})`);
  if (one.data_state !== "ok" && has(`data.${one.data_state}`)) said.push(t(`data.${one.data_state}`));
  return said.join(" · ");
}

/** The key of a cause tells people nothing; its title does. */
function sentences(one) {
  const cause = one.cause && state.alerts?.find((alert) => alert.key === one.cause);
  return (one.why[language] ?? []).map((text) => (cause ? text.replace(one.cause, `“${pick(cause.title)}”`) : text));
}

/** Where value and limit lie on a line, in percent; null where a picture says nothing. */
function scale(one) {
  const { value, threshold, comparison } = one;
  if (value === null || threshold === null || !COMPARED.has(comparison)) return null;
  const [least, most] = [Math.min(0, value, threshold), Math.max(0, value, threshold)];
  if (least === most) return null;
  const pad = (most - least) * 0.15;
  const [low, high] = [least < 0 ? least - pad : 0, most > 0 ? most + pad : 0];
  const at = (number) => ((number - low) / (high - low)) * 100;
  return { value: at(value), limit: at(threshold), zero: at(0), above: comparison !== "below" };
}

function meter() {
  return h("div", { class: "meter" },
    s("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect", { class: "meter-bad", y: 0, height: 10 }), s("rect", { class: "meter-value", y: 3, height: 4 }),
      s("rect", { class: "meter-limit", y: 0, width: 0.8, height: 10 })),
    h("p", {}, h("b"), h("small", { class: "muted" })));
}

function span(rect, from, to) {
  rect.setAttribute("x", Math.min(from, to));
  rect.setAttribute("width", Math.abs(to - from));
}

function fillMeter(node, one) {
  const found = scale(one);
  node.hidden = !found;
  if (!found) return;
  const [bad, value, limit] = node.querySelectorAll("rect");
  span(bad, found.limit, found.above ? 100 : 0);
  span(value, found.zero, found.value);
  limit.setAttribute("x", found.limit - 0.4);
  const [valueText, limitText] = compared(one.value, one.threshold, one.unit);
  say(node.querySelector("b"), valueText);
  node.classList.toggle("vague", one.holds === null);
  say(node.querySelector("small"), t(`why.limit.${one.comparison}`, { limit: limitText }));
}

function row() {
  return h("li", { class: "why" }, h("span", { class: "why-icon" }),
    h("div", { class: "why-text" }, h("p", {}, h("b"), h("small")), h("ul", { class: "why-said" })), meter());
}

function fill(node, one) {
  node.dataset.stage = one.state;
  node.dataset.severity = one.severity;
  turn(node.querySelector(".why-icon"), sign(one), t(`stage.${one.state}`));
  say(node.querySelector("b"), pick(one.title) || one.rule);
  node.querySelector("b").title = [one.rule, part(one)].filter(Boolean).join(" ");
  say(node.querySelector("small"), standing(one));
  keyed(node.querySelector(".why-said"), sentences(one).map((text, number) => [number, text]), ([number]) => number,
    () => h("li"), (line, [, text]) => say(line, text));
  fillMeter(node.querySelector(".meter"), one);
}

/** The rules in two lists: what stirs (or is asked about), and what is calm, folded away. */
function list() {
  return h("div", { class: "whys" }, h("ol", { class: "why-list" }), h("p", { class: "muted", hidden: true }, t("why.none")),
    h("details", { hidden: true }, h("summary"), h("ol", { class: "why-list" })));
}

function fillList(box, rules, asked) {
  const first = (one) => (one.key && one.key === asked ? 0 : 1);
  const sorted = rules.map((one, i) => [one, i]).sort(([a, i], [b, j]) => first(a) - first(b)
    || ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || unknown(b) - unknown(a) || i - j).map(([one]) => one);
  const [open, calm] = [[], []];
  for (const one of sorted) (STIRRED.has(one.state) || one.key === asked ? open : calm).push(one);
  const [shown, none, more] = box.children;
  keyed(shown, open, idOf, row, fill);
  none.hidden = rules.length > 0;
  more.hidden = !calm.length;
  say(more.firstChild, t("why.calm", { count: calm.length }));
  keyed(more.lastChild, calm, idOf, row, fill);
}

/** Keep `box` telling of a device; `asked` is the key of the alert that stands first. */
export function showWhy(box, device, asked = "") {
  const shown = list();
  box.replaceChildren(shown);
  return async () => {
    const rules = await get(`/api/v1/devices/${encodeURIComponent(device)}/explain`).catch(() => null);
    if (rules) fillList(shown, rules, asked);
    else say(shown.children[1], t("why.away"));
    shown.children[1].hidden = Boolean(rules?.length);
  };
}

/** The same as a dialog, up to date while it is open. */
export function askWhy(alert) {
  const dialog = $("dialog");
  const box = h("div");
  dialog.replaceChildren(h("div", { class: "why-dialog" },
    h("h2", { id: "dialog-title" }, t("why.of", { name: alert.name })), box,
    h("div", { class: "form-acts" },
      state.info.has(alert.device) && h("a", { class: "link", href: `/device/${encodeURIComponent(alert.device)}` }, t("why.device")),
      h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, t("why.close")))));
  dialog.classList.add("wide");
  const refresh = showWhy(box, alert.device, alert.key);
  const timer = setInterval(refresh, REFRESH_MS);
  dialog.addEventListener("close", () => { clearInterval(timer); dialog.classList.remove("wide"); }, { once: true });
  refresh();
  dialog.showModal();
}
