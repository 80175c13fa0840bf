"""Cases beside the rules: series in, alerts out.

    rules: [pm25_unhealthy.yaml]              # default: the file of the same name without _test
    things:                                   # what the inventory would say
      - {id: aq1, name: Sensor Balige, kind: sensor, site: balige, site_name: Balige}
    cases:
      - name: one bad hour is not yet an alert
        interval: 5m                          # between the values of a series
        series:
          - {measurement: environment, device: aq1, sensor: pm, fields: {pm25: 20x12 60x12 _x6 30}}
        acts:
          - {at: 70m, kind: acknowledge, who: siti, key: "pm25_unhealthy:aq1:sensor=pm"}
        expect:
          - {at: 65m, alerts: []}
          - {at: 75m, alerts: [{rule: pm25_unhealthy, device: aq1, state: acknowledged}]}

Values: `20` once, `20x12` twelve times, `20+5x3` is 20 25 30, `_` nothing arrived, `_x6` six times.
`expect` lists all that fires or is acknowledged at that moment; pending and resolved alerts only
count where they are listed. An expected alert names what it wants to know: any field of `Alert`.
The hub's clock ticks every ten seconds; at equal times readings come first, then acts, the tick,
and the look at the alerts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from heapq import merge
from pathlib import Path
from typing import Any

import yaml

from hub.reading import Quality, Reading, Series, Value
from rules import duration
from rules.model import parse_rules
from rules.rule import Rule
from rules.watch import Act, Thing, Watch

START = 1_700_002_800 * duration.SECOND
"""Time zero of every case: a full hour."""
TICK = 10 * duration.SECOND

_SAMPLE = re.compile(r"(?P<value>_|-?[\d.]+)(?P<step>[+-][\d.]+)?(?:x(?P<times>\d+))?")
_MOST_VALUES = 100_000


class CaseError(ValueError):
    """A test file that can't be run: what is wrong and where."""


@dataclass(frozen=True, slots=True)
class Result:
    """How one case went; no `failures`: well."""

    file: str
    case: str
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        lines = [f"{self.file}: {self.case}: {'ok' if self.ok else 'FAILED'}", *self.failures]
        return "\n  ".join(lines)


def run_cases(path: Path, rules: Sequence[Rule] | None = None) -> list[Result]:
    """Run all cases of one `*_test.yaml`; `rules` replaces the rules that it names.

    Raises `CaseError`.
    """
    data = load(path)
    rules = rules_of(path, data) if rules is None else rules
    things = [_thing(item) for item in data.get("things", [])]
    return [_run(case, rules, things, path.name) for case in data.get("cases", [])]


def load(path: Path) -> dict[str, Any]:
    """The file as plain data. Raises `CaseError`."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CaseError(f"{path}: can't be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CaseError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise CaseError(f"{path}: a test file has `cases:`, here is {type(data).__name__}")
    if unknown := set(data) - {"rules", "things", "cases"}:
        raise CaseError(f"{path}: unknown key {', '.join(map(str, sorted(unknown)))}")
    return data


def rules_of(path: Path, data: Mapping[str, Any]) -> list[Rule]:
    """The rules that a test file is about. Raises `CaseError` with every problem in them."""
    names = data.get("rules") or [path.name.removesuffix("_test.yaml") + ".yaml"]
    rules: list[Rule] = []
    for name in names:
        file = path.parent / name
        found, problems = parse_rules(load_rules(file), file.name)
        if problems:
            raise CaseError("\n".join(f"{file}: {problem}" for problem in problems))
        rules += found
    return rules


def load_rules(file: Path) -> Any:
    """A file of rules as plain data. Raises `CaseError`."""
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CaseError(f"{file}: can't be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CaseError(f"{file}: {' '.join(str(error).split())}") from error


def numbers(text: object) -> list[float | None]:
    """`20x2 _ 5+1x3` → 20 20 None 5 6 7. Raises `CaseError`."""
    found: list[float | None] = []
    for word in str(text).split():
        match = _SAMPLE.fullmatch(word)
        if match is None:
            raise CaseError(f"{word!r} is no value: write 20, 20x12, 20+5x3, _ or _x6")
        times, step = int(match["times"] or 1), float(match["step"] or 0)
        if len(found) + times > _MOST_VALUES:
            raise CaseError(f"{word!r}: more than {_MOST_VALUES} values")
        for index in range(times):
            found.append(None if match["value"] == "_" else float(match["value"]) + index * step)
    return found


# An event is (time, rank, number, what): rank orders what happens at one moment.
_Event = tuple[int, int, int, Any]


def _run(case: Mapping[str, Any], rules: Sequence[Rule], things: list[Thing], file: str) -> Result:
    name = str(case.get("name", "case"))
    expected = [(START + _time(item, "at"), 3, n, item) for n, item in enumerate(case["expect"])]
    if not expected:
        raise CaseError(f"{file}: {name}: expects nothing: add `expect:`")
    end = max(item[0] for item in expected)
    ticks = ((t, 2, 0, None) for t in range(START, end + 1, TICK))
    acts = sorted((START + _time(item, "at"), 1, n, item) for n, item in enumerate(_acts(case)))
    watch = Watch(rules, things)
    failures: list[str] = []
    for number, event in enumerate(merge(_readings(case), acts, ticks, sorted(expected, key=_at))):
        time_ns, rank, _, what = event
        if time_ns > end:
            break
        if rank == 0:
            watch.observe(number, [what], time_ns)
        elif rank == 1:
            watch.act(number, time_ns, _act(what))
        elif rank == 2:
            watch.tick(number, time_ns)
        else:
            found = [asdict(alert) for alert in watch.alerts()]
            failures += [
                f"at {what['at']}: {failure}" for failure in _compare(what["alerts"], found)
            ]
    return Result(file, name, tuple(failures))


def _at(event: _Event) -> tuple[int, int, int]:
    return event[:3]


def _acts(case: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(case.get("acts", []))


def _time(item: Mapping[str, Any], key: str) -> int:
    try:
        return duration.parse(item[key])
    except KeyError:
        raise CaseError(f"{item!r} has no `{key}:`") from None
    except duration.DurationError as error:
        raise CaseError(str(error)) from error


def _act(item: Mapping[str, Any]) -> Act:
    until = START + _time(item, "until") if "until" in item else 0
    plain = {key: item[key] for key in ("kind", "who", "why", "key", "matcher") if key in item}
    act = Act(**plain, until_ns=until)
    if problem := act.problem():
        raise CaseError(f"{item!r}: {problem}")
    return act


def _readings(case: Mapping[str, Any]) -> Iterator[_Event]:
    """All readings of a case in order of time."""
    found: list[_Event] = []
    for number, item in enumerate(case.get("series", [])):
        spare = ("measurement", "device", "fields", "interval", "offset", "quality")
        tags = {key: str(value) for key, value in item.items() if key not in spare}
        series = Series.of(item["measurement"], item["device"], **tags)
        step = _time(item if "interval" in item else case, "interval")
        offset = _time(item, "offset") if "offset" in item else 0
        quality = int(Quality[item["quality"].upper()]) if "quality" in item else 0
        columns = {name: numbers(text) for name, text in item["fields"].items()}
        for row in range(max(len(column) for column in columns.values())):
            fields: dict[str, Value] = {}
            for name, column in columns.items():
                value = column[row] if row < len(column) else None
                if value is not None:
                    fields[name] = value
            if fields:
                time_ns = START + offset + row * step
                found.append((time_ns, 0, number, Reading(series, time_ns, fields, quality)))
    return iter(sorted(found, key=_at))


def _thing(item: Mapping[str, Any]) -> Thing:
    lists = ("parents", "collectors", "uplinks")
    plain: dict[str, Any] = {k: tuple(v) if k in lists else v for k, v in item.items()}
    return Thing(**plain)


def _compare(expected: list[Mapping[str, Any]], found: list[dict[str, Any]]) -> list[str]:
    """What differs between the expected alerts and those on the board."""
    failures = []
    rest = list(found)
    for wanted in expected:
        wanted = {"state": "firing", **wanted}
        match = next((alert for alert in rest if _fits(wanted, alert)), None)
        if match is not None:
            rest.remove(match)
            continue
        near = [a for a in rest if a["rule"] == wanted.get("rule")] or rest
        seen = [{key: _dig(alert, key) for key in wanted} for alert in near]
        failures.append(f"expected {dict(wanted)}, found {seen or 'no alert'}")
    for alert in rest:
        if alert["state"] in ("firing", "acknowledged"):
            failures.append(f"unexpected: {alert['key']} is {alert['state']}: {alert['title']}")
    return failures


def _fits(wanted: Mapping[str, Any], alert: Mapping[str, Any]) -> bool:
    return all(_equal(value, _dig(alert, key)) for key, value in wanted.items())


def _dig(alert: Mapping[str, Any], key: str) -> Any:
    """`title.id` or a tag by its own name."""
    value: Any = alert
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return alert["tags"].get(key) if value is None else value


def _equal(wanted: Any, seen: Any) -> bool:
    if isinstance(wanted, float) and isinstance(seen, float):
        return abs(wanted - seen) <= 1e-9 * max(1.0, abs(wanted))
    if isinstance(seen, tuple):
        seen = list(seen)
    return bool(wanted == seen)
