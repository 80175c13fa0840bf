// The regency as SVG, drawn from its own GeoJSON: no tiles, no network.

import { $, get, h, icon, s, say } from "./dom.js";
import { state } from "./state.js";
import { t } from "./text.js";

const ORDER = ["ok", "warning", "no_data", "critical", "down"];
const HEIGHT = 430;
let project = null;

function projection([south, west, north, east]) {
  const squeeze = Math.cos(((south + north) / 2) * Math.PI / 180);
  const scale = HEIGHT / (north - south);
  const width = (east - west) * squeeze * scale;
  return { width, at: (lon, lat) => [(lon - west) * squeeze * scale, (north - lat) * scale] };
}

function path(geometry) {
  const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
  return polygons.flat().map((ring) =>
    "M" + ring.map(([lon, lat]) => project.at(lon, lat).map((n) => n.toFixed(1)).join(" ")).join("L") + "Z").join("");
}

function bounds(shapes) {
  const [south, west, north, east] = state.regency.bounds;
  const sites = [...state.sites.values()].filter((one) => one.lat !== null);
  const lats = [south, north, ...sites.map((one) => one.lat)];
  const lons = [west, east, ...sites.map((one) => one.lon)];
  if (!shapes.length && sites.length) { lats.splice(0, 2); lons.splice(0, 2); }
  return [Math.min(...lats) - 0.01, Math.min(...lons) - 0.02, Math.max(...lats) + 0.01, Math.max(...lons) + 0.01];
}

export async function drawMap() {
  const map = await get("/map.geojson").catch(() => ({}));
  const shapes = (map.features ?? []).filter((one) => one.geometry?.type.endsWith("Polygon"));
  project = projection(bounds(shapes));
  const svg = s("svg", { viewBox: `0 0 ${project.width.toFixed(0)} ${HEIGHT}`, class: "map", role: "group", "aria-label": t("map.title") });
  for (const kind of ["regency", "lake"]) {
    for (const shape of shapes.filter((one) => (one.properties?.kind ?? "regency") === kind)) {
      svg.append(s("path", { d: path(shape.geometry), class: kind }));
    }
  }
  const busiest = [...state.sites.values()].filter((one) => one.lat !== null);
  const placed = busiest.map((site) => project.at(site.lon, site.lat)).map(([x, y]) => [x - 11, y - 11, x + 11, y + 11]);
  for (const lake of shapes.filter((one) => one.properties?.kind === "lake")) svg.append(lakeName(lake, placed));
  const size = matchMedia("(max-width: 760px)").matches ? 18 : 15;
  const points = busiest.map((site, i) => {
    const [x, y] = project.at(site.lon, site.lat);
    return { id: site.id, name: shortened(site.name, size), i, x, y };
  });
  const ways = layout(points, placed, size);
  busiest.forEach((site, i) => svg.append(marker(site, points[i].name, ways.get(site.id))));
  $("map").replaceChildren(svg);
  $("legend").replaceChildren(...["ok", "warning", "critical", "down", "no_data"].map((word) =>
    h("li", {}, icon(word, ""), t(`state.${word}`))));
  paintMap();
}

/** The stretches of a level line that lie inside a ring of points, as [from, to]. */
function inside(ring, y) {
  const cuts = [];
  ring.forEach(([x1, y1], i) => {
    const [x2, y2] = ring[(i + 1) % ring.length];
    if ((y1 > y) !== (y2 > y)) cuts.push(x1 + ((y - y1) / (y2 - y1)) * (x2 - x1));
  });
  cuts.sort((a, b) => a - b);
  return cuts.flatMap((x, i) => (i % 2 ? [] : [[Math.max(0, x), Math.min(project.width, cuts[i + 1])]])).filter(([from, to]) => to > from);
}

/** The lake's name, a word a line, where the water is widest and no place is marked. */
function lakeName(shape, placed) {
  const words = (shape.properties.name ?? "").split(" ");
  const rings = shape.geometry.type === "Polygon" ? shape.geometry.coordinates : shape.geometry.coordinates[0];
  const ring = rings[0].map(([lon, lat]) => project.at(lon, lat));
  const [wide, high] = [Math.max(...words.map((word) => word.length)) * 11 + 6, words.length * 18 + 4];
  let best = { room: -Infinity, x: 40, y: HEIGHT / 2 };
  for (let y = 20; y < HEIGHT - high; y += 6) {
    const rows = [0, high / 2, high].map((down) => inside(ring, y + down).sort((a, b) => b[1] - b[0] - (a[1] - a[0]))[0]);
    if (rows.some((row) => !row)) continue;
    const [from, to] = [Math.max(...rows.map((row) => row[0])), Math.min(...rows.map((row) => row[1]))];
    const x = (from + to) / 2;
    const box = [x - wide / 2, y, x + wide / 2, y + high];
    const room = to - from - wide - (overlaps(box, placed) ? 1000 : 0);
    if (room > best.room) best = { room, x, y, box };
  }
  if (best.box) placed.push(best.box);
  return s("text", { class: "lake-name", "text-anchor": "middle" },
    ...words.map((word, i) => s("tspan", { x: best.x.toFixed(1), y: (best.y + 15 + i * 18).toFixed(1) }, word)));
}

function overlaps(box, placed) {
  return placed.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]);
}

const TRIES = [[15, 5, "start"], [-15, 5, "end"], [0, -15, "middle"], [0, 27, "middle"],
  [12, -9, "start"], [12, 20, "start"], [-12, -9, "end"], [-12, 20, "end"],
  [16, -18, "start"], [16, 32, "start"], [-16, -18, "end"], [-16, 32, "end"], [0, -28, "middle"], [0, 40, "middle"]];
const COVERED = 1000; // covering something is worse than any place beside the point

const common = (box, other) => Math.max(0, Math.min(box[2], other[2]) - Math.max(box[0], other[0]))
  * Math.max(0, Math.min(box[3], other[3]) - Math.max(box[1], other[1]));

const WIDE = 0.58; // of a letter, by its height
const PART = 0.4; // of the map's width, for one name

/** A name as it stands on the map: its first words where no place beside its point would hold all. */
function shortened(name, size) {
  const most = Math.floor((project.width * PART) / (size * WIDE));
  const letters = [...name];
  if (letters.length <= most) return name;
  const kept = letters.slice(0, most - 1).join("");
  const space = kept.lastIndexOf(" ");
  return `${kept.slice(0, space > most / 2 ? space : undefined)}…`;
}

/** The place at its point where a name covers least: right, left, above, below, farther off. */
function placeOf({ name, x, y }, placed, size) {
  const long = name.length * size * WIDE + 6;
  return TRIES.map((way, i) => {
    const [dx, dy, anchor] = way;
    const left = x + dx - (anchor === "end" ? long : anchor === "middle" ? long / 2 : 0);
    const box = [left, y + dy - size * 0.9, left + long, y + dy + size * 0.4];
    const out = Math.max(0, -box[0]) + Math.max(0, box[2] - project.width - 40) + Math.max(0, -box[1]);
    const covers = placed.reduce((sum, other) => sum + common(box, other), 0);
    return { way, box, cost: i + (covers || out ? COVERED + covers + 50 * out : 0) };
  }).reduce((best, one) => (one.cost < best.cost ? one : best));
}

/** Where each name goes, by site id: the best of several orders of placing them. */
function layout(points, taken, size) {
  const orders = [(one) => one.i, (one) => -one.i, (one) => one.name.length, (one) => -one.name.length,
    (one) => one.x, (one) => -one.x, (one) => one.y, (one) => -one.y];
  return orders.map((by) => {
    const placed = [...taken];
    const ways = new Map();
    let cost = 0;
    for (const one of [...points].sort((a, b) => by(a) - by(b))) {
      const found = placeOf(one, placed, size);
      placed.push(found.box);
      ways.set(one.id, found.way);
      cost += found.cost;
    }
    return { ways, cost };
  }).reduce((best, one) => (one.cost < best.cost ? one : best)).ways;
}

function label(name, [x, y, anchor]) {
  return s("text", { x, y, "text-anchor": anchor }, name);
}

function marker(site, name, way) {
  const [x, y] = project.at(site.lon, site.lat);
  const node = s("g", { class: "site", "data-site": site.id, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
    s("circle", { r: 17, class: "halo" }), s("g", { class: "sign", transform: "translate(-11 -11) scale(.92)" }),
    label(name, way), s("title"));
  return node;
}

export function paintMap() {
  if (!project) return;
  const bySite = new Map();
  for (const [id, device] of state.devices) {
    const site = state.info.get(id)?.site;
    if (!bySite.has(site)) bySite.set(site, []);
    bySite.get(site).push(device.state);
  }
  for (const node of document.querySelectorAll(".site")) {
    const found = bySite.get(node.dataset.site) ?? [];
    const rank = Math.max(0, ...found.map((word) => ORDER.indexOf(word)));
    const word = found.length ? ORDER[rank] : "no_data";
    if (node.dataset.state !== word) {
      node.dataset.state = word;
      node.querySelector(".sign").replaceChildren(...icon(word).childNodes);
      node.querySelector(".sign").setAttribute("class", `sign icon ${word}`);
    }
    const bad = found.filter((one) => one !== "ok").length;
    say(node.querySelector("title"), `${state.sites.get(node.dataset.site)?.name}: ${t(`state.${word}`)} · ${t("map.devices", { bad, count: found.length })}`);
  }
}
