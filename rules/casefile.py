"""What a file of cases may hold, every mistake at once; `testing.py` runs what is good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from hub.reading import Quality
from rules.reader import Path, Problem, Reader
from rules.testing import CaseError, numbers
from rules.thing import Thing

_THING = tuple(one.name for one in fields(Thing) if one.name != "cut_off")
_CASE = ("name", "interval", "series", "acts", "expect")
_ACT = ("at", "kind", "who", "why", "key", "matcher", "until")
_QUALITIES = tuple(str(one.name).lower() for one in Quality)


def problems(data: object) -> list[Problem]:
    """What is wrong with the content of a `*_test.yaml`, as YAML gives it."""
    reader = _CaseReader()
    reader.file(data)
    return reader.problems


class _CaseReader(Reader):
    def file(self, data: object) -> None:
        top = self.mapping(data, (), "a file of cases", "write `cases:` and each below it")
        if top is None:
            return
        self.known_keys(top, ("rules", "things", "cases"), ())
        for index, item in enumerate(self.items(top, "things", ())):
            self.thing(item, ("things", index))
        for index, item in enumerate(self.items(top, "cases", (), needed=True)):
            self.case(item, ("cases", index))

    def items(
        self, data: Mapping[str, Any], key: str, path: Path, *, needed: bool = False
    ) -> list[Any]:
        """The entries of a list; empty where there is none."""
        found = data.get(key)
        if isinstance(found, list) and (found or not needed):
            return found
        if found is not None or needed:
            how = "must be a list" if found else "is missing or empty"
            self.complain((*path, key), f"`{key}` {how}", "write each entry as `- …`")
        return []

    def thing(self, data: object, path: Path) -> None:
        item = self.mapping(data, path, "a thing", "such as {id: aq1, kind: sensor}")
        if item is not None:
            self.known_keys(item, _THING, path)
            self.words(item, "id", path, needed=True)

    def case(self, data: object, path: Path) -> None:
        case = self.mapping(data, path, "a case")
        if case is None:
            return
        self.known_keys(case, _CASE, path)
        self.words(case, "name", path, needed=True)
        self.duration(case, "interval", path)
        for index, item in enumerate(self.items(case, "series", path)):
            self.series(item, (*path, "series", index), spaced="interval" in case)
        for index, item in enumerate(self.items(case, "acts", path)):
            self.act(item, (*path, "acts", index))
        for index, item in enumerate(self.items(case, "expect", path, needed=True)):
            self.expected(item, (*path, "expect", index))

    def series(self, data: object, path: Path, *, spaced: bool) -> None:
        item = self.mapping(data, path, "a series")
        if item is None:
            return
        for key in ("measurement", "device"):
            self.words(item, key, path, needed=True)
        for key in ("interval", "offset"):
            self.duration(item, key, path)
        if not spaced and "interval" not in item:
            self.complain(path, "nobody says how far its values are apart", "add `interval: 1m`")
        if "quality" in item:
            self.choice(item, "quality", _QUALITIES, path, "")
        given = self.mapping(item.get("fields"), (*path, "fields"), "`fields`", "{pm25: 20x5 80}")
        for name, text in (given or {}).items():
            try:
                if not numbers(text):
                    raise CaseError("no value: write 20, 20x12, 20+5x3, _ or _x6")
            except CaseError as error:
                message, _, remedy = str(error).partition(": ")
                self.complain((*path, "fields", name), message, remedy)

    def act(self, data: object, path: Path) -> None:
        item = self.mapping(data, path, "an act")
        if item is None:
            return
        self.known_keys(item, _ACT, path)
        self.moment(item, path)
        self.duration(item, "until", path)

    def expected(self, data: object, path: Path) -> None:
        item = self.mapping(data, path, "what is expected", "{at: 10m, alerts: []}")
        if item is None:
            return
        self.known_keys(item, ("at", "alerts"), path)
        self.moment(item, path)
        if not isinstance(item.get("alerts"), list):
            self.complain((*path, "alerts"), "`alerts` must be a list", "[] where none is expected")
            return
        for index, alert in enumerate(item["alerts"]):
            self.mapping(alert, (*path, "alerts", index), "an alert", "such as {rule: pm25_high}")

    def moment(self, item: Mapping[str, Any], path: Path) -> None:
        if "at" not in item:
            self.complain((*path, "at"), "`at` is missing", "add `at: 10m`, from the case's begin")
        self.duration(item, "at", path)
