// Where names go on the map, so that none covers another or a mark. Pure: boxes are [left, top, right, bottom],
// points {id, i, x, y, wide, rank, count}; `wide` is how long the name is, written out.

const TRIES = [[15, 5, "start"], [-15, 5, "end"], [0, -15, "middle"], [0, 27, "middle"],
  [12, -9, "start"], [12, 20, "start"], [-12, -9, "end"], [-12, 20, "end"],
  [16, -18, "start"], [16, 32, "start"], [-16, -18, "end"], [-16, 32, "end"], [0, -28, "middle"], [0, 40, "middle"]];
const COVERED = 1000; // covering something is worse than any place beside the point
const TOUCHED = 0.1; // of a name may touch others before it counts as covering them: letters leave room
const FEW = 60; // of more places not all names find room: no need to try
const CELL = 40;

export function overlaps(box, placed) {
  return placed.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]);
}

const common = (box, other) => Math.max(0, Math.min(box[2], other[2]) - Math.max(box[0], other[0]))
  * Math.max(0, Math.min(box[3], other[3]) - Math.max(box[1], other[1]));

/** The box of a name beside its point; `scale` is how much smaller than usual all is drawn. */
function boxOf({ wide, x, y }, [dx, dy, anchor], { size, scale }) {
  const long = (wide + 6) * scale;
  const left = x + dx * scale - (anchor === "end" ? long : anchor === "middle" ? long / 2 : 0);
  return [left, y + (dy - size * 0.9) * scale, left + long, y + (dy + size * 0.4) * scale];
}

/** The place at its point where a name covers least: right, left, above, below, farther off. */
function placeOf(point, placed, frame) {
  return TRIES.map((way, i) => {
    const box = boxOf(point, way, frame);
    const out = Math.max(0, -box[0]) + Math.max(0, box[2] - frame.view[2] - 40) + Math.max(0, -box[1]);
    const covers = placed.reduce((sum, other) => sum + common(box, other), 0);
    const smears = covers > TOUCHED * (box[2] - box[0]) * (box[3] - box[1]);
    return { way, box, smears, cost: i + (covers || out ? COVERED + covers + 50 * out : 0) };
  }).reduce((best, one) => (one.cost < best.cost ? one : best));
}

/** A way for every name by site id, the best of several orders of placing them; null where they would cover each other. */
export function layoutAll(points, taken, frame) {
  if (points.length > FEW) return null;
  const orders = [(one) => one.i, (one) => -one.i, (one) => one.wide, (one) => -one.wide,
    (one) => one.x, (one) => -one.x, (one) => one.y, (one) => -one.y];
  const best = orders.map((by) => {
    const placed = [...taken];
    const ways = new Map();
    let [cost, smears] = [0, 0];
    for (const one of [...points].sort((a, b) => by(a) - by(b))) {
      const found = placeOf(one, placed, frame);
      placed.push(found.box);
      ways.set(one.id, found.way);
      cost += found.cost;
      smears += found.smears;
    }
    return { ways, cost, smears };
  }).reduce((best, one) => (one.cost < best.cost ? one : best));
  return best.smears ? null : best.ways;
}

/** Boxes by the cells of a grid that they touch: asking costs the same for ten and for thousands. */
class Boxes {
  cells = new Map();

  * keys([left, top, right, bottom]) {
    for (let x = Math.floor(left / CELL); x <= Math.floor(right / CELL); x++) {
      for (let y = Math.floor(top / CELL); y <= Math.floor(bottom / CELL); y++) yield `${x} ${y}`;
    }
  }

  add(box, rank = 0) {
    for (const key of this.keys(box)) {
      if (!this.cells.has(key)) this.cells.set(key, []);
      this.cells.get(key).push({ box, rank });
    }
  }

  /** Does it touch one whose rank is at least that? */
  touches(box, rank = 0) {
    for (const key of this.keys(box)) {
      if (this.cells.get(key)?.some((other) => other.rank >= rank && common(box, other.box) > 0)) return true;
    }
    return false;
  }
}

/**
 * Ways for as many names as there is room for, by site id: the worst state first (`rank`), then the place with more
 * devices (`count`). A name covers no other name, and only marks of places that do better than its own.
 */
export function layoutSome(points, taken, frame) {
  const [names, marks, ways] = [new Boxes(), new Boxes(), new Map()];
  const { view, dot, scale } = frame;
  const half = 11 * dot * scale;
  taken.forEach((box) => names.add(box));
  for (const { x, y, rank } of points) marks.add([x - half, y - half, x + half, y + half], rank);
  const inside = (box) => box[0] >= view[0] && box[1] >= view[1] && box[2] <= view[0] + view[2] && box[3] <= view[1] + view[3];
  for (const one of [...points].sort((a, b) => b.rank - a.rank || b.count - a.count || a.i - b.i)) {
    const way = TRIES.find((way) => {
      const box = boxOf(one, way, frame);
      return inside(box) && !names.touches(box) && !marks.touches(box, one.rank);
    });
    if (!way) continue;
    names.add(boxOf(one, way, frame));
    ways.set(one.id, way);
  }
  return ways;
}
