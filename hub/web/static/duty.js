// Who is on duty and who is next, what would be handed over, and what people did.

import { $, get, h, keyed, say, turn } from "./dom.js";
import { now, state } from "./state.js";
import { duration, has, moment, pick, t } from "./text.js";

const LATELY = 100;
const SHAPES = { acknowledge: "acknowledged", unacknowledge: "info", silence: "no_data", unsilence: "ok", maintenance: "info", dismiss: "no_data", undismiss: "info" };
let teams = [];
let acts = [];

const day = (ms) => moment(ms, state.regency.zone, "day");

/** What a matcher names, as people call it. */
export function matched([key, patterns]) {
  const known = { device: state.info, site: state.sites, opd: state.opds }[key];
  return `${has(`match.${key}`) ? t(`match.${key}`) : key}: ${patterns.map((one) => known?.get(one)?.name ?? one).join(", ")}`;
}

/** `rule:device:tag=value` as "title or rule · device · value". */
function alertOf(key) {
  const open = state.alerts.find((one) => one.key === key);
  const [rule, device, ...tags] = key.split(":").map(decodeURIComponent);
  const what = [(open && pick(open.title)) || rule, state.info.get(device)?.name ?? device, ...tags.map((tag) => tag.split("=")[1])];
  return what.filter(Boolean).join(" · ");
}

/** `device:aq-7`, `stranger:r-dlh:ether4:printer` in words. */
function foundOf(key) {
  const [word, ...parts] = key.split(":").map(decodeURIComponent);
  return [has(`found.${word}`) ? t(`found.${word}`) : word, ...parts.map((one) => state.info.get(one)?.name ?? one)].join(" · ");
}

/** What the act was about; the end of a silence tells which one. */
function about(act) {
  if (act.kind === "unsilence" && act.key) {
    const begun = acts.find((one) => one.id === act.key);
    return begun ? about(begun) : `#${act.key}`;
  }
  if (act.kind === "dismiss" || act.kind === "undismiss") return foundOf(act.key);
  return act.key ? alertOf(act.key) : Object.entries(act.matcher).map(matched).join(" · ");
}

/** "sampai 14:00", "selesai", "diakhiri". */
function ends(act) {
  if (!act.until_ms) return "";
  if (acts.some((one) => one.kind === "unsilence" && one.key === act.id)) return t("act.ended");
  return act.until_ms < now() ? t("act.over") : t("silence.until", { time: day(act.until_ms) });
}

/** Whoever takes over does so when the other's time is up, or it is said when. */
function next({ now: is, next: later }) {
  if (!is) return "";
  if (!later) return t("duty.alone");
  return is.until_ms === later.since_ms ? t("duty.next", { name: later.name }) : t("duty.next.at", { name: later.name, time: day(later.since_ms) });
}

function teamCard() {
  return h("article", { class: "team" }, h("h3"), h("p", { class: "team-now" }, h("b"), h("small")), h("p", { class: "team-next muted" }),
    h("p", { class: "team-told muted" }), h("p", { class: "team-open" }), h("details", {}, h("summary", {}, t("duty.handover")), h("pre")));
}

function fillTeam(node, one) {
  const part = (name) => node.querySelector(name);
  say(part("h3"), one.name);
  node.classList.toggle("nobody", !one.now);
  say(part(".team-now b"), one.now ? one.now.name : t("duty.nobody"));
  say(part(".team-now small"), one.now ? t("silence.until", { time: day(one.now.until_ms) }) : "");
  part(".team-now small").title = one.now ? duration(one.now.until_ms - now()) : "";
  say(part(".team-next"), next(one));
  say(part(".team-told"), one.channels.length ? t("duty.told", { channels: one.channels.join(", ") }) : t("duty.untold"));
  node.classList.toggle("untold", !one.channels.length);
  say(part(".team-open"), one.open ? t("duty.open", { open: one.open, acknowledged: one.acknowledged }) : t("duty.calm"));
  node.classList.toggle("busy", one.open > one.acknowledged);
  part("details").hidden = !one.now;
  say(part("pre"), [pick(one.handover_title), pick(one.handover)].filter(Boolean).join("\n"));
}

function actRow() {
  return h("div", { class: "event" }, h("time"), h("span", { class: "thing-icon" }), h("span", {}, h("b"), h("small")));
}

function fillAct(node, one) {
  say(node.querySelector("time"), day(one.time_ms));
  turn(node.querySelector(".thing-icon"), SHAPES[one.kind] ?? "info", t(`act.${one.kind}`));
  say(node.querySelector("b"), `${t(`act.${one.kind}`)}: ${about(one)}`);
  say(node.querySelector("small"), [t("alert.by", { who: one.who }), one.why && `“${one.why}”`, ends(one)].filter(Boolean).join(" · "));
}

export function showDuty(box) {
  keyed(box, ["teams", "acts"], (one) => one, (one) => h("section", { class: `duty-${one}` }, h("h3", {}, t(`duty.${one}`)), h("div")), () => {});
  const [left, right] = [...box.children].map((one) => one.lastChild);
  if (teams.length) keyed(left, teams, (one) => one.id, teamCard, fillTeam);
  else left.replaceChildren(h("p", { class: "muted", "data-key": "none" }, t("duty.none")));
  if (acts.length) keyed(right, acts, (one) => one.id, actRow, fillAct);
  else right.replaceChildren(h("p", { class: "muted", "data-key": "none" }, t("duty.no_acts")));
}

export async function loadDuty() {
  [teams, acts] = await Promise.all([
    get("/api/v1/duty").catch(() => teams), get(`/api/v1/acts?limit=${LATELY}`).catch(() => acts)]);
}
