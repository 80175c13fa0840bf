"""A real influxd, and what Grafana would ask it: macros and variables filled in."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafana.build import load
from tests.influx_support import influxd

MINUTE_NS = 60_000_000_000
UNITS_NS = {"s": 1_000_000_000, "m": MINUTE_NS, "h": 60 * MINUTE_NS, "d": 1440 * MINUTE_NS}
VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")


@dataclass(frozen=True)
class Point:
    """What was published: a measurement, all its tags (site, opd, kind too), time, fields."""

    measurement: str
    tags: Mapping[str, str]
    time_ns: int
    fields: Mapping[str, float | int | str]

    def line(self) -> str:
        """InfluxDB line protocol."""
        tags = "".join(f",{key}={_escape(value)}" for key, value in sorted(self.tags.items()))
        fields = ",".join(f"{key}={_field(value)}" for key, value in self.fields.items())
        return f"{self.measurement}{tags} {fields} {self.time_ns}"


@dataclass(frozen=True)
class Span:
    """The dashboard's time range, both ends included as Grafana does."""

    start_ns: int
    stop_ns: int

    def last(self, length: str) -> Span:
        """What a panel's `timeFrom` makes of it."""
        return Span(self.stop_ns - duration_ns(length), self.stop_ns)

    def holds(self, time_ns: int) -> bool:
        return self.start_ns <= time_ns <= self.stop_ns


@dataclass(frozen=True)
class Answer:
    """One answered series."""

    tags: Mapping[str, str]
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def named(self) -> list[dict[str, Any]]:
        """Rows as Grafana's table format has them: tags and columns side by side."""
        return [{**self.tags, **dict(zip(self.columns, row, strict=True))} for row in self.rows]


@dataclass(frozen=True)
class Influx:
    """A database on a real server."""

    url: str
    database: str

    def write(self, points: Iterable[Point]) -> None:
        body = "\n".join(point.line() for point in points).encode()
        request = urllib.request.Request(f"{self.url}/write?db={self.database}", body)
        with urllib.request.urlopen(request, timeout=20) as reply:
            assert reply.status == 204

    def ask(self, query: str) -> list[Answer]:
        """Answers with times in nanoseconds. An error of the server is an AssertionError."""
        form = urllib.parse.urlencode({"db": self.database, "q": query, "epoch": "ns"})
        try:
            with urllib.request.urlopen(f"{self.url}/query", form.encode(), timeout=20) as reply:
                answer = json.load(reply)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error.read().decode()} for {query}") from error
        (result,) = answer["results"]
        assert "error" not in result, f"{result['error']} for {query}"
        return [
            Answer(series.get("tags", {}), series["columns"], series["values"])
            for series in result.get("series", [])
        ]


@contextmanager
def influx_with_toba(folder: Path) -> Iterator[Influx]:
    """A real influxd 1.6 with an empty database `toba`."""
    with influxd(folder) as url:
        influx = Influx(url, "toba")
        influx.ask("CREATE DATABASE toba")
        yield influx


@dataclass(frozen=True)
class Target:
    """One query of one panel."""

    board: str
    panel: Mapping[str, Any]
    ref: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.board} / {self.panel['title']} / {self.ref}"


def targets() -> list[Target]:
    """Every query of every panel of the committed dashboards."""
    return [
        Target(board["uid"], panel, target["refId"], target["query"])
        for board in load().values()
        for panel in panels(board)
        for target in panel.get("targets", [])
    ]


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels of a dashboard, those inside collapsed rows too."""
    found: list[dict[str, Any]] = []
    for panel in board["panels"]:
        found += [panel, *panel.get("panels", [])]
    return found


def variables(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(board.get("templating", {}).get("list", []))


def chosen(board: Mapping[str, Any]) -> dict[str, str]:
    """What each variable stands for when the dashboard is opened, ready for `:regex`."""
    return {
        each["name"]: each["allValue"]
        if each["includeAll"]
        else re.escape(each["current"]["value"])
        for each in variables(board)
    }


def render(text: str, span: Span, chosen: Mapping[str, str], interval: str = "1m") -> str:
    """The query that Grafana sends: macros filled in, variables replaced."""
    between = f"time >= {span.start_ns // 10**6}ms and time <= {span.stop_ns // 10**6}ms"
    text = text.replace("$timeFilter", between).replace("$__interval", interval)

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[3]
        assert name in chosen, f"variable {name} isn't defined: {text}"
        return chosen[name]

    return VARIABLE.sub(value, text)


def duration_ns(text: str) -> int:
    return int(text[:-1]) * UNITS_NS[text[-1]]


def bucket_ns(query: str) -> int:
    """The width of the query's time buckets; 0 if it has none."""
    found = re.search(r"\btime\((\w+)\)", query)
    return duration_ns(found[1]) if found else 0


def _escape(text: str) -> str:
    return text.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")


def _field(value: float | int | str) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{value}i" if isinstance(value, int) else repr(float(value))
