// What everybody may know. Asks every quarter of a minute; no stream, so that many may look.

import { $, get, h, icon, say } from "./dom.js";
import { fieldName, moment, plain, quantity, since, t, zoneName } from "./text.js";

const REFRESH_MS = 15000;

function card(title, value, unit, more, kind) {
  return h("article", { class: "card", "data-class": kind }, h("h3", {}, title),
    h("p", { class: "big" }, value, h("small", {}, unit)), ...more);
}

const none = () => [h("p", { class: "muted" }, t("public.none"))];
const orNone = (cards) => (cards.length ? cards : none());

const where = (one) => (one.station.includes(one.site) ? one.station : `${one.station} · ${one.site}`);

function air(one) {
  const [value, unit] = quantity(one.pm25, "µg/m³", "pm25");
  const mean = one.mean_24h === null ? [] : [h("p", { class: "muted" }, t("public.mean", { value: plain(one.mean_24h, "µg/m³", "pm25") }))];
  return card(where(one), value, `${unit} PM2.5`,
    [h("p", { class: "class" }, t(`air.${one.category}`)), ...mean, h("p", { class: "small" }, t(`air.${one.category}.advice`))], one.category);
}

function measured(one) {
  const [value, unit] = quantity(one.value, one.unit, one.field);
  return card(where(one), value, unit, [h("p", { class: "muted" }, fieldName(one.field))]);
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
