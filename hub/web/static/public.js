// What everybody may know. Asks every quarter of a minute; no stream, so that many may look.

import { $, get, h, icon, say } from "./dom.js";
import { duration, fieldName, moment, pick, plain, quantity, since, t, zoneName } from "./text.js";

const REFRESH_MS = 15000;

function card(title, value, unit, more, kind) {
  return h("article", { class: "card", "data-class": kind }, h("h3", {}, title),
    h("p", { class: "big" }, value, h("small", {}, unit)), ...more);
}

const none = () => [h("p", { class: "muted" }, t("public.none"))];
const orNone = (cards) => (cards.length ? cards : none());

const where = (one) => (one.station.includes(one.site) ? one.station : `${one.station} · ${one.site}`);

const concentration = (value) => plain(value, "µg/m³", "pm25");

/** The mean and its class belong together; the present stands beside them, without a class. */
function air(one) {
  const known = one.mean_24h !== null;
  const [value, unit] = quantity(one.mean_24h, "µg/m³", "pm25");
  const what = !known ? t("public.past") : one.category ? t("public.mean") : t("public.part", { span: duration(one.data_s * 1000) });
  const advice = one.category ? t(`air.${one.category}.advice`) : known ? t("public.few.advice") : "";
  const present = [t("public.now", { value: concentration(one.pm25) })];
  if (one.mean_1h !== null) present.push(t("public.hour", { value: concentration(one.mean_1h) }));
  const ispu = one.ispu === null ? "" : t("public.ispu", { value: one.ispu, what: fieldName(one.dominant) });
  return card(where(one), value, unit, [
    h("p", { class: "muted" }, what),
    ispu && h("p", { class: "ispu" }, one.indicative ? `${ispu} · ${t("public.indicative")}` : ispu),
    h("p", { class: "class" }, one.category ? t(`air.${one.category}`) : t("public.few")),
    advice && h("p", { class: "small" }, advice),
    h("p", { class: "present" }, present.join(" · ")),
    one.over && h("p", { class: "over" }, icon("warning", ""), h("span", {}, t("public.over", { limit: concentration(one.limit) }))),
  ], one.category || "none");
}

function measured(one) {
  const [value, unit] = quantity(one.value, one.unit, one.field);
  return card(where(one), value, unit, [
    h("p", { class: "muted" }, fieldName(one.field)),
    pick(one.alarm) && h("p", { class: "over" }, icon("warning", ""), h("span", {}, pick(one.alarm))),
  ]);
}

function service(one, zone) {
  const up = one.state === "online";
  return h("li", {}, icon(up ? "ok" : "down", ""), h("span", {}, one.name),
    h("small", {}, one.since_ms ? t("public.cut", { time: since(one.since_ms, Date.now(), zone) }) : t(`public.${one.state}`)));
}

async function refresh() {
  if (document.hidden) return;
  try {
    const page = await get("/api/v1/public");
    $("air").replaceChildren(...orNone(page.air.map(air)));
    $("lake").replaceChildren(...orNone(page.lake.map(measured)));
    $("rain").replaceChildren(...orNone(page.rain.map(measured)));
    $("services").replaceChildren(...page.services.map((one) => service(one, page.regency.zone)));
    say($("offices"), t("public.offices", page.offices));
    const zone = page.regency.zone;
    say($("updated"), t("public.updated", { time: `${moment(page.now_ms, zone, "date")}, ${moment(page.now_ms, zone, "clock")} ${zoneName(zone)}` }));
    $("banners").replaceChildren(...(page.stale ? [h("p", { class: "banner warning" }, t("public.stale"))] : []));
  } catch {
    $("banners").replaceChildren(h("p", { class: "banner critical" }, t("public.stale")));
  }
}

setInterval(refresh, REFRESH_MS);
document.addEventListener("visibilitychange", refresh);
refresh();
