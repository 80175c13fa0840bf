// The list of alerts that are not over, and the two things a person does about one.

import { ask, mayAct, nameField, whyField } from "./ask.js";
import { $, h, keyed, say, send, turn } from "./dom.js";
import { now, state } from "./state.js";
import { duration, has, moment, pick, plain, t } from "./text.js";
import { waiting } from "./waiting.js";
import { askWhy } from "./why.js";

const OFFERED = [[900, "15m"], [3600, "1h"], [14400, "4h"], [43200, "12h"], [86400, "24h"], [604800, "7d"]];

const sign = (alert) => (alert.state === "acknowledged" ? "acknowledged" : alert.severity);

function place(alert) {
  const site = state.sites?.get(alert.site)?.name;
  const parts = [alert.name, alert.tags.ifname ?? alert.tags.sensor, state.opds?.get(alert.opd)?.name, site];
  return [...new Set(parts.filter(Boolean))].join(" · ");
}

/** "74,8 µg/m³ (batas 55,4)" as the rule says it, else the value with its unit; a bare 0 or 1 of a truth tells nobody anything. */
const reading = (alert) => pick(alert.detail) || (alert.value === null || !alert.unit ? "" : plain(alert.value, alert.unit, ""));

const KINDS = ["router", "switch", "ap", "ups", "camera", "sensor"];

/** "1 router, 4 kamera, 2 sensor". */
function byKind(ids) {
  const counted = new Map(KINDS.map((kind) => [kind, 0]));
  for (const id of ids) {
    const kind = state.info.get(id)?.kind ?? "";
    counted.set(kind, (counted.get(kind) ?? 0) + 1);
  }
  const one = (kind, count) => (count > 1 && has(`kinds.${kind}`) ? t(`kinds.${kind}`, { count }) : `${count} ${has(`kind.${kind}`) ? t(`kind.${kind}`) : kind}`);
  return [...counted].filter(([, count]) => count).map(([kind, count]) => one(kind, count)).join(", ");
}

const names = (ids) => ids.map((id) => state.info.get(id)?.name ?? id).join("\n");

function why(alert) {
  const said = [];
  if (alert.drags.length) said.push(t("alert.drags", { what: byKind(alert.drags) }));
  if (alert.cause) {
    const cause = state.alerts?.find((one) => one.key === alert.cause);
    said.push(t("alert.cause", { cause: cause ? pick(cause.title) : alert.cause }));
  }
  if (alert.state === "acknowledged") said.push(t("alert.by", { who: alert.who }) + (alert.why ? `: “${alert.why}”` : ""));
  if (alert.silenced_until_ms) said.push(t("alert.silenced", { until: moment(alert.silenced_until_ms, state.regency.zone, "minute"), who: alert.silenced_by }));
  if (alert.data_state !== "ok") said.push(t(`data.${alert.data_state}`));
  return said.join(" · ");
}

export function alertRow() {
  return h("li", { class: "alert" },
    h("span", { class: "alert-icon" }),
    h("div", { class: "alert-text" },
      h("a", { class: "alert-title" }),
      h("div", { class: "alert-line" }, h("p", { class: "alert-why" }), h("p", { class: "alert-value" }), h("p", { class: "alert-place" }))),
    h("div", { class: "alert-side" },
      h("p", { class: "alert-since" }, h("small"), h("b")),
      h("div", { class: "alert-acts" },
        h("button", { class: "act-ack" }, t("alert.acknowledge")), h("button", { class: "act-silence" }, t("alert.silence")),
        h("button", { class: "act-why quiet", title: t("why.ask"), "aria-label": t("why.ask") }, "?"))));
}

export function fillAlert(node, alert) {
  node.dataset.severity = alert.severity;
  node.dataset.stage = alert.state;
  turn(node.querySelector(".alert-icon"), sign(alert), `${t(`severity.${alert.severity}`)}, ${t(`stage.${alert.state}`)}`);
  const title = node.querySelector(".alert-title");
  say(title, pick(alert.title) || alert.rule);
  title.title = title.textContent;
  // An alert about a whole place has no page of its own.
  if (state.info.has(alert.device)) title.href = `/device/${encodeURIComponent(alert.device)}`;
  else title.removeAttribute("href");
  say(node.querySelector(".alert-place"), place(alert));
  say(node.querySelector(".alert-value"), reading(alert));
  const reason = node.querySelector(".alert-why");
  say(reason, why(alert));
  reason.title = names(alert.drags);
  say(node.querySelector(".alert-since b"), duration(now() - alert.since_ms));
  say(node.querySelector(".alert-since small"), moment(alert.since_ms, state.regency.zone, "minute"));
  const [acknowledge, silence, reasons] = node.querySelectorAll("button");
  acknowledge.hidden = !mayAct() || alert.state !== "firing";
  silence.hidden = !mayAct() || Boolean(alert.silenced_until_ms);
  acknowledge.onclick = () => askAcknowledge(alert);
  silence.onclick = () => askSilence(alert);
  reasons.hidden = !title.href;
  reasons.onclick = () => askWhy(alert);
}

const ROOMY = 3; // more rows than that are set closer

/** The troubles themselves; what follows from one stands in its row. */
export function showAlerts() {
  const shown = state.alerts.filter((one) => one.state !== "pending" && !one.root);
  $("alerts").classList.toggle("compact", shown.length > ROOMY);
  keyed($("alerts"), shown, (one) => one.key, alertRow, fillAlert);
  wholeRows($("alerts"));
  const open = shown.filter((one) => one.state === "firing").length;
  say($("alerts-count"), open ? String(state.leftOut ? Math.max(open, firing()) : open) : "");
  showCalm(!shown.length && state.info.size > 0);
  countUnseen(shown.length);
  if ($("all").open) keyed($("all-alerts"), shown, (one) => one.key, alertRow, fillAlert);
}

const firing = () => state.counts.alerts.critical + state.counts.alerts.warning + state.counts.alerts.info;

/** No alert is good news only where nothing is off or waited for. */
function showCalm(none) {
  const reasons = waiting();
  const box = $("alerts-none");
  box.hidden = !none;
  box.classList.toggle("waiting", reasons.length > 0);
  say(box.querySelector("b"), t(reasons.length ? "alerts.none.yet" : "alerts.none"));
  keyed(box.querySelector("ul"), reasons.entries(), ([i]) => i, () => h("li"), (node, [, text]) => say(node, text));
}

/** As high as the rows that have room, none cut through; left alone while somebody has scrolled. */
function wholeRows(box) {
  if (box.scrollTop) return;
  box.style.maxHeight = "";
  const { top, bottom } = box.getBoundingClientRect();
  const last = [...box.children].map((node) => node.getBoundingClientRect().bottom).filter((end) => end <= bottom + 1).at(-1);
  if (last && box.scrollHeight > box.clientHeight) box.style.maxHeight = `${last - top}px`;
}

/** The whole list, in a window of its own. */
export function showAll() {
  $("all").showModal();
  showAlerts();
}

/** How many are scrolled out of sight, or were not sent at all; those that the list never shows are no part of it. */
export function countUnseen(shown = $("alerts").children.length) {
  const box = $("alerts");
  const frame = box.getBoundingClientRect();
  const outside = [...box.children].filter((node) => {
    const row = node.getBoundingClientRect();
    const middle = (row.top + row.bottom) / 2;
    return middle < frame.top || middle > frame.bottom;
  }).length;
  const unsent = state.leftOut ? Math.max(0, firing() + state.counts.alerts.acknowledged - shown) : 0;
  const count = outside + unsent;
  $("alerts-more").hidden = !count;
  say($("alerts-more"), t("alerts.more", { count }));
  $("all-more").hidden = !unsent;
  say($("all-more"), t("alerts.more", { count: unsent }));
}

function askAcknowledge(alert) {
  ask(t("alert.acknowledge"), `${pick(alert.title)} · ${place(alert)}`, [nameField(), whyField(false)], t("alert.acknowledge"),
    (data) => send("POST", `/api/v1/alerts/${encodeURIComponent(alert.key)}/acknowledge`, data));
}

function askSilence(alert) {
  const long = h("label", {}, t("form.long"), h("select", { name: "seconds" },
    ...OFFERED.map(([seconds, name]) => h("option", { value: seconds, selected: seconds === 3600 }, t(`span.${name}`)))));
  const what = h("label", {}, t("form.what"), h("select", { name: "what" },
    h("option", { value: "rule" }, t("form.what.rule")), h("option", { value: "device" }, t("form.what.device"))));
  ask(t("alert.silence"), `${pick(alert.title)} · ${place(alert)}`, [long, what, nameField(), whyField(true)], t("alert.silence"),
    ({ seconds, what: about, why: said, name }) => send("POST", "/api/v1/silences", {
      seconds: Number(seconds), why: said, name,
      matcher: about === "device" ? { device: alert.device } : { device: alert.device, rule: alert.rule },
    }));
}
