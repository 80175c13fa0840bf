// The regency as SVG, drawn from its own GeoJSON: no tiles, no network.

import { $, get, h, icon, s, say } from "./dom.js";
import { layoutAll, layoutSome, overlaps } from "./names.js";
import { state } from "./state.js";
import { t } from "./text.js";

const ORDER = ["ok", "warning", "no_data", "critical", "down"];
const HEIGHT = 430;
const CLOSER = 3; // a click shows a crowded map that much larger
const WIDE = 0.58; // of a letter, by its height
const PART = 0.4; // of the map's width, for one name
const BOLD = ORDER.indexOf("critical"); // from there on names are written so
const ROOM = 40; // a place has so much room to each side before marks must be smaller
let project = null;
let points = []; // {id, label, i, x, y, wide, rank, count}: a place, its worst state and how many devices it has
let lakes = []; // boxes of the lakes' names
let everyName = null; // where each name goes, if there is room for all
let zoom = null; // the point that is looked at closer
let pointed = null; // the point that arrow keys went to

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
  points = [...state.sites.values()].filter((one) => one.lat !== null).map((site, i) => {
    const [x, y] = project.at(site.lon, site.lat);
    return { id: site.id, label: shortened(site.name), i, x, y, rank: -1, count: 0 };
  });
  measure();
  const placed = points.map(({ x, y }) => [x - 11, y - 11, x + 11, y + 11]);
  for (const lake of shapes.filter((one) => one.properties?.kind === "lake")) svg.append(lakeName(lake, placed));
  lakes = placed.slice(points.length);
  zoom = pointed = null;
  everyName = layoutAll(points, placed, frame());
  svg.append(...points.map(marker), s("text", { class: "map-said" }));
  listen(svg);
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

/** A name as it stands on the map: its first words where no place beside its point would hold all. */
function shortened(name) {
  const most = Math.floor((project.width * PART) / (frame().size * WIDE));
  const letters = [...name];
  if (letters.length <= most) return name;
  const kept = letters.slice(0, most - 1).join("");
  const space = kept.lastIndexOf(" ");
  return `${kept.slice(0, space > most / 2 ? space : undefined)}…`;
}

/** What is seen of the map, and how large names and marks are drawn on it. */
function frame() {
  const size = matchMedia("(max-width: 760px)").matches ? 18 : 15;
  const scale = zoom ? 1 / CLOSER : 1;
  const [wide, high] = [project.width * scale, HEIGHT * scale];
  const within = (middle, long, all) => Math.max(0, Math.min(all - long, middle - long / 2));
  const view = zoom ? [within(zoom.x, wide, project.width), within(zoom.y, high, HEIGHT), wide, high] : [0, 0, wide, high];
  const room = Math.sqrt((project.width * HEIGHT) / Math.max(1, points.length));
  return { size, scale, view, dot: Math.min(1, Math.max(0.35, room / ROOM) / scale) };
}

const pen = document.createElement("canvas").getContext("2d");

/** How wide each name is as it is written now. */
function measure() {
  const [{ size }, family] = [frame(), getComputedStyle(document.body).fontFamily];
  for (const one of points) {
    pen.font = `${one.rank >= BOLD ? 700 : 400} ${size}px ${family}`;
    one.wide = pen.measureText(one.label).width;
  }
}

function marker({ id }) {
  return s("g", { class: "site", "data-site": id },
    s("g", { class: "dot" }, s("circle", { r: 17, class: "halo" }), s("g", { class: "sign", transform: "translate(-11 -11) scale(.92)" })),
    s("text"), s("title"));
}

/** Names to their places, worse places above better ones; what finds no room is told by pointing at it. */
function arrange() {
  const svg = document.querySelector("svg.map");
  if (!svg) return;
  measure();
  const shown = frame();
  const nodes = new Map([...svg.querySelectorAll(".site")].map((node) => [node.dataset.site, node]));
  const ways = (!zoom && everyName) || layoutSome(points, lakes, shown);
  svg.setAttribute("viewBox", shown.view.map((n) => n.toFixed(1)).join(" "));
  svg.classList.toggle("crowded", !everyName);
  svg.setAttribute("tabindex", everyName ? -1 : 0);
  svg.classList.toggle("closer", Boolean(zoom));
  const sorted = [...points].sort((a, b) => a.rank - b.rank);
  for (const { id, label, x, y } of sorted) {
    const [node, way] = [nodes.get(id), ways.get(id)];
    const [dot, text] = [node.querySelector(".dot"), node.querySelector("text")];
    node.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${shown.scale.toFixed(3)})`);
    dot.setAttribute("transform", `scale(${shown.dot.toFixed(2)})`);
    text.textContent = way ? label : "";
    if (way) [["x", way[0]], ["y", way[1]], ["text-anchor", way[2]]].forEach(([name, value]) => text.setAttribute(name, value));
  }
  const order = sorted.map(({ id }) => nodes.get(id));
  if ([...svg.querySelectorAll(".site")].some((node, i) => node !== order[i])) svg.lastChild.before(...order);
  for (const [id, node] of nodes) node.classList.toggle("pointed", id === pointed?.id);
  tell(svg, svg.querySelector(".site:hover, .site.pointed"));
}

/** The name of a place that has none beside it, while it is pointed at. */
function tell(svg, node) {
  const point = points.find((one) => one.id === node?.dataset.site);
  const said = svg.lastChild;
  said.textContent = point && !node.querySelector("text").textContent ? point.label : "";
  if (!said.textContent) return;
  const { view, scale } = frame();
  const right = point.x < view[0] + view[2] / 2;
  said.setAttribute("transform", `translate(${point.x.toFixed(1)} ${point.y.toFixed(1)}) scale(${scale.toFixed(3)})`);
  said.setAttribute("x", right ? 15 : -15);
  said.setAttribute("y", 5);
  said.setAttribute("text-anchor", right ? "start" : "end");
}

const STEPS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The next place in that direction, rather straight ahead than near; the same where there is none. */
function nextPoint([right, down]) {
  const from = pointed ?? points.reduce((worst, one) => (one.rank > worst.rank ? one : worst));
  if (!pointed) return from;
  const far = ({ x, y }) => {
    const [ahead, aside] = [(x - from.x) * right + (y - from.y) * down, (x - from.x) * down - (y - from.y) * right];
    return ahead > 0 ? ahead ** 2 + 4 * aside ** 2 : Infinity;
  };
  return points.reduce((best, one) => (far(one) < far(best) ? one : best), from);
}

/** By keys: arrows go from place to place, the worst one first; Enter looks closer, Escape from afar. */
function onKey(event) {
  if (everyName || !(event.key in STEPS || event.key === "Enter" || event.key === "Escape")) return;
  event.preventDefault();
  if (event.key in STEPS) pointed = nextPoint(STEPS[event.key]);
  if (event.key === "Enter") zoom = pointed;
  if (event.key === "Escape") zoom = null;
  else if (zoom) zoom = pointed;
  arrange();
}

/** A crowded map tells the name of what is pointed at, and is looked at closer by a click, or from afar again. */
function listen(svg) {
  svg.addEventListener("pointerover", (event) => tell(svg, event.target.closest(".site")));
  svg.addEventListener("pointerleave", () => tell(svg, null));
  svg.addEventListener("keydown", onKey);
  svg.addEventListener("blur", () => { pointed = null; arrange(); });
  svg.addEventListener("click", (event) => {
    if (everyName) return;
    zoom = zoom ? null : new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    arrange();
  });
}

export function paintMap() {
  if (!project) return;
  const bySite = new Map();
  for (const [id, device] of state.devices) {
    const site = state.info.get(id)?.site;
    if (!bySite.has(site)) bySite.set(site, []);
    bySite.get(site).push(device.state);
  }
  const byId = new Map(points.map((one) => [one.id, one]));
  let changed = false;
  for (const node of document.querySelectorAll(".site")) {
    const found = bySite.get(node.dataset.site) ?? [];
    const rank = found.length ? Math.max(0, ...found.map((word) => ORDER.indexOf(word))) : ORDER.indexOf("no_data");
    const word = ORDER[rank];
    if (node.dataset.state !== word) {
      changed = true;
      node.dataset.state = word;
      node.querySelector(".sign").replaceChildren(...icon(word).childNodes);
      node.querySelector(".sign").setAttribute("class", `sign icon ${word}`);
    }
    Object.assign(byId.get(node.dataset.site), { rank, count: found.length });
    const bad = found.filter((one) => one !== "ok").length;
    say(node.querySelector("title"), `${state.sites.get(node.dataset.site)?.name}: ${t(`state.${word}`)} · ${t("map.devices", { bad, count: found.length })}`);
  }
  if (changed) arrange();
}
