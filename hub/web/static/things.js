// Offices, sensors, cameras, routers as rows; what happened; and the demo's faults.

import { $, get, h, keyed, s, say, send, turn } from "./dom.js";
import { loadDuty, matched, showDuty } from "./duty.js";
import { loadFound, showFound } from "./found.js";
import { now, state } from "./state.js";
import { duration, fieldName, has, moment, pick, quantity, since as clockSince, t } from "./text.js";

const ORDER = ["ok", "warning", "no_data", "critical", "down"];
const rank = (word) => ORDER.indexOf(word);
let tab = "offices";
let events = [];
let silences = [];
const SILENCES_MS = 10000;

for (const button of document.querySelectorAll("[data-tab]")) {
  button.addEventListener("click", () => {
    tab = button.dataset.tab;
    document.querySelectorAll("[data-tab]").forEach((one) => one.setAttribute("aria-selected", String(one === button)));
    $("things").replaceChildren();
    if (tab === "history") loadHistory();
    if (tab === "found") refreshFound();
    showThings({ all: true });
  });
}

/** A small line of recent points; the viewBox stretches, the stroke does not. */
function sparkline(points) {
  const line = s("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" });
  line.append(s("path", { class: "spark-line" }));
  drawSpark(line, points);
  return line;
}

function drawSpark(line, points) {
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const first = points[0]?.[0] ?? 0;
  const span = Math.max(1, (points.at(-1)?.[0] ?? 1) - first);
  const y = (value) => (high === low ? 12 : 22 - ((value - low) / (high - low)) * 20);
  const d = points.length < 2 ? "" : "M" + points.map(([time, value]) => `${(((time - first) / span) * 100).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
  line.firstChild.setAttribute("d", d);
}

const metricText = (metric) => {
  const [value, unit] = quantity(metric.value, metric.unit, metric.field);
  return [fieldName(metric.field), value, unit];
};

function metrics(device, most) {
  return (device?.headline ?? []).slice(0, most).map((metric) => ({ key: metric.field, text: metricText(metric), doubt: metric.quality !== 0 }));
}

function row(item) {
  return h("a", { class: "thing", href: item.href },
    h("span", { class: "thing-icon" }),
    h("span", { class: "thing-name" }, h("b"), h("small")),
    h("span", { class: "thing-values" }),
    h("span", { class: "thing-short" }),
    h("span", { class: "thing-spark" }, sparkline([])));
}

function fillRow(node, item) {
  node.dataset.state = item.state;
  node.classList.toggle("off", item.off);
  node.classList.toggle("old", item.old);
  turn(node.querySelector(".thing-icon"), item.state, t(`state.${item.state}`));
  say(node.querySelector("b"), item.name);
  node.title = `${item.name} · ${item.note}`;
  say(node.querySelector("small"), item.note);
  say(node.querySelector(".thing-short"), item.short);
  keyed(node.querySelector(".thing-values"), item.values, (one) => one.key,
    () => h("span", { class: "metric" }, h("i"), h("b"), h("em")),
    (box, { text: [label, value, unit], doubt }) => {
      say(box.children[0], label);
      say(box.children[1], value);
      say(box.children[2], unit);
      box.classList.toggle("doubt", doubt);
    });
  drawSpark(node.querySelector(".spark"), item.spark);
}

function age(device) {
  return device.heard_ms ? t("thing.age", { age: duration(now() - device.heard_ms) }) : t("thing.never");
}

const since = (ms) => t("thing.since", { time: clockSince(ms, now(), state.regency.zone) });

/** "sejak 08:24": since when it is off, where there is room for no more. */
const wasHeard = (device) => (device.off_since_ms ? since(device.off_since_ms) : "–");

/** "putus sejak 08:24", or that nothing ever came. */
const cutOff = (device) => (device.off_since_ms
  ? t("thing.cut", { time: clockSince(device.off_since_ms, now(), state.regency.zone) }) : t("thing.never"));

const OLD_GAPS = 3; // values older than that many of their usual gaps are not shown as live
const LEAST_MS = 15000;

/** When its first value came, if that is too long ago to pass for the present; else null. */
function oldSince(device) {
  const newest = device.headline[0]?.time_ms;
  const gaps = device.spark.slice(-8).map(([time], i, all) => (i ? time - all[i - 1][0] : 0)).slice(1).sort((a, b) => a - b);
  const usual = gaps[Math.floor(gaps.length / 2)];
  return newest && usual && now() - newest > Math.max(OLD_GAPS * usual, LEAST_MS) ? newest : null;
}

/** What a row says of the age of its values: off, old, or live. */
function freshness(device) {
  const off = bad(device.state);
  const old = off ? null : oldSince(device);
  return { off, old: old !== null, short: off ? wasHeard(device) : old === null ? "" : since(old) };
}

const bad = (word) => word === "down" || word === "no_data";

function offices() {
  const byOffice = new Map();
  for (const info of state.info.values()) {
    if (!info.opd) continue;
    if (!byOffice.has(info.opd)) byOffice.set(info.opd, []);
    byOffice.get(info.opd).push(state.devices.get(info.id));
  }
  return [...byOffice].map(([id, devices]) => {
    const routers = devices.filter((one) => state.info.get(one.id).kind === "router");
    const ways = routers.length ? routers : devices;
    const router = ways.find((one) => !bad(one.state)) ?? ways[0];
    const off = devices.filter((one) => bad(one.state)).length;
    const opd = state.opds.get(id);
    const isOff = bad(router.state);
    // What is missing behind a working router is a warning for the office, not its end.
    const states = devices.map((one) => (one !== router && bad(one.state) ? "warning" : one.state));
    const worst = isOff ? router.state : states.reduce((found, one) => (rank(one) > rank(found) ? one : found), "ok");
    const note = isOff ? cutOff(router)
      : [state.sites.get(opd?.site)?.name, t("thing.devices", { count: devices.length }), off ? t("thing.off", { count: off }) : ""].filter(Boolean).join(" · ");
    return { id, name: opd?.name ?? id, href: `/device/${encodeURIComponent(router.id)}`, state: worst, note, ...freshness(router),
      values: metrics(router, 2), spark: router.spark };
  });
}

function devicesOf(...kinds) {
  return [...state.info.values()].filter((one) => kinds.includes(one.kind)).map((info) => {
    const device = state.devices.get(info.id);
    const where = state.sites.get(info.site)?.name ?? info.site;
    return { id: info.id, name: info.name, href: `/device/${encodeURIComponent(info.id)}`, state: device.state,
      note: device.state === "ok" ? where : `${where} · ${t(`state.${device.state}`)} · ${age(device)}`,
      ...freshness(device),
      values: metrics(device, 4), spark: device.spark };
  });
}

const LISTS = {
  offices,
  environment: () => devicesOf("sensor"),
  cameras: () => devicesOf("camera"),
  network: () => devicesOf("router", "switch", "ap", "ups"),
};

/** The worst first; among equals the order of the inventory, so that nothing jumps about. */
const byNeed = (items) => items.map((one, i) => [one, i])
  .sort(([a, i], [b, j]) => rank(b.state) - rank(a.state) || i - j).map(([one]) => one);

export function showThings(changes) {
  if (changes.all || changes.alerts) loadSilences();
  $("tab-faults").hidden = !state.faults?.length;
  $("things").dataset.tab = tab;
  if (LISTS[tab]) keyed($("things"), byNeed(LISTS[tab]()), (one) => one.id, row, fillRow);
  else if (tab === "history") {
    if (changes.alerts) loadHistory();
    showHistory($("things"), events);
  } else if (tab === "duty") {
    if (changes.all || changes.alerts) refreshDuty();
    showDuty($("things"));
  } else if (tab === "found") showFound($("things"));
  else if (tab === "silences") showSilences();
  else showFaults();
}

export const tick = () => LISTS[tab] && showThings({});

async function refreshDuty() {
  await loadDuty();
  if (tab === "duty") showDuty($("things"));
}

async function refreshFound() {
  await loadFound();
  if (tab === "found") showFound($("things"));
}

async function loadHistory() {
  const both = ["history", "events"].map((what) => get(`/api/v1/${what}?limit=120`).catch(() => []));
  events = timeline(...await Promise.all(both)).slice(0, 120);
  if (tab === "history") showHistory($("things"), events);
}

/** Alerts' steps and what devices said (traps, restarts), the newest first. */
export function timeline(history, said) {
  const plain = said.map((one) => ({ ...one, id: `${one.device} ${one.name} ${one.time_ms}`, event: true }));
  return [...history, ...plain].sort((a, b) => b.time_ms - a.time_ms);
}

export function showHistory(box, items) {
  keyed(box, items, (one) => one.id,
    () => h("div", { class: "event" }, h("time"), h("span", { class: "thing-icon" }), h("span", {}, h("b"), h("small"))),
    (node, one) => {
      say(node.querySelector("time"), moment(one.time_ms, state.regency.zone, "moment"));
      if (one.event) {
        turn(node.querySelector(".thing-icon"), "no_data", one.collector);
        say(node.querySelector("b"), has(`event.${one.name}`) ? t(`event.${one.name}`) : one.name);
        say(node.querySelector("small"), [state.info.get(one.device)?.name ?? one.device, pick(one.said) || one.text].filter(Boolean).join(" · "));
        return;
      }
      turn(node.querySelector(".thing-icon"), one.after === "resolved" || one.after === "ok" ? "ok" : one.after === "acknowledged" ? "acknowledged" : one.severity, t(`stage.${one.after}`));
      say(node.querySelector("b"), pick(one.title) || one.rule);
      say(node.querySelector("small"), [t(`stage.${one.after}`), state.info.get(one.device)?.name ?? one.device, one.who && t("alert.by", { who: one.who }), one.why].filter(Boolean).join(" · "));
    });
  if (!items.length) box.replaceChildren(h("p", { class: "muted", "data-key": "none" }, t("history.none")));
}

/** What sends no messages now; the board itself goes on showing it. */
async function loadSilences() {
  silences = await get("/api/v1/silences").catch(() => silences);
  $("tab-silences").hidden = !silences.length && tab !== "silences";
  say($("tab-silences"), t("tab.silences", { count: silences.length }));
  if (tab === "silences" && state.ready) showSilences();
}
if ($("tab-silences")) setInterval(() => { loadSilences(); if (tab === "duty") refreshDuty(); if (tab === "found") refreshFound(); }, SILENCES_MS);

function showSilences() {
  keyed($("things"), silences, (one) => one.id,
    () => h("div", { class: "fault silence" }, h("span", {}, h("b"), h("small", { class: "muted" })), h("button", {}, t("silence.end"))),
    (node, one) => {
      say(node.querySelector("b"), Object.entries(one.matcher).map(matched).join(" · "));
      say(node.querySelector("small"), [one.until_ms && t("silence.until", { time: moment(one.until_ms, state.regency.zone, "day") }),
        one.who && t("alert.by", { who: one.who }), one.why].filter(Boolean).join(" · "));
      const button = node.querySelector("button");
      button.hidden = !state.me || state.me.role === "viewer";
      button.onclick = async () => {
        button.disabled = true;
        await send("DELETE", `/api/v1/silences/${encodeURIComponent(one.id)}`).catch((error) => window.alert(error.message));
        button.disabled = false;
        loadSilences();
      };
    });
}

/** The demo's buttons: each starts or ends one fault of the simulated field. */
function showFaults() {
  keyed($("things"), state.faults, (one) => `${one.name} ${one.target}`,
    () => h("div", { class: "fault" }, h("b"), h("button")),
    (node, one) => {
      say(node.querySelector("b"), pick(one.title) || `${one.name} ${one.target}`);
      node.title = state.info.get(one.target)?.name ?? one.target;
      node.classList.toggle("active", one.active);
      const button = node.querySelector("button");
      say(button, t(one.active ? "fault.end" : "fault.start"));
      button.classList.toggle("strong", one.active);
      button.onclick = async () => {
        button.disabled = true;
        await send(one.active ? "DELETE" : "POST", "/api/v1/faults", { name: one.name, target: one.target })
          .catch((error) => window.alert(error.message));
        button.disabled = false;
      };
    });
}
