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
      if (kind === "lake") svg.append(lakeName(shape));
    }
  }
  const busiest = [...state.sites.values()].filter((one) => one.lat !== null);
  const name = svg.querySelector(".lake-name");
  const placed = name ? [[8, name.getAttribute("y") - 14, 108, Number(name.getAttribute("y")) + 4]] : [];
  for (const site of busiest) {
    const [x, y] = project.at(site.lon, site.lat);
    placed.push([x - 9, y - 9, x + 9, y + 9]);
  }
  for (const site of busiest) svg.append(marker(site, placed));
  $("map").replaceChildren(svg);
  $("legend").replaceChildren(...["ok", "warning", "critical", "down", "no_data"].map((word) =>
    h("li", {}, icon(word, ""), t(`state.${word}`))));
  paintMap();
}

function lakeName(shape) {
  const [south, , north] = state.regency.bounds;
  const ring = shape.geometry.type === "Polygon" ? shape.geometry.coordinates[0] : shape.geometry.coordinates[0][0];
  const lats = ring.map(([, lat]) => Math.min(Math.max(lat, south), north));
  const [, y] = project.at(0, Math.min(...lats) * 0.8 + Math.max(...lats) * 0.2);
  const x = 8;
  return s("text", { x, y, class: "lake-name" }, shape.properties.name ?? "");
}

function overlaps(box, placed) {
  return placed.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]);
}

/** Of places that all cover something, the one that covers least. */
function leastCovered(boxes, placed) {
  const covered = boxes.map((box) => placed.reduce((sum, other) =>
    sum + Math.max(0, Math.min(box[2], other[2]) - Math.max(box[0], other[0])) * Math.max(0, Math.min(box[3], other[3]) - Math.max(box[1], other[1])), 0));
  return covered.indexOf(Math.min(...covered));
}

/** Put the label where it covers no other: right, left, above or below its point. */
function label(name, x, y, placed) {
  const long = name.length * 8.6 + 4;
  const tries = [[15, 5, "start"], [-15, 5, "end"], [0, -15, "middle"], [0, 27, "middle"],
    [12, -9, "start"], [12, 20, "start"], [-12, -9, "end"], [-12, 20, "end"]];
  const boxes = tries.map(([dx, dy, anchor]) => {
    const left = x + dx - (anchor === "end" ? long : anchor === "middle" ? long / 2 : 0);
    return [left, y + dy - 11, left + long, y + dy + 3];
  });
  const fits = (box) => box[0] > 0 && box[2] < project.width + 40 && box[1] > 0;
  let best = boxes.findIndex((box) => fits(box) && !overlaps(box, placed));
  if (best < 0) best = leastCovered(boxes, placed);
  placed.push(boxes[best]);
  const [dx, dy, anchor] = tries[best];
  return s("text", { x: dx, y: dy, "text-anchor": anchor }, name);
}

function marker(site, placed) {
  const [x, y] = project.at(site.lon, site.lat);
  const node = s("g", { class: "site", "data-site": site.id, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
    s("circle", { r: 17, class: "halo" }), s("g", { class: "sign", transform: "translate(-11 -11) scale(.92)" }),
    label(site.name, x, y, placed), s("title"));
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
