"""What an InfluxDB server answered, understood. Pure.

Writes: 204 is stored. 400 (1.x, 3) and 422 (2.x) refuse points, the good ones of the batch being
stored or not, as the version likes. Sources: influxdata/openapi `write.yml`, InfluxData
"Troubleshoot issues writing data" for 2 and 3, and a real 1.6.7.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from hub.clock import NS, from_datetime
from hub.reading import Value
from hub.store.base import LABEL_NAMES, StoreDown, StoreRefused
from hub.store.query import BadQuery, Query, SeriesRows
from hub.store.rows import Row, arrange

LONGEST_WAIT_S = 3600.0
"""A server that asks for more patience than this is asked again anyway."""

_DROPPED = re.compile(r"\bdropped=(\d+)")
_CONFLICT = re.compile(
    r'input field "(?P<field>[^"\\]+)" on measurement "(?P<measurement>[^"\\]+)"'
    r" is type (?P<type>float|integer|string)"
)
_POINT_WORDS = re.compile(
    r"partial write|pars(e|ing)|line protocol|field type|invalid field|retention|max[ -]key|point",
    re.IGNORECASE,
)
_RANKS = ("float", "integer", "unsigned", "string", "boolean")
_KINDS: dict[str, type] = {"float": float, "string": str}
_Identity = tuple[tuple[str, str], ...]
_Part = tuple[_Identity, list[Row]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer to a request; `headers` in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def stored(self) -> bool:
        return self.status in (200, 201, 204)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Some lines of a write were not taken.

    `lines` are the ones that the server named (counted from 0: reason), `dropped` how many it
    says it dropped, `suspect` a (measurement, field, type) that tells the refused ones.
    """

    reason: str
    lines: Mapping[int, str]
    dropped: int = 0
    suspect: tuple[str, str, type] | None = None
    too_large: bool = False


def refusal(answer: Answer, where: str, now_ns: int) -> Refusal:
    """Why a write was not taken. Raises StoreDown or StoreRefused where no point is to blame."""
    reason, named = _complaint(answer.body)
    if answer.status == 413:
        return Refusal(reason or "the request is too large", {}, too_large=True)
    if answer.status in (400, 422) and (named or _POINT_WORDS.search(reason)):
        dropped = _DROPPED.search(reason)
        conflict = _CONFLICT.search(reason)
        suspect = None
        if conflict:
            kind = {"float": float, "integer": int, "string": str}[conflict["type"]]
            suspect = (conflict["measurement"], conflict["field"], kind)
        return Refusal(reason, named, int(dropped[1]) if dropped else 0, suspect)
    raise trouble(answer, where, now_ns)


def trouble(answer: Answer, where: str, now_ns: int) -> StoreDown | StoreRefused:
    """The error to raise for an answer that is no success and blames no point."""
    reason = f"{where} answered {answer.status}: {_complaint(answer.body)[0] or 'nothing more'}"
    if answer.status in (401, 403):
        return StoreRefused(
            f"{reason}; check store.token (2.x, 3) or store.username and store.password (1.x)"
        )
    if answer.status == 404:
        return StoreRefused(
            f"{reason}; check store.url, store.database and store.org, "
            "or make the database with: toba-hub influx setup"
        )
    if answer.status in (408, 429) or answer.status >= 500:
        return StoreDown(reason, _retry_after_s(answer.headers.get("retry-after", ""), now_ns))
    return StoreRefused(reason)


def result(answer: Answer, where: str, now_ns: int) -> list[Mapping[str, Any]]:
    """The series of a one-statement query. Raises BadQuery, StoreDown, StoreRefused."""
    if answer.status != 200:
        raise trouble(answer, where, now_ns)
    try:
        [statement] = json.loads(answer.body)["results"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDown(f"{where} gave no answer that can be read: {error!r}") from error
    said = str(statement.get("error", ""))
    if "database not found" in said:
        raise StoreRefused(f"{where}: {said}; make it with: toba-hub influx setup")
    if "invalid name" in said or "error parsing" in said:
        raise StoreRefused(f"{where}: {said}; check store.database")
    if "unsupported" in said:
        raise BadQuery(f"{where}: {said}")
    if said:
        raise StoreDown(f"{where} could not answer: {said}")
    series: list[Mapping[str, Any]] = statement.get("series", [])
    if statement.get("partial") or any(one.get("partial") for one in series):
        raise StoreRefused(f"{where} cut its answer short; raise max-row-limit in its [http]")
    return series


def field_kinds(series: Sequence[Mapping[str, Any]]) -> dict[str, type]:
    """The types of a measurement's fields, from SHOW FIELD KEYS. Truths count as text: no sums."""
    found: dict[str, str] = {}
    for one in series:
        key, kind = one["columns"].index("fieldKey"), one["columns"].index("fieldType")
        for row in one["values"]:
            names = [name for name in (found.get(row[key]), row[kind]) if name in _RANKS]
            if names:  # shards may differ; the most general type is the answer's
                found[row[key]] = min(names, key=_RANKS.index)
    return {
        name: str if kind == "boolean" else _KINDS.get(kind, int) for name, kind in found.items()
    }


def column_of(series: Sequence[Mapping[str, Any]], name: str) -> set[str]:
    """What stands in a column of an answer to SHOW; nothing where nothing was answered."""
    return {str(row[one["columns"].index(name)]) for one in series for row in one.get("values", [])}


def series_rows(
    query: Query, kinds: Mapping[str, type], series: Sequence[Mapping[str, Any]]
) -> list[SeriesRows]:
    """The answer to what `to_influxql` asked. `kinds` as `field_kinds` gives them."""
    convert = [_converter(column.aggregate, kinds.get(column.field)) for column in query.columns]
    groups: dict[tuple[str, ...], list[_Part]] = {}
    for one in series:
        tags = {key: value or "" for key, value in (one.get("tags") or {}).items()}
        rows = [
            (
                row[0],
                tuple(
                    None if value is None else to(value)
                    for to, value in zip(convert, row[1:], strict=True)
                ),
            )
            for row in one["values"]
        ]
        key = tuple(tags.get(tag, "") for tag in query.group_by)
        groups.setdefault(key, []).append((_identity(tags), rows))
    if query.raw:
        return [
            SeriesRows(dict(zip(query.group_by, key, strict=True)), _merged(query, parts))
            for key, parts in sorted(groups.items())
        ]
    return arrange(query, [(key, rows) for key, parts in groups.items() for _, rows in parts])


def _merged(query: Query, parts: list[_Part]) -> list[Row]:
    """Points of several series in order of time, ties in order of the series' identity tags."""
    parts.sort(key=lambda part: part[0])
    rows = [row for _, rows in parts for row in rows]
    sign = -1 if query.descending else 1
    rows.sort(key=lambda row: sign * row[0])  # stable, so ties keep the parts' order
    return rows[: query.limit]


def _identity(tags: Mapping[str, str]) -> _Identity:
    return tuple(sorted((k, v) for k, v in tags.items() if v and k not in LABEL_NAMES))


def _converter(aggregate: str | None, kind: type | None) -> Callable[[Any], Value]:
    if aggregate == "count":
        return int
    if aggregate == "mean":
        return float
    if kind is str:  # a boolean that someone else wrote is a truth, so an integer
        return lambda value: int(value) if isinstance(value, bool) else str(value)
    return kind or float


def _complaint(body: bytes) -> tuple[str, dict[int, str]]:
    """A server's words, and the lines it blames. 1.x and 3 say `error`, 2.x says `message`."""
    text = body.decode(errors="replace").strip()
    try:
        said = json.loads(text)
    except ValueError:
        return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:500], {}
    if not isinstance(said, dict):
        return text[:500], {}
    words = str(said.get("error") or said.get("message") or text)
    data = said.get("data")
    blamed = data if isinstance(data, list) else [data]
    named = {
        one["line_number"] - 1: str(one.get("error_message") or words)
        for one in blamed
        if isinstance(one, dict) and isinstance(one.get("line_number"), int)
    }
    return words[:2000], named


def _retry_after_s(text: str, now_ns: int) -> float | None:
    """Seconds or an HTTP date (RFC 9110, 10.2.3) as seconds from now; None if absent or silly."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (from_datetime(moment) - now_ns) / NS
    return min(max(seconds, 0.0), LONGEST_WAIT_S) if seconds == seconds else None
