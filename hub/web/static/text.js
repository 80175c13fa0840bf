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

/** A value and its unit as two texts: ["12,4", "Mbit/s"]. */
export function quantity(value, unit, field = "") {
  if (value === null || value === undefined) return ["–", unit];
  if (typeof value === "string") return [value, ""];
  const truth = `value.${field}.${value}`;
  if (has(truth)) return [t(truth), ""];
  const steps = SCALED[unit];
  if (steps) {
    const step = value < 1000 ? 0 : Math.min(steps.length - 1, Math.floor(Math.log10(value) / 3));
    const scaled = value / 1000 ** step;
    return [number(scaled, step ? 1 : 0), steps[step]];
  }
  if (unit === "s" && value >= 120) return [duration(value * 1000), ""];
  const whole = Number.isInteger(value) && Math.abs(value) >= 100;
  return [number(value, DIGITS[field] ?? (whole || Math.abs(value) >= 100 ? 0 : 1)), unit];
}

export const plain = (value, unit, field) => quantity(value, unit, field).join(" ").trim();

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
