// Charts over uPlot. Points come from /api/v1/query; it says when they come from memory only.

import uPlot from "./vendor/uPlot.esm.js";
import { get, h, say } from "./dom.js";
import { state } from "./state.js";
import { language, number, plain, t } from "./text.js";

const theme = getComputedStyle(document.documentElement);
const colour = (name) => theme.getPropertyValue(`--${name}`).trim();
const COLOURS = [0, 1, 2, 3, 4, 5].map((number) => colour(`line-${number}`));
const REFRESH_MS = 5000;
const WINDOWS = [2, 5, 10, 30, 60, 300];
const MOST_POINTS = 1800;
const seconds = (span) => Number.parseInt(span, 10) * { m: 60, h: 3600, d: 86400 }[span.at(-1)];
const EMPTY_AFTER = 3; // windows without a point before the line breaks

/** Lines of several series over one common time axis, as uPlot wants them. */
function table(lines) {
  const times = [...new Set(lines.flatMap((line) => line.points.map(([time]) => time)))].sort((a, b) => a - b);
  const at = new Map(times.map((time, index) => [time, index]));
  const columns = lines.map((line) => {
    const column = new Array(times.length).fill(undefined);
    for (const [time, value] of line.points) column[at.get(time)] = value;
    return column;
  });
  return [times.map((time) => time / 1000), ...columns];
}

/** A gap is drawn where a series was silent for several of its usual steps. */
function gaps(window) {
  return (plot, series, from, to, nulls) => {
    const [times, values] = [plot.data[0], plot.data[series]];
    const points = [];
    for (let i = from; i <= to; i++) if (values[i] !== undefined && values[i] !== null) points.push(times[i]);
    const steps = points.slice(1).map((time, i) => time - points[i]).sort((a, b) => a - b);
    const usual = Math.max(window, steps[Math.floor(steps.length / 2)] ?? window);
    const found = [...nulls];
    points.slice(1).forEach((time, i) => {
      if (time - points[i] > EMPTY_AFTER * usual) found.push([plot.valToPos(points[i], "x", true), plot.valToPos(time, "x", true)]);
    });
    return found.sort((a, b) => a[0] - b[0]);
  };
}

const zoned = (seconds) => uPlot.tzDate(new Date(seconds * 1000), state.regency?.zone ?? "Asia/Jakarta");
const AXIS = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "13px system-ui, sans-serif" };

class Chart {
  /** `wanted`: {title, parts: [{measurement, field, device, ifname?, sensor?, label}]} */
  constructor(wanted, height = 200) {
    this.wanted = wanted;
    this.height = height;
    this.note = h("small", { class: "chart-note" });
    this.value = h("span", { class: "chart-now" });
    this.body = h("div", { class: "chart-body" });
    this.node = h("figure", { class: "chart" }, h("figcaption", {}, h("span", {}, wanted.title), this.value, this.note), this.body);
    this.plot = null;
    this.key = "";
    new ResizeObserver(() => this.resize()).observe(this.body);
  }

  async load(span) {
    const window = this.window(span);
    const answers = await Promise.all(this.wanted.parts.map(async (part) => {
      const query = new URLSearchParams({ measurement: part.measurement, field: part.field, device: part.device, since: span });
      if (window) query.set("window", window);
      for (const tag of ["ifname", "sensor"]) if (part[tag]) query.set(tag, part[tag]);
      const answer = await get(`/api/v1/query?${query}`);
      return { answer, part };
    }));
    const lines = answers.flatMap(({ answer, part }) => answer.series.map((series) => ({
      label: part.label ?? Object.entries(series.tags).filter(([key]) => key !== "device").map(([, value]) => value).join(" ") ?? "",
      points: series.points, field: part.field,
    })));
    const unit = answers[0]?.answer.unit ?? "";
    this.node.dataset.source = answers.some(({ answer }) => answer.source === "memory") ? "memory" : "store";
    this.show(lines, unit, answers[0]?.answer.window_s ?? 10);
  }

  /** Narrower windows than the span would give, while there is only a little to show. */
  window(span) {
    const times = this.plot?.data[0] ?? [];
    const known = times.length > 1 ? times.at(-1) - times[0] : 0;
    const least = seconds(span) / MOST_POINTS;
    const fitting = WINDOWS.findLast((one) => one <= Math.max(known / 120, least));
    return known && known < seconds(span) / 2 && fitting >= least ? `${fitting}s` : "";
  }

  show(lines, unit, window) {
    const count = lines.reduce((sum, line) => sum + line.points.length, 0);
    this.node.dataset.points = count;
    say(this.note, count === 0 ? t("chart.empty") : this.node.dataset.source === "memory" ? t("chart.memory") : "");
    const newest = lines.map((line) => [line, line.points.at(-1)]).filter(([, point]) => point);
    this.value.replaceChildren(...newest.map(([line, point], i) => h("span", { class: `line line-${i % 6}` },
      lines.length > 1 ? `${line.label} ` : "", h("b", {}, plain(point[1], unit, line.field)))));
    const data = table(lines);
    const key = `${unit}|${window}|${lines.map((line) => line.label).join("|")}`;
    if (this.plot && key === this.key) {
      this.plot.setData(data);
      return;
    }
    this.key = key;
    this.plot?.destroy();
    this.plot = new uPlot(this.options(lines, unit, window), data, this.body);
  }

  options(lines, unit, window) {
    return {
      ...this.size(), tzDate: zoned,
      legend: { show: false }, cursor: { y: false, points: { size: 7 } }, padding: [10, 26, 0, 0],
      scales: { x: { range: (plot, low, high) => timeRange(low, onePoint(plot) ? low : high) }, y: { range: (plot, low, high) => range(low, high, unit) } },
      axes: [
        { ...AXIS, space: 70, size: 30, values: (plot, times) => times.map((time) => zonedText(time, times)) },
        { ...AXIS, size: 72, space: 24, values: (plot, values, axis, space, step) => axisTexts(values, unit, step) },
      ],
      series: [{}, ...lines.map((line, i) => ({
        label: line.label, stroke: COLOURS[i % 6], width: 2, spanGaps: false, gaps: gaps(window),
        fill: lines.length === 1 ? "rgba(94,200,242,.12)" : undefined,
        points: { show: line.points.length < 40, size: 5, fill: COLOURS[i % 6] },
      }))],
    };
  }

  /** As wide as its box; as high, too, where the box has a height of its own (the wall). */
  size() {
    const height = getComputedStyle(this.body).flexGrow === "1" ? this.body.clientHeight : this.height;
    return { width: this.body.clientWidth || 400, height: Math.max(90, height) };
  }

  resize() {
    const { width, height } = this.size();
    if (this.plot && (Math.abs(width - this.plot.width) > 1 || Math.abs(height - this.plot.height) > 1)) this.plot.setSize({ width, height });
  }
}

/** All labels of an axis at one scale, with as many decimals as their step needs. */
export function axisTexts(values, unit, step) {
  const power = unit === "bit/s" ? Math.min(3, Math.floor(Math.log10(Math.max(1, ...values)) / 3)) : 0;
  const [scale, letter] = [1000 ** power, ["", " k", " M", " G"][power]];
  const digits = [0, 1, 2, 3, 4].find((count) => Math.abs(step / scale - Number((step / scale).toFixed(count))) < 1e-9) ?? 4;
  return values.map((value) => number(value / scale, digits) + (value ? letter : ""));
}

/** Of one point uPlot itself would make years. */
const onePoint = (plot) => plot.data[0].length === 1;

const LEAST_SPAN_S = 120; // a single point stands in the middle of that much time

export function timeRange(low, high) {
  if (low === null || low === undefined) return [Date.now() / 1000 - LEAST_SPAN_S, Date.now() / 1000];
  const room = Math.max(0, LEAST_SPAN_S - (high - low)) / 2;
  return [low - room, high + room];
}

function range(low, high, unit) {
  if (low === null || high === null || low === undefined) return [0, 1];
  if (unit === "bit/s" || unit === "%" || unit === "ms" || unit === "µg/m³") return [0, Math.max(high * 1.1, 1)];
  const room = Math.max((high - low) * 0.15, Math.abs(high) * 0.002, 0.01);
  return low < 0 ? [low - room, high + room] : [Math.max(0, low - room), high + room];
}

function zonedText(seconds, all) {
  const long = all.at(-1) - all[0] > 86400;
  const quick = all.length > 1 && all[1] - all[0] < 60;
  const options = long ? { day: "numeric", month: "short", hour: "2-digit" }
    : { hour: "2-digit", minute: "2-digit", ...(quick ? { second: "2-digit" } : {}) };
  return new Intl.DateTimeFormat(language === "id" ? "id-ID" : "en-GB",
    { timeZone: state.regency?.zone, hourCycle: "h23", ...options }).format(seconds * 1000).replaceAll(".", ":");
}

/** What the board draws by itself: the air of the capital and the traffic of the core. */
function defaults() {
  const devices = [...state.info.values()];
  const having = (field) => devices.filter((one) => state.devices.get(one.id)?.headline.some((metric) => metric.field === field));
  const air = having("pm25");
  const station = air.find((one) => one.site === "balige") ?? air[0];
  const behind = new Map();
  for (const one of devices) for (const up of one.depends_on) behind.set(up, (behind.get(up) ?? 0) + 1);
  const core = having("in_bps").sort((a, b) => (behind.get(b.id) ?? 0) - (behind.get(a.id) ?? 0))[0];
  return [station && airChart(station), core && trafficChart(core)].filter(Boolean);
}

function airChart(station) {
  const metric = state.devices.get(station.id).headline.find((one) => one.field === "pm25");
  return { title: `PM2.5 · ${station.name}`, parts: [{ measurement: metric.measurement, field: "pm25", device: station.id, sensor: metric.tags.sensor }] };
}

function trafficChart(router) {
  const metric = state.devices.get(router.id).headline.find((one) => one.field === "in_bps");
  const part = { measurement: "interface", device: router.id, ifname: metric.tags.ifname };
  return {
    title: `${t("chart.traffic")} · ${router.name} ${metric.tags.ifname ?? ""}`,
    parts: [{ ...part, field: "in_bps", label: t("chart.in") }, { ...part, field: "out_bps", label: t("chart.out") }],
  };
}

/** The charts of a page, refreshed together. */
export class Charts {
  constructor(box, span, height = 190, wanted = defaults) {
    Object.assign(this, { box, span, height, wanted, charts: [], key: "" });
    span.addEventListener("change", () => this.load());
    setInterval(() => this.choose(), REFRESH_MS);
  }

  choose() {
    const wanted = this.wanted();
    const key = JSON.stringify(wanted);
    if (key !== this.key) {
      this.key = key;
      this.charts = wanted.map((one) => new Chart(one, this.height));
      this.box.replaceChildren(...this.charts.map((one) => one.node));
    }
    this.load();
  }

  load() {
    if (document.hidden) return;
    for (const chart of this.charts) {
      chart.load(this.span.value).catch(() => say(chart.note, t("chart.failed")));
    }
  }
}
