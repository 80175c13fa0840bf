// The big counts: readable from the other end of the room.

import { $, h, keyed, icon, say, turn } from "./dom.js";
import { state } from "./state.js";
import { t } from "./text.js";
import { waiting } from "./waiting.js";

function tallies() {
  const { counts } = state;
  return ["opds", "links", "sensors", "cameras"].map((name) => {
    const { up, total, trouble, unknown } = counts[name];
    const off = total - up - unknown;
    // Nothing of the kind is watched: neither good nor bad.
    if (!total) return { name, up, total, kind: "no_data", note: t("tile.nothing") };
    const notes = [
      off && t(`tile.${name}.off`, { count: off }),
      unknown && t("tile.unknown", { count: unknown }),
      !off && trouble && t("tile.trouble", { count: trouble }),
    ].filter(Boolean);
    return {
      name, up, total, kind: off ? "down" : trouble || unknown ? "warning" : "ok",
      note: notes.join(" · ") || t(`tile.${name}.ok`),
    };
  });
}

const TOLD = ["critical", "warning", "info", "acknowledged", "explained"];

/** Green only when there is no alert and none can still come of what is off. */
function alertTile() {
  const counts = state.counts.alerts;
  const told = TOLD.filter((name) => counts[name]).map((name) => t(`tile.alerts.${name}`, { count: counts[name] }));
  const due = waiting();
  const notes = told.length ? told : due;
  const calm = counts.warning || due.length ? "warning" : told.length ? "info" : "ok";
  return {
    name: "alerts", up: counts.critical + counts.warning + counts.info, total: null,
    kind: counts.critical ? "critical" : calm, note: notes.join(" · ") || t("tile.alerts.ok"),
  };
}

export function showTiles() {
  keyed($("tiles"), [...tallies(), alertTile()], (one) => one.name,
    (one) => h("div", { class: "tile" },
      h("span", { class: "tile-icon" }),
      h("h3", {}, t(`tile.${one.name}`)),
      h("p", { class: "big" }, h("b"), h("span")),
      h("p", { class: "note" })),
    (node, one) => {
      node.dataset.state = one.kind;
      turn(node.querySelector(".tile-icon"), one.kind, one.total === 0 ? one.note : t(`state.${one.kind}`));
      say(node.querySelector("b"), String(one.up));
      say(node.querySelector(".big span"), one.total === null ? "" : `/ ${one.total}`);
      say(node.querySelector(".note"), one.note);
    });
}
