"""The condition of a rule: its keys in, `When` out. `model.py` reads the rest of a rule."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from rules import duration, hours
from rules.expression import Expression, ExpressionError
from rules.hours import Calendars, Hours, HoursReader
from rules.matching import Matcher
from rules.reader import Path
from rules.rule import COMPARISONS, EVERYTHING, FUNCTIONS, Against, Beside, Comparison, When, Window

THING_KEYS = ("device", "kind", "site", "opd", "collector")
"""Keys of `where` that the inventory answers. `port` (uplink, other) is asked of interfaces;
any other key is an identity tag of the series."""
WHERE_KEYS = (*THING_KEYS, "port")

CLEAR_KEYS = ("clear_below", "clear_above")
TOGETHER_KEYS = ("all", "any")
HOURS_KEYS = ("only", "outside")
BESIDE_KEYS = ("beside", "unless_beside")
WHEN_KEYS = (
    *("measurement", "field", "expression", *COMPARISONS, *CLEAR_KEYS, *FUNCTIONS, "per"),
    *("against", "as", "absent", "only_if", *BESIDE_KEYS, "quality"),
    *(*HOURS_KEYS, *TOGETHER_KEYS),
)
PART_KEYS = (
    *(key for key in WHEN_KEYS if key not in (*TOGETHER_KEYS, "absent")),
    "where",
)

SHORTEST_WINDOW = duration.SECOND
MOST_PARTS = 8
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class WhenReader(HoursReader):
    """Reads `when` and what stands in it, collecting problems."""

    def __init__(
        self,
        declared: Mapping[str, Collection[str]] | None,
        tags: Collection[str] | None,
        calendars: Calendars | None,
    ) -> None:
        super().__init__()
        self.declared = declared
        self.tags = tags
        self.calendars = calendars or hours.default()

    def when(self, raw: Mapping[str, Any], path: Path) -> When:
        here = (*path, "when")
        if "when" not in raw:
            self.complain(here, "the rule has no condition", "add `when: {measurement: …, …}`")
            return When("")
        data = self.mapping(raw["when"], here, "a condition")
        if data is None:
            return When("")
        self.known_keys(data, WHEN_KEYS, here)
        found = [key for key in TOGETHER_KEYS if key in data]
        if found:
            return self.parts(data, found[0], here)
        return self.single(data, here)

    # -- several conditions on one device -------------------------------------------------

    def parts(self, data: Mapping[str, Any], key: str, path: Path) -> When:
        for other in data:
            if other in WHEN_KEYS and other not in (key, *HOURS_KEYS):
                self.complain(
                    (*path, other),
                    f"`{other}` beside `{key}`",
                    f"write it in the conditions of `{key}`",
                )
        here, items = (*path, key), data[key]
        if not isinstance(items, list) or not 2 <= len(items) <= MOST_PARTS:
            self.complain(
                here,
                f"`{key}` is a list of 2 to {MOST_PARTS} conditions",
                "begin each with `- {measurement: …`",
            )
            return When("")
        parts = [self.part(item, (*here, number)) for number, item in enumerate(items)]
        if asked := self.hours(data, path):
            parts = [replace(part, hours=part.hours or asked) for part in parts]
        needed = len(parts) if key == "all" else 1
        return When("", threshold=float(needed), parts=tuple(parts), needed=needed)

    def part(self, item: object, path: Path) -> When:
        data = self.mapping(item, path, "a condition")
        if data is None:
            return When("")
        for key in (*TOGETHER_KEYS, "absent"):
            if key in data:
                self.complain((*path, key), f"`{key}` in a part", "make it a rule of its own")
                return When("")
        self.known_keys(data, PART_KEYS, path)
        return replace(self.single(data, path), where=self.matcher(data, path))

    # -- one condition ------------------------------------------------------------------------

    def single(self, data: Mapping[str, Any], here: Path) -> When:
        measurement = self.words(data, "measurement", here, needed=True)
        absent = "absent" in data
        expression = self.expression(data, here)
        field = str(expression) if expression else ""
        if "expression" not in data:
            field = self.words(data, "field", here, needed=not absent)
        only_if = self.companions(data, "only_if", here)
        names = [field] if field and not expression else []
        self.declared_fields(measurement, names, (*here, "field"))
        self.declared_fields(measurement, [name for name, _ in only_if], (*here, "only_if"))
        if expression:
            self.declared_fields(measurement, expression.fields, (*here, "expression"))
        good_only = self.choice(data, "quality", ("good", "any"), here, default="any") == "good"
        asked = self.hours(data, here)
        if absent:
            return self.absence(data, here, When(measurement, field, only_if=only_if, hours=asked))
        comparison, threshold = self.comparison(data, here, expression)
        return When(
            measurement=measurement,
            field=field,
            comparison=comparison,
            threshold=threshold,
            clear=self.clear(data, here, comparison, threshold),
            window=self.window(data, here),
            only_if=only_if,
            beside=tuple(
                one for key in BESIDE_KEYS for one in self.beside(data, key, here, measurement)
            ),
            good_only=good_only,
            expression=expression,
            against=self.against(data, here),
            hours=asked,
        )

    def absence(self, data: Mapping[str, Any], path: Path, when: When) -> When:
        spare = (*COMPARISONS, *CLEAR_KEYS, *FUNCTIONS, "quality", "expression", "per")
        for key in data:
            if key in (*spare, *BESIDE_KEYS, "against", "as"):
                self.complain(
                    (*path, key),
                    f"`{key}` and `absent` don't go together: silence has no value",
                    f"drop `{key}`, or make it a rule of its own",
                )
        absent_ns = self.duration(data, "absent", path)
        if absent_ns <= 0 and not self.has_problem((*path, "absent")):
            self.complain((*path, "absent"), "`absent` must be longer than 0", "such as 15m")
        return replace(when, absent_ns=absent_ns)

    def expression(self, data: Mapping[str, Any], path: Path) -> Expression | None:
        if "expression" not in data:
            return None
        here = (*path, "expression")
        if "field" in data:
            self.complain(here, "`field` and `expression` in one condition", "drop one of them")
        text = self.words(data, "expression", path)
        if not text:
            return None
        try:
            return Expression(text)
        except ExpressionError as error:
            self.complain(here, f"{text!r}: {error}", "such as max(in_bps, out_bps) / speed_bps")
            return None

    def comparison(
        self, data: Mapping[str, Any], path: Path, expression: Expression | None
    ) -> tuple[Comparison, float]:
        found = [key for key in COMPARISONS if key in data]
        if len(found) == 1:
            key = found[0]
            return key, self.number(data[key], (*path, key))
        if found:
            both = " and ".join(f"`{key}`" for key in found)
            self.complain((*path, found[1]), f"{both} in one condition", "make it two rules")
        elif expression and expression.is_truth and not any(key in data for key in FUNCTIONS):
            return "not_equals", 0.0
        elif not self.has_problem((*path, "expression")):
            self.complain(
                path,
                "the condition compares with nothing",
                "add `above:`, `below:`, `equals:`, `not_equals:` or `absent:`",
            )
        return "above", math.nan

    def clear(
        self, data: Mapping[str, Any], path: Path, comparison: Comparison, threshold: float
    ) -> float | None:
        level: float | None = None
        right = {"above": "clear_below", "below": "clear_above"}.get(comparison)
        for key in CLEAR_KEYS:
            if key not in data:
                continue
            here = (*path, key)
            if key != right:
                remedy = f"use `{right}`" if right else f"drop `{key}`"
                self.complain(here, f"`{key}` doesn't go with `{comparison}`", remedy)
                continue
            level = self.number(data[key], here)
            wrong = level > threshold if key == "clear_below" else level < threshold
            if wrong:
                side = "at most" if key == "clear_below" else "at least"
                self.complain(
                    here,
                    f"{level:g} lies on the wrong side of the threshold {threshold:g}: "
                    "the alert would end while it still holds",
                    f"make it {side} {threshold:g}",
                )
        return level

    def window(self, data: Mapping[str, Any], path: Path) -> Window | None:
        found = [key for key in FUNCTIONS if key in data]
        if "per" in data and "rate" not in data:
            self.complain((*path, "per"), "`per` without `rate`", "drop it, or add `rate:`")
        if not found:
            return None
        function = found[0]
        if len(found) > 1:
            both = " and ".join(f"`{key}`" for key in found)
            self.complain((*path, found[1]), f"{both} in one condition", "make it two rules")
        length_ns = self.duration(data, function, path)
        if length_ns < SHORTEST_WINDOW and not self.has_problem((*path, function)):
            self.complain((*path, function), "a window is at least 1s long", "such as 1h")
        if function != "rate":
            return Window(function, length_ns)
        per_ns = self.duration(data, "per", path) if "per" in data else duration.HOUR
        if per_ns < SHORTEST_WINDOW and not self.has_problem((*path, "per")):
            self.complain((*path, "per"), "a rate is per 1s or longer", "such as 1h")
        return Window(function, length_ns, per_ns)

    def against(self, data: Mapping[str, Any], path: Path) -> Against | None:
        percent = self.choice(data, "as", ("difference", "percent"), path, "difference")
        if "against" not in data:
            if "as" in data:
                self.complain((*path, "as"), "`as` without `against`", "drop it")
            return None
        here, value = (*path, "against"), data["against"]
        if value == "yesterday":
            return Against((), percent == "percent")
        such = "yesterday, or the tags of another series, such as {sensor: reference}"
        if not isinstance(value, Mapping) or not value:
            self.complain(here, f"nothing to compare with: {value!r}", such)
            return None
        tags = self.mapping(value, here, "`against`") or {}
        if "expression" in data:
            self.complain(here, "a sibling is compared by a field", "use `field`")
        for key, name in tags.items():
            if not isinstance(name, str) or not name.strip() or not name.isprintable():
                self.complain((*here, key), f"{name!r} is no name", "the other series' tag")
            elif key != "device" and self.tags is not None and key not in self.tags:
                self.unknown((*here, key), "tag", key, ("device", *self.tags))
        return Against(tuple(sorted((k, str(v)) for k, v in tags.items())), percent == "percent")

    def hours(self, data: Mapping[str, Any], path: Path) -> Hours | None:
        found = [key for key in HOURS_KEYS if key in data]
        if not found:
            return None
        if len(found) == 2:
            self.complain((*path, "outside"), "`only` and `outside`", "one of them is enough")
        key, known = found[0], self.calendars
        value, here = data[key], (*path, key)
        if isinstance(value, str):
            if value not in known.by_name:
                self.unknown(here, "calendar", value, known.by_name)
                return None
            asked = known.by_name[value]
        else:
            asked = Hours(self.spans(value, here), known.days_off, known.zone)
        return asked if key == "only" else asked.outside()

    def beside(
        self, data: Mapping[str, Any], key: str, path: Path, measurement: str
    ) -> tuple[Beside, ...]:
        """`{probe: icmp, up: 1}`: text is a tag of the other series, a number its field's value."""
        if key not in data:
            return ()
        here = (*path, key)
        pairs = self.mapping(data[key], here, f"`{key}`") or {}
        tags = tuple(sorted((k, v) for k, v in pairs.items() if isinstance(v, str)))
        fields = {k: v for k, v in pairs.items() if not isinstance(v, str)}
        if len(fields) != 1 or not tags:
            what = f"`{key}` needs the tags of another series and one field with a number"
            self.complain(here, what, "such as {probe: icmp, up: 1}")
            return ()
        for tag, _ in tags:
            if self.tags is not None and tag not in self.tags:
                self.unknown((*here, tag), "tag", tag, self.tags)
        ((field, value),) = fields.items()
        self.declared_fields(measurement, [str(field)], here)
        number = self.number(value, (*here, field))
        return (Beside(tags, str(field), number, key == "beside"),)

    def companions(
        self, data: Mapping[str, Any], key: str, path: Path
    ) -> tuple[tuple[str, float], ...]:
        """Fields of the same reading, with the values that they must have."""
        if key not in data:
            return ()
        here = (*path, key)
        pairs = self.mapping(data[key], here, f"`{key}`")
        if pairs is None:
            return ()
        return tuple(
            sorted((str(name), self.number(value, (*here, name))) for name, value in pairs.items())
        )

    def declared_fields(self, measurement: str, names: Sequence[str], path: Path) -> None:
        """Does some manifest promise these fields? `path` leads to the key that names them."""
        if self.declared is None or not measurement:
            return
        if measurement not in self.declared:
            if path[-1] == "field":  # once is enough
                where = (*path[:-1], "measurement")
                self.unknown(where, "measurement", measurement, self.declared)
            return
        fields = self.declared[measurement]
        for name in names:
            if name not in fields:
                here = path if path[-1] in ("field", "expression") else (*path, name)
                self.unknown(here, f"field of {measurement}", name, fields)

    # -- where ----------------------------------------------------------------------------------

    def matcher(self, raw: Mapping[str, Any], path: Path) -> Matcher:
        """`where` of a rule or of a part."""
        here = (*path, "where")
        if "where" not in raw:
            return EVERYTHING
        data = self.mapping(raw["where"], here, "`where`") or {}
        patterns: dict[str, tuple[str, ...]] = {}
        for key, value in data.items():
            self.where_key(key, (*here, key))
            values = value if isinstance(value, list) else [value]
            if not values or not all(
                isinstance(v, str | int | float) and not isinstance(v, bool) and v != ""
                for v in values
            ):
                self.complain(
                    (*here, key),
                    f"`{key}` needs a name, a list of names or a glob, not {value!r}",
                    "such as router, [aq1, aq2] or aq-*; put yes, no and on in quotes",
                )
                continue
            patterns[key] = tuple(str(v) for v in values)
        return Matcher(patterns)

    def where_key(self, key: str, path: Path) -> None:
        if key in WHERE_KEYS:
            return
        if self.tags is not None:
            if key not in self.tags:
                self.unknown(path, "key of `where`", key, (*WHERE_KEYS, *self.tags))
        elif near := get_close_matches(key, WHERE_KEYS, 1, 0.8):
            self.complain(path, f"unknown key `{key}`", f"did you mean `{near[0]}`?")
        elif not _WORD.fullmatch(key):
            self.complain(path, f"{key!r} is no tag", "a tag is letters, digits and _")
