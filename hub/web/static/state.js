// The board's picture of the hub: a snapshot, kept up to date by deltas of the event stream.

const SPARK_POINTS = 48;
const SILENT_MS = 15000; // the hub speaks at least every 5 s

export const state = { ready: false, link: "connecting", skew: 0, devices: new Map(), info: new Map() };
const listeners = new Set();
let source = null;
let spoke = 0;

/** Call `listener(changes)` after each event; `changes.all` after a snapshot. */
export const onChange = (listener) => listeners.add(listener);
const tell = (changes) => listeners.forEach((listener) => listener(changes));

/** The hub's clock, as well as we know it. */
export const now = () => Date.now() + state.skew;

function link(word) {
  if (state.link === word) return;
  state.link = word;
  tell({ link: true });
}

function heard(data) {
  spoke = Date.now();
  state.skew = data.now_ms - spoke;
  link("live");
}

function takeSnapshot(data) {
  Object.assign(state, {
    ready: true, regency: data.regency, counts: data.counts, health: data.health,
    alerts: data.alerts, leftOut: data.alerts_left_out, faults: data.faults,
    sites: new Map(data.sites.map((one) => [one.id, one])),
    opds: new Map(data.opds.map((one) => [one.id, one])),
    info: new Map(data.inventory.map((one) => [one.id, one])),
    devices: new Map(data.devices.map((one) => [one.id, one])),
  });
  tell({ all: true });
}

function takeDelta(data) {
  for (const one of data.devices) {
    const known = state.devices.get(one.id);
    const spark = known?.spark ?? [];
    for (const point of one.spark) {
      if (spark.length && spark.at(-1)[0] >= point[0]) continue;
      spark.push(point);
      if (spark.length > SPARK_POINTS) spark.shift();
    }
    state.devices.set(one.id, { ...one, spark });
  }
  for (const part of ["counts", "health", "alerts", "faults"]) {
    if (data[part] !== null) state[part] = data[part];
  }
  state.leftOut = data.alerts_left_out;
  tell({ devices: data.devices.map((one) => one.id), alerts: data.alerts !== null });
}

function connect() {
  source?.close();
  source = new EventSource("/api/v1/stream");
  spoke = Date.now();
  const on = (name, take) => source.addEventListener(name, (message) => {
    const data = JSON.parse(message.data);
    heard(data);
    take(data);
  });
  on("snapshot", takeSnapshot);
  on("delta", takeDelta);
  on("alive", () => {});
  source.onerror = () => link("lost");
}

export function start() {
  connect();
  // A half-open connection gives no error, and a refused one is not tried again by the browser.
  setInterval(() => {
    if (Date.now() - spoke > SILENT_MS) link("lost");
    if (source.readyState === EventSource.CLOSED || Date.now() - spoke > 2 * SILENT_MS) connect();
  }, 3000);
}
