// One device: all its last readings, charts, alerts, and what stands between it and the core.

import { $, get, h, keyed, say, turn } from "./dom.js";
import { alertRow, fillAlert } from "./alerts.js";
import { Charts } from "./charts.js";
import { now, onChange, start, state } from "./state.js";
import { duration, fieldName, has, moment, plain, t } from "./text.js";
import { showHistory, timeline } from "./things.js";
import { showTree } from "./tree.js";
import { showWhy } from "./why.js";

const id = decodeURIComponent(location.pathname.split("/").at(-1));
const MOST_CHARTS = 6;
const MOST_ABOVE = 12;
const UNDRAWN = new Set(["up", "oper_up", "admin_up", "state", "speed_bps", "in_octets", "out_octets", "uptime_s", "rtsp_ok", "frozen", "alias", "uplink"]);
const IDENTITY = new Set(["sys_descr", "sys_name", "sys_location", "sys_object_id"]);
const REFRESH_MS = 3000;
const refreshWhy = showWhy($("why"), id);
let charts = null;

const part = (metric) => Object.values(metric.tags).join(" ");

/** The headline first, then every other number that is worth a line. */
function wantedCharts(detail) {
  const numbers = [...detail.now.headline, ...detail.readings].filter((one) => typeof one.value === "number" && !UNDRAWN.has(one.field));
  const wanted = new Map();
  for (const one of numbers) {
    const key = `${one.measurement} ${one.field} ${part(one)}`;
    if (wanted.has(key) || wanted.size >= MOST_CHARTS) continue;
    wanted.set(key, { title: `${fieldName(one.field)} ${one.measurement === "environment" ? "" : part(one)}`.trim(),
      parts: [{ measurement: one.measurement, field: one.field, device: id, ifname: one.tags.ifname, sensor: one.tags.sensor }] });
  }
  return [...wanted.values()];
}

function showHead(detail) {
  const { device, now: is } = detail;
  document.title = `${device.name} · ${state.regency.name}`;
  turn($("device-icon"), is.state, t(`state.${is.state}`));
  say($("device-name"), device.name);
  const kind = has(`kind.${device.kind}`) ? t(`kind.${device.kind}`) : device.kind;
  say($("device-place"), [kind, state.opds.get(device.opd)?.name, state.sites.get(device.site)?.name, device.address, device.id].filter(Boolean).join(" · "));
  say($("device-heard"), `${t(`state.${is.state}`)} · ${is.heard_ms ? t("thing.age", { age: duration(now() - is.heard_ms) }) : t("thing.never")}`);
}

function showDevices(box, ids) {
  const shown = ids.slice(0, MOST_ABOVE);
  keyed(box, shown.length ? shown : [""], (one) => one,
    (one) => (one ? h("li", {}, h("span"), h("a", { href: `/device/${encodeURIComponent(one)}` }), h("small")) : h("li", { class: "muted" }, t("device.none"))),
    (node, one) => {
      if (!one) return;
      const word = state.devices.get(one)?.state ?? "no_data";
      turn(node.firstChild, word, t(`state.${word}`));
      say(node.children[1], state.info.get(one)?.name ?? one);
      say(node.children[2], t(`state.${word}`));
    });
  if (ids.length > shown.length) box.append(h("li", { class: "muted", "data-key": "more" }, t("device.more", { count: ids.length - shown.length })));
}

function showReadings(metrics) {
  keyed($("readings"), metrics, (one) => `${one.measurement} ${one.field} ${part(one)}`,
    () => h("tr", {}, h("td"), h("td", { class: "muted" }), h("td", { class: "number" }), h("td", { class: "right muted" })),
    (row, one) => {
      const [what, where, value, when] = row.children;
      say(what, fieldName(one.field));
      what.title = `${one.measurement}.${one.field}`;
      say(where, part(one));
      say(value, plain(one.value, one.unit, one.field));
      value.classList.toggle("doubt", one.quality !== 0);
      say(when, moment(one.time_ms, state.regency.zone, "moment"));
    });
}

/** What the device says of itself: long, seldom asked for, folded away. */
function showIdentity(metrics) {
  $("identity").hidden = !metrics.length;
  keyed($("identity-list"), metrics, (one) => `${one.field} ${part(one)}`, () => h("div", {}, h("dt", { class: "muted" }), h("dd")),
    (node, one) => {
      say(node.children[0], fieldName(one.field));
      say(node.children[1], String(one.value));
    });
}

async function refresh() {
  if (!state.ready || document.hidden) return;
  const detail = await get(`/api/v1/devices/${encodeURIComponent(id)}`).catch(() => null);
  if (!detail) {
    say($("device-name"), t("device.unknown"));
    return;
  }
  showHead(detail);
  showReadings(detail.readings.filter((one) => !IDENTITY.has(one.field)));
  showIdentity(detail.readings.filter((one) => IDENTITY.has(one.field)));
  showDevices($("chain"), detail.chain);
  showTree($("behind"), id);
  $("alerts-panel").hidden = !detail.alerts.length;
  keyed($("alerts"), detail.alerts, (one) => one.key, alertRow, fillAlert);
  showHistory($("history"), timeline(detail.history, detail.events));
  refreshWhy();
  if (!charts) {
    charts = new Charts($("charts"), $("chart-span"), 170, () => wanted);
    wanted = wantedCharts(detail);
    charts.choose();
  }
}

let wanted = [];
onChange((changes) => {
  if (changes.all || changes.alerts) refresh();
  const lost = state.link === "lost" ? [t("banner.lost")] : [];
  keyed($("banners"), lost, (text) => text, () => h("p", { class: "banner critical" }), say);
});
fetch("/api/v1/me").then(async (answer) => { state.me = answer.ok ? await answer.json() : null; refresh(); });
setInterval(refresh, REFRESH_MS);
start();
