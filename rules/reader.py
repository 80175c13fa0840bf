"""Reads plain data key by key and collects everything that is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, cast

from rules import duration

Path = tuple[str | int, ...]


class Problem(NamedTuple):
    """One mistake: where (keys and list positions from the top), what, and what to do about it."""

    path: Path
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        where = ".".join(str(part) for part in self.path)
        return f"{where}: {self.message}" + (f" ({self.remedy})" if self.remedy else "")


class Reader:
    """Small questions about data of unknown shape. An answer that is wrong becomes a `Problem`
    and a harmless value, so that reading goes on and finds the rest."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def complain(self, path: Path, message: str, remedy: str = "") -> None:
        self.problems.append(Problem(path, message, remedy))

    def mapping(
        self, data: object, path: Path, what: str, remedy: str = ""
    ) -> Mapping[str, Any] | None:
        if not isinstance(data, Mapping):
            kind = {list: "a list", str: "text", type(None): "nothing"}.get(type(data), repr(data))
            self.complain(
                path, f"{what} has keys and values, here is {kind}", remedy or "write `key: value`"
            )
            return None
        for key in data:
            if not isinstance(key, str):
                remedy = _point(data, key) or "put it in quotes"
                self.complain((*path, str(key)), f"the key {key!r} is no text", remedy)
        return {key: value for key, value in data.items() if isinstance(key, str)}

    def known_keys(self, data: Iterable[str], known: Sequence[str], path: Path) -> None:
        for key in data:
            if key not in known:
                self.unknown((*path, key), "key", key, known)

    def unknown(self, path: Path, what: str, name: str, known: Collection[str]) -> None:
        near = get_close_matches(name, list(known), 1, 0.6)
        remedy = f"did you mean `{near[0]}`?" if near else "known: " + ", ".join(sorted(known))
        self.complain(path, f"unknown {what} `{name}`", remedy)

    def words(self, data: Mapping[str, Any], key: str, path: Path, *, needed: bool = False) -> str:
        value = data.get(key)
        if value is None and not needed:
            return ""
        if value is None:
            self.complain((*path, key), f"`{key}` is missing", f"add `{key}: …`")
            return ""
        if not isinstance(value, str) or not value.strip():
            self.complain((*path, key), f"`{key}` must be text, here is {value!r}", "")
            return ""
        return value.strip()

    def number(self, value: object, path: Path) -> float:
        if isinstance(value, bool):
            self.complain(path, "truths are the numbers 0 and 1", f"write {int(value)}")
        elif not isinstance(value, int | float) or not math.isfinite(value):
            near = "without quotes or unit, and with a decimal point: 55.4"
            self.complain(path, f"{value!r} is no number", f"write it {near}")
        else:
            return float(value)
        return math.nan

    def duration(self, data: Mapping[str, Any], key: str, path: Path) -> int:
        if key not in data:
            return 0
        try:
            return duration.parse(data[key])
        except duration.DurationError as error:
            message, _, remedy = str(error).partition(": ")
            self.complain((*path, key), message, remedy)
            return 0

    def choice(
        self, data: Mapping[str, Any], key: str, known: Sequence[str], path: Path, default: str
    ) -> str:
        value = data.get(key, default)
        if value == default or value in known:
            return cast(str, value)
        self.unknown((*path, key), key, str(value), known)
        return default

    def has_problem(self, path: Path) -> bool:
        return any(problem.path == path for problem in self.problems)


def _point(data: Mapping[Any, Any], key: object) -> str:
    """`{above: 55,4}` is `above: 55` and a key 4 for YAML; empty: it is something else."""
    before: object = None
    for one, value in data.items():
        if one is key and value is None and isinstance(one, int) and isinstance(before, int):
            return f"a decimal has a point: {before}.{one}"
        before = value
    return ""
