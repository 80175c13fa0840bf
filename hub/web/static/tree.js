// What depends on a device, as a tree: whole branches that are well are one line.

import { h, keyed, say, turn } from "./dom.js";
import { state } from "./state.js";
import { t } from "./text.js";

const MOST = 60;
const WELL = 14; // rows, when no more are in trouble
const OFF = new Set(["down", "no_data"]);

const children = (id) => [...state.info.values()].filter((one) => one.depends_on.includes(id)).map((one) => one.id);
const word = (id) => state.devices.get(id)?.state ?? "no_data";

/**
 * What depends on a device, each once: its rows (with how deep they stand; of branches only what is
 * in trouble, which comes first), how many there are, and how many of them are off.
 */
function below(id, depth, seen) {
  const brothers = children(id).filter((one) => !seen.has(one));
  brothers.forEach((one) => seen.add(one));
  const found = brothers.map((one) => ({ id: one, depth, off: OFF.has(word(one)), ...below(one, depth + 1, seen) }));
  found.sort((a, b) => b.off - a.off || b.troubled - a.troubled);
  return {
    rows: found.flatMap((one) => [one, ...one.rows.filter((row) => row.off || row.troubled)]),
    count: found.reduce((sum, one) => sum + 1 + one.count, 0),
    troubled: found.reduce((sum, one) => sum + one.off + one.troubled, 0),
  };
}

export function showTree(box, id) {
  const { rows } = below(id, 0, new Set([id]));
  const inTrouble = rows.filter((one) => one.off || one.troubled).length;
  const shown = rows.slice(0, Math.min(MOST, Math.max(WELL, inTrouble)));
  keyed(box, shown.length ? shown : [{ id: "" }], (one) => one.id,
    (one) => (one.id ? h("li", {}, h("span"), h("a", { href: `/device/${encodeURIComponent(one.id)}` }), h("small")) : h("li", { class: "muted" }, t("device.none"))),
    (node, one) => {
      if (!one.id) return;
      node.style.setProperty("--depth", one.depth);
      node.classList.toggle("nested", one.depth > 0);
      turn(node.firstChild, word(one.id), t(`state.${word(one.id)}`));
      say(node.children[1], state.info.get(one.id)?.name ?? one.id);
      const behind = one.troubled ? t("tree.troubled", { troubled: one.troubled, count: one.count })
        : one.count ? t("tree.well", { count: one.count }) : "";
      say(node.children[2], [behind, word(one.id) === "ok" ? "" : t(`state.${word(one.id)}`)].filter(Boolean).join(" · "));
    });
  if (rows.length > shown.length) box.append(h("li", { class: "muted", "data-key": "more" }, t("device.more", { count: rows.length - shown.length })));
}
