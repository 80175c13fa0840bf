"""What the field itself says of every point that the hub stored of it.

    field ─ history ──► environment, heartbeats: values and times as they were published
          ─ routers ──► octets, states, loads, sampled beside the hub's polls
          ─ faults ───► who was up when

Where something changed between two samples, or a fault was just setting in, the truth is known only
between two values: `points` gives the lower and the higher one.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as made
from typing import Any

from tests.field_support import FieldProcess
from tests.grafana_support import Influx, Point, Span

NS = 1_000_000_000
SAMPLE_S = 0.4
ROUND_TRIP_S = 0.3
"""A sample that took longer is not known well enough in time."""

NAMES = {
    "t": "temperature", "rh": "humidity", "p": "pressure", "dba": "noise_dba",
    "ntu": "turbidity_ntu", "rssi": "rssi_dbm", "vbat": "battery_v",
}  # fmt: skip
"""Short names of the nodes' payloads; the others are the fields' own."""

LABELS = ("site", "opd", "kind")
IDENTITY = {
    "device": {"probe"},
    "hardware": {"sensor"},
    "interface": {"ifname"},
    "camera": set[str](),
}
"""Beside `device`."""

Known = tuple[float, float]
"""The lowest and the highest that the truth can be."""


@dataclass
class Fault:
    """When it set in and when it was ended: before the field was asked, and after it answered."""

    name: str
    device: str
    began: tuple[int, int]
    ended: tuple[int, int] | None = None

    def holds(self, time_ns: int, on_s: float, off_s: float) -> bool | None:
        """Is its effect there? None within `on_s` of its beginning and `off_s` of its end."""
        if time_ns < self.began[0]:
            return False
        if self.ended is not None and time_ns >= self.ended[0]:
            return None if time_ns < self.ended[1] + off_s * NS else False
        return None if time_ns < self.began[1] + on_s * NS else True

    def touches(self, start_ns: int, stop_ns: int) -> bool:
        return start_ns <= (self.ended[1] if self.ended else stop_ns) and self.began[0] <= stop_ns


@dataclass
class Witness:
    """Asks the field; looks at its routers all the time, in a thread of its own."""

    field: FieldProcess
    faults: list[Fault] = made(default_factory=list)
    samples: list[tuple[int, Mapping[str, Any]]] = made(default_factory=list)
    _turn: threading.Lock = made(default_factory=threading.Lock)
    _over: threading.Event = made(default_factory=threading.Event)

    def __enter__(self) -> Witness:
        self._thread = threading.Thread(target=self._watch, name="witness")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def ask(self, **command: Any) -> dict[str, Any]:
        with self._turn:
            return self.field.ask(**command)

    def begin(self, name: str, device: str) -> None:
        before = time.time_ns()
        self.ask(fault=name, target=device)
        self.faults.append(Fault(name, device, (before, time.time_ns())))

    def end(self, name: str) -> None:
        (fault,) = [each for each in self.faults if each.name == name]
        before = time.time_ns()
        self.ask(clear=name, target=fault.device)
        fault.ended = before, time.time_ns()

    def of(self, *names: str, device: str) -> list[Fault]:
        return [each for each in self.faults if each.name in names and each.device == device]

    def history(self, device: str) -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = self.ask(history=device)["history"]
        return said

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_S):
            before = time.time_ns()
            said = self.ask(routers=True)["routers"]
            after = time.time_ns()
            if after - before < ROUND_TRIP_S * NS:
                self.samples.append(((before + after) // 2, said))

    def around(self, time_ns: int) -> tuple[tuple[int, Any], tuple[int, Any]] | None:
        """The samples before and after."""
        at = bisect_right(self.samples, time_ns, key=lambda sample: sample[0])
        if not 0 < at < len(self.samples):
            return None
        return self.samples[at - 1], self.samples[at]


@dataclass
class Truth:
    """Points as the field knows them; `problems` names what the store has and nobody said."""

    witness: Witness
    inventory: Mapping[str, Any]
    span: Span
    since_ns: int
    """Before that the hub was still starting: what nodes said then may have reached nobody."""
    said: Sequence[Point] = ()
    """Published by others than the field."""
    low: list[Point] = made(default_factory=list)
    high: list[Point] = made(default_factory=list)
    problems: list[str] = made(default_factory=list)
    histories: dict[str, list[dict[str, Any]]] = made(default_factory=dict)

    def __post_init__(self) -> None:
        self.devices = {each["id"]: each for each in self.inventory["devices"]}
        for name, device in self.devices.items():
            if {"mqtt", "camera"} & device["collect"].keys():
                self.histories[name] = self.witness.history(name)

    def gather(self, influx: Influx) -> Truth:
        """Everything known of the span; times of polls are the store's, values the field's."""
        early = Span(self.span.start_ns, self.since_ns - 1)
        heard = {
            (tags["device"], row["time"])
            for tags, rows in stored(influx, "environment", early)
            for row in rows
        }
        for point in [*self.published(), *self.said]:
            known = (point.tags["device"], point.time_ns) in heard
            if self.span.holds(point.time_ns) and (known or point.time_ns >= self.since_ns):
                self._add(point, {name: (value, value) for name, value in point.fields.items()})
        tellers = {
            "device": self._device,
            "hardware": self._hardware,
            "interface": self._interface,
            "camera": self._camera,
        }
        for measurement, teller in tellers.items():
            for tags, rows in stored(influx, measurement, self.span):
                names = self._tags(tags)
                if (
                    not names.items() <= tags.items()
                    or tags.keys() - names != IDENTITY[measurement]
                ):
                    self.problems.append(f"{measurement} {tags}: the inventory says {names}")
                for row, known in teller(tags, rows):
                    if known:
                        self._add(Point(measurement, tags, row["time"], {}), known)
        return self

    def published(self) -> Iterator[Point]:
        """What the nodes said, as readings."""
        for device, history in self.histories.items():
            if "mqtt" not in self.devices[device]["collect"]:
                continue
            tags = self._tags({"device": device})
            for said in history:
                at = said["ts"] * 1_000_000
                yield Point("environment", tags, at, measured(said))
                if not said.get("buf"):
                    node = {"up": 1, "uptime_s": float(said["up"])}
                    yield Point("device", {**tags, "probe": "mqtt"}, at, node)

    def _add(self, point: Point, known: Mapping[str, Any]) -> None:
        for points, which in ((self.low, 0), (self.high, 1)):
            fields = {name: pair[which] for name, pair in known.items()}
            points.append(Point(point.measurement, point.tags, point.time_ns, fields))

    def _tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        device = self.devices[tags["device"]]
        labels = {"device": tags["device"], **{key: device.get(key, "") for key in LABELS}}
        return {key: value for key, value in labels.items() if value}

    # ------------------------------------------------------------ routers

    def _device(self, tags: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Any:
        if tags["probe"] == "icmp":
            for row in rows:
                # The kernel answers for every simulated device; how fast, nobody publishes.
                yield (
                    row,
                    {
                        "up": (1.0, 1.0),
                        "loss_pct": (0.0, 0.0),
                        "rtt_ms": (0.0, 5000.0),
                        "jitter_ms": (0.0, 5000.0),
                    },
                )
        elif tags["probe"] == "snmp":
            for row in rows:
                yield row, self._agent(tags["device"], row)

    def _agent(self, device: str, row: Mapping[str, Any]) -> dict[str, Known]:
        known: dict[str, Known] = {}
        if row.get("up") is not None:
            dead = [
                f.holds(row["time"], 1, 4) for f in self.witness.of("router_dies", device=device)
            ]
            known["up"] = (0, 1) if None in dead else (0, 0) if True in dead else (1, 1)
        pair = self.witness.around(row["time"])
        for name in ("cpu_pct", "mem_pct", "uptime_s", "temperature_c", "voltage_v"):
            if row.get(name) is None or pair is None:
                continue
            one, two = (float(sample[device][name]) for _, sample in pair)
            known[name] = min(one, two), max(one, two)
        return known

    def _hardware(self, tags: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Any:
        device, modem = tags["device"], tags["sensor"]
        for row in rows:
            pair = self.witness.around(row["time"])
            if pair is not None and row.get("rsrp_dbm") is not None:
                one, two = (sample[device]["modems"][modem] for _, sample in pair)
                yield row, {"rsrp_dbm": (min(one, two), max(one, two))}

    def _interface(self, tags: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Any:
        device, port, before = tags["device"], tags["ifname"], 0
        for row in rows:
            if row.get("oper_up") is None:
                # Errors and discards are read by another tier; the agents' counters stand still.
                names = ("in_errors_ps", "out_errors_ps", "in_discards_ps", "out_discards_ps")
                yield row, {name: (0.0, 0.0) for name in names if row.get(name) is not None}
                continue
            now = row["time"]
            pair = self.witness.around(now)
            known: dict[str, Known] = {}
            if pair is not None:
                states = [sample[device]["interfaces"][port]["oper_up"] for _, sample in pair]
                known["oper_up"] = min(states), max(states)
                self._octets(device, port, row)
            for name, counter in (("in_bps", "in_octets"), ("out_bps", "out_octets")):
                if row.get(name) is not None:
                    known[name] = self._rate(device, port, counter, before, now)
            before = now
            yield row, known

    def _octets(self, device: str, port: str, row: Mapping[str, Any]) -> None:
        """Counters only grow, but for a restart: what was read lies between two samples, with
        time for an answer that was slow."""
        now = row["time"]
        first, last = self.witness.around(now - 2 * NS), self.witness.around(now + NS // 2)
        if first is None or last is None:
            return
        if any(fault.touches(first[0][0] - 5 * NS, last[1][0]) for fault in self._faults(device)):
            return
        for counter in ("in_octets", "out_octets"):
            low = first[0][1][device]["interfaces"][port][counter]
            high = last[1][1][device]["interfaces"][port][counter]
            if not low <= row[counter] <= high:
                name = f"{device} {port} {counter}"
                self.problems.append(f"{name}: stored {row[counter]}, field {low} to {high}")

    def _faults(self, device: str) -> list[Fault]:
        return [each for each in self.witness.faults if each.device == device]

    def _rate(self, device: str, port: str, counter: str, before: int, now: int) -> Known:
        """The mean between two polls, which were up to a second before their stamps."""
        if any(fault.touches(before - 2 * NS, now + NS) for fault in self._faults(device)):
            return 0.0, 11e9

        def octets(at: int) -> float | None:
            pair = self.witness.around(at)
            if pair is None:
                return None
            (t0, one), (t1, two) = pair
            a, b = (float(each[device]["interfaces"][port][counter]) for each in (one, two))
            share: float = (at - t0) / (t1 - t0)
            return a + (b - a) * share

        means = []
        for early in (0, NS // 2, NS):
            first, last = octets(before - early), octets(now - early)
            if first is None or last is None:
                return 0.0, 11e9
            means.append((last - first) * 8 * NS / (now - before))
        return min(means), max(means)

    # ------------------------------------------------------------ cameras

    def _camera(self, tags: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Any:
        device = tags["device"]
        beats = self.histories[device]
        times = [said["ts"] * 1_000_000 for said in beats]
        dead = self.witness.of("camera_dead", device=device)
        frozen = self.witness.of("camera_frozen", device=device)
        for row in rows:
            now = row["time"]
            known: dict[str, Known] = {}
            if row.get("state") is not None:
                off = _any(fault.holds(now, 12, 8) for fault in dead)
                sick = _any(fault.holds(now, 9, 4) for fault in frozen)
                best = 0 if off else 1 if sick else 2
                worst = 0 if off is not False else 1 if sick is not False else 2
                known = {"state": (worst, best), "up": (min(worst, 1), min(best, 1))}
            if row.get("rtsp_ok") is not None:
                off = _any(fault.holds(now, 5, 4) for fault in dead)
                known["rtsp_ok"] = (0, 1) if off is None else (int(not off), int(not off))
            if row.get("rtsp_ms") is not None:
                known["rtsp_ms"] = 0.0, 5000.0
            at = bisect_right(times, now)
            if at and row.get("heartbeat_age_s") is not None:
                age = (now - times[at - 1]) / NS
                under_way = age < 1 and at > 1 and row.get("fps") is None
                known["heartbeat_age_s"] = age, (now - times[at - 2]) / NS if under_way else age
            if at and row.get("fps") is not None:
                said = beats[at - 1]
                known["fps"] = said["fps"], said["fps"]
                known["clock_drift_s"] = said["drift_ms"] / 1000, said["drift_ms"] / 1000
                same = int(at >= 3 and len({each["frame"] for each in beats[at - 3 : at]}) == 1)
                known["frozen"] = same, same
            yield row, known


def measured(said: Mapping[str, Any]) -> dict[str, float]:
    """A node's payload by the fields' own names."""
    values = {**said["m"], **{key: said[key] for key in ("rssi", "vbat") if key in said}}
    return {NAMES.get(name, name): float(value) for name, value in values.items()}


def stored(
    influx: Influx, measurement: str, span: Span, where: str = ""
) -> list[tuple[dict[str, str], list[dict[str, Any]]]]:
    """Every series with its tags and its rows; absent fields are None."""
    text = f'SELECT * FROM "{measurement}" WHERE time >= {span.start_ns} AND time <= {span.stop_ns}'
    answers = influx.ask(f"{text} {where} GROUP BY *")
    return [
        (
            {key: value for key, value in answer.tags.items() if value},
            [dict(zip(answer.columns, row, strict=True)) for row in answer.rows],
        )
        for answer in answers
    ]


def _any(truths: Iterator[bool | None]) -> bool | None:
    """True when one is, None when one may be."""
    found = [*truths]
    return True if True in found else None if None in found else False
