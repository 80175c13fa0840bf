"""Who a rule or a silence is about: names, lists of names or globs, by key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate

Patterns = tuple[str, ...]
_GLOB = frozenset("*?[")


class Matcher:
    """`{kind: router, device: [r-*, x1]}`: every key must match, any pattern of a key is enough.

    An absent attribute is the empty string, so `site: "*"` matches everything and `site: "?*"`
    only what has a site.
    """

    __slots__ = ("_tests", "patterns")

    patterns: tuple[tuple[str, Patterns], ...]

    def __init__(self, patterns: Mapping[str, str | Patterns | list[str]]) -> None:
        self.patterns = tuple(
            sorted((key, (p,) if isinstance(p, str) else tuple(p)) for key, p in patterns.items())
        )
        self._tests = tuple(
            (key, re.compile("|".join(f"(?:{translate(p)})" for p in patterns)))
            for key, patterns in self.patterns
        )

    def matches(self, attributes: Mapping[str, str | Patterns]) -> bool:
        """Do these attributes match every key? One that has several values needs one that fits."""
        for key, test in self._tests:
            value = attributes.get(key, "")
            values = (value,) if isinstance(value, str) else value
            if not any(test.match(one) for one in values):
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
