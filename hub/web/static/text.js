// Texts in the reader's language. The page says which (`<html lang>`); one catalogue holds both.

export const language = document.documentElement.lang || "id";
const locale = language === "id" ? "id-ID" : "en-GB";

const catalogue = await (await fetch("/static/text.json")).json();

/** The text of a key, with {names} filled in. A missing key shows itself. */
export function t(key, values = {}) {
  const text = catalogue[key]?.[language] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export const has = (key) => key in catalogue;

/** One of several languages, e.g. {id: "…", en: "…"}. */
export const pick = (texts) => texts?.[language] ?? Object.values(texts ?? {})[0] ?? "";

const numbers = new Map();

export function number(value, digits) {
  if (!numbers.has(digits)) {
    numbers.set(digits, new Intl.NumberFormat(locale,
      { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  return numbers.get(digits).format(value);
}

const SCALED = { "bit/s": ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"] };
const DIGITS = { water_level_m: 2, ph: 1, do_mgl: 1, pm25: 1, pm10: 1, rain_mm: 1, rain_mm_24h: 1 };

/** A number as large as it is shown, and the unit it has then: 12400000 bit/s → [12.4, "Mbit/s"]. */
function scaled(value, unit) {
  const steps = SCALED[unit];
  if (!steps) return [value, unit];
  const step = value < 1000 ? 0 : Math.min(steps.length - 1, Math.floor(Math.log10(value) / 3));
  return [value / 1000 ** step, steps[step]];
}

/** A value and its unit as two texts, with `least` decimals or more: ["12,4", "Mbit/s"]. */
export function quantity(value, unit, field = "", least = 0) {
  if (value === null || value === undefined) return ["–", unit];
  if (typeof value === "string") return [value, ""];
  const truth = `value.${field}.${value}`;
  if (has(truth)) return [t(truth), ""];
  const [amount, name] = scaled(value, unit);
  if (unit in SCALED) return [number(amount, Math.max(least, name === unit ? 0 : 1)), name];
  if (unit === "s" && value >= 120) return [duration(value * 1000), ""];
  const whole = Number.isInteger(value) && Math.abs(value) >= 100;
  return [number(value, Math.max(least, DIGITS[field] ?? (whole || Math.abs(value) >= 100 ? 0 : 1))), unit];
}

export const plain = (value, unit, field, least) => quantity(value, unit, field, least).join(" ").trim();

const MOST_DIGITS = 4;

/** How many decimals show a number as it is, as far as that many can. */
const decimals = (value) => [0, 1, 2, 3].find((count) => Math.abs(value - Number(value.toFixed(count))) < 1e-9) ?? MOST_DIGITS;

/** A value and its limit as texts, with the decimals that the limit has and that tell one from the other. */
export function compared(value, limit, unit) {
  const both = (text) => [text(value), text(limit)];
  const differ = ([one, other]) => one !== other || value === limit;
  const inTime = unit === "s" && both((one) => duration(one * 1000));
  if (inTime && differ(inTime)) return inTime;
  for (let least = decimals(scaled(limit, unit)[0]); least < MOST_DIGITS; least++) {
    const texts = both((one) => (inTime ? `${number(one, least)} s` : plain(one, unit, "", least)));
    if (differ(texts)) return texts;
  }
  return both((one) => `${one} ${unit}`.trim());
}

/** A field's name for people. */
export const fieldName = (field) => (has(`field.${field}`) ? t(`field.${field}`) : field);

/** 95 000 → "1 mnt", two parts at most from an hour on. */
export function duration(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  const parts = [[Math.floor(s / 86400), "short.day"], [Math.floor(s / 3600) % 24, "short.hour"],
    [Math.floor(s / 60) % 60, "short.minute"], [s % 60, "short.second"]];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return `0 ${t("short.second")}`;
  const shown = parts.slice(first, first + (first < 2 ? 2 : 1)).filter(([count]) => count > 0);
  return shown.map(([count, key]) => `${count} ${t(key)}`).join(" ");
}

const formats = new Map();

/** A time of day or date in the regency's zone; `kind` is clock, minute, date or moment. */
export function moment(ms, zone, kind) {
  const options = {
    clock: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
    minute: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
    date: { weekday: "long", day: "numeric", month: "long", year: "numeric" },
    day: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
    moment: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  }[kind];
  const key = `${zone} ${kind}`;
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(locale, { timeZone: zone, ...options }));
  const text = formats.get(key).format(ms);
  return kind === "date" ? text : text.replaceAll(".", ":");
}

const ZONES = { "Asia/Jakarta": "WIB", "Asia/Makassar": "WITA", "Asia/Jayapura": "WIT" };
export const zoneName = (zone) => ZONES[zone] ?? zone;

/** "08:24", with the day when that was not within the last 24 hours. */
export const since = (ms, nowMs, zone) => moment(ms, zone, nowMs - ms < 86400000 ? "minute" : "day");
