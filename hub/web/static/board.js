// The board: wires the stream to its parts.

import { $, h, keyed, say } from "./dom.js";
import { countUnseen, showAlerts, showAll } from "./alerts.js";
import { Charts } from "./charts.js";
import { drawMap, paintMap } from "./map.js";
import { now, onChange, start, state } from "./state.js";
import { language, moment, duration, t, zoneName } from "./text.js";
import { showThings, tick as tickThings } from "./things.js";
import { showTiles } from "./tiles.js";

const OLD_MS = 60000; // data older than this is worth a banner
let charts = null;

function showClock() {
  const zone = state.regency?.zone;
  if (!zone) return;
  say($("clock"), `${moment(now(), zone, "clock")}`);
  say($("date"), `${moment(now(), zone, "date")} · ${zoneName(zone)}`);
}

function showLink() {
  const age = state.health?.newest_ms ? now() - state.health.newest_ms : null;
  const word = state.link === "live" && age !== null && age > OLD_MS ? "old" : state.link;
  $("link").dataset.state = word;
  say($("link"), t(`link.${word}`));
}

/** What a person must know before believing the rest. */
function banners() {
  const found = [];
  if (state.link === "lost") found.push(["critical", t("banner.lost")]);
  if (!state.ready) return found;
  const newest = state.health.newest_ms;
  if (newest === null) found.push(["info", t("banner.nothing")]);
  else if (now() - newest > OLD_MS) found.push(["critical", t("banner.old", { age: duration(now() - newest) })]);
  if (!state.health.history) found.push(["warning", t("banner.history")]);
  if (state.health.drops > 0) found.push(["warning", t("banner.drops", { count: state.health.drops })]);
  for (const reason of state.health.ok ? [] : state.health.reasons) found.push(["warning", reason]);
  return found;
}

function showBanners() {
  keyed($("banners"), banners(), ([kind, text]) => kind + text,
    ([kind]) => h("p", { class: `banner ${kind}` }), (node, [, text]) => say(node, text));
}

function everySecond() {
  showClock();
  showLink();
  showBanners();
  if (state.ready) {
    showAlerts();
    tickThings();
  }
}

onChange((changes) => {
  showClock();
  showLink();
  showBanners();
  if (!state.ready || changes.link) return;
  if (changes.all) {
    drawMap();
    charts ??= new Charts($("charts"), $("chart-span"));
    charts.choose();
  }
  showTiles();
  paintMap();
  showAlerts();
  showThings(changes);
});

async function showSession() {
  const answer = await fetch("/api/v1/me");
  const me = answer.ok ? await answer.json() : null;
  state.me = me;
  $("session").hidden = me?.auth === "demo";
  if (me && me.name !== "local") say($("session"), me.name);
}

document.documentElement.lang = language;
$("alerts").addEventListener("scroll", () => state.ready && countUnseen(), { passive: true });
$("alerts-more").addEventListener("click", showAll);
setInterval(everySecond, 1000);
showSession();
start();
