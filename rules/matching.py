"""Who a rule or a silence is about: names, lists of names or globs, by key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import translate

Patterns = tuple[str, ...]
_GLOB = frozenset("*?[!")
_NOT = "!"


class Matcher:
    """`{kind: router, device: [r-*, x1]}`: every key must match, any pattern of a key is enough.

    `collector: "!snmp"` matches what has no such value; beside others, `[r-*, "!r-core"]`, it takes
    away from what they match.

    An absent attribute is the empty string, so `site: "*"` matches everything and `site: "?*"`
    only what has a site.
    """

    __slots__ = ("_tests", "patterns")

    patterns: tuple[tuple[str, Patterns], ...]

    def __init__(self, patterns: Mapping[str, str | Patterns | list[str]]) -> None:
        self.patterns = tuple(
            sorted((key, (p,) if isinstance(p, str) else tuple(p)) for key, p in patterns.items())
        )
        self._tests = tuple((key, *_tests(patterns)) for key, patterns in self.patterns)

    def matches(self, attributes: Mapping[str, str | Patterns]) -> bool:
        """Do these attributes match every key? One that has several values needs one that fits."""
        for key, wanted, unwanted in self._tests:
            value = attributes.get(key, "")
            values = (value,) if isinstance(value, str) else value
            if wanted is not None and not any(wanted.match(one) for one in values):
                return False
            if unwanted is not None and any(unwanted.match(one) for one in values):
                return False
        return True

    def only(self, keys: frozenset[str]) -> Matcher:
        """The part of it that speaks about these keys."""
        return Matcher({key: p for key, p in self.patterns if key in keys})

    def names(self, key: str) -> Patterns:
        """The values of that key when all of them are plain names; else empty."""
        for known, patterns in self.patterns:
            if known == key and not any(set(p) & _GLOB for p in patterns):
                return patterns
        return ()

    def plain(self) -> dict[str, list[str]]:
        """As plain data that `Matcher(…)` takes back."""
        return {key: list(p) for key, p in self.patterns}

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Matcher) and self.patterns == other.patterns

    def __hash__(self) -> int:
        return hash(self.patterns)

    def __repr__(self) -> str:
        return f"Matcher({self.plain()})"


def _tests(patterns: Patterns) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    """What a value must match, and what it must not; None: anything, nothing."""
    wanted = [p for p in patterns if not p.startswith(_NOT)]
    unwanted = [p.removeprefix(_NOT) for p in patterns if p.startswith(_NOT)]
    return _any_of(wanted), _any_of(unwanted)


def _any_of(patterns: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{translate(p)})" for p in patterns)) if patterns else None
