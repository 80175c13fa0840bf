"""Topic templates: `toba/v1/{opd}/{site}/{device}/telemetry` names levels, and is a filter too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

PLACES = ("opd", "site", "device", "sensor")
"""Levels that a template may name."""

MAX_LEVELS = 16
MAX_LENGTH = 256

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


class TemplateError(ValueError):
    """The text is no usable template; the message says which part and why."""


def valid_name(text: str) -> bool:
    """True for what may name a device or sensor: 1 to 64 of `A-Z a-z 0-9 . _ : -`."""
    return _NAME.fullmatch(text) is not None


class Template:
    """A topic with named levels; `+` and a closing `#` match without naming."""

    def __init__(self, text: str, *, device: bool = True) -> None:
        """`device`: a level must be `{device}`. Raises `TemplateError`."""
        self.text = text
        levels = text.split("/")
        if not text or len(text) > MAX_LENGTH or len(levels) > MAX_LEVELS:
            raise TemplateError(
                f"{text!r}: 1 to {MAX_LENGTH} characters, at most {MAX_LEVELS} levels"
            )
        named: set[str] = set()
        filters, patterns, rest = [], [], ""
        for index, level in enumerate(levels):
            name = level[1:-1] if level[:1] == "{" and level[-1:] == "}" else ""
            if name:
                if name not in PLACES:
                    raise TemplateError(f"{text!r}: {{{name}}} is none of {', '.join(PLACES)}")
                if name in named:
                    raise TemplateError(f"{text!r}: {{{name}}} stands twice")
                named.add(name)
                filters.append("+")
                patterns.append(f"(?P<{name}>[^/]+)")
            elif level == "+":
                filters.append("+")
                patterns.append("[^/]*")
            elif level == "#" and index == len(levels) - 1:
                filters.append("#")
                rest = "(?P<rest>.*)"
            elif re.search(r"[{}+#\x00]", level):
                raise TemplateError(f"{text!r}: level {level!r} must be a word, {{name}}, + or #")
            else:
                filters.append(level)
                patterns.append(re.escape(level))
        if device and "device" not in named:
            raise TemplateError(f"{text!r}: no level is {{device}}")
        self.filter = "/".join(filters)
        pattern = "/".join(patterns)
        if rest and patterns:
            rest = f"(?:/{rest})?"  # `a/#` is also `a` (MQTT 5, 4.7.1.2)
        self._pattern = re.compile(pattern + rest, re.DOTALL)

    def match(self, topic: str) -> Mapping[str, str] | None:
        """The named levels of a topic, or None when it does not fit; `rest` is what the closing
        `#` stands for."""
        found = self._pattern.fullmatch(topic)
        return found.groupdict("") if found else None


def widest(filters: Iterable[str]) -> list[str]:
    """Filters without those that another one covers: a broker may send a message once for each
    subscription that it matches."""
    once = list(dict.fromkeys(filters))
    return [one for one in once if not any(other != one and covers(other, one) for other in once)]


def covers(wide: str, narrow: str) -> bool:
    """Does every topic that matches `narrow` match `wide`?"""
    theirs = narrow.split("/")
    for index, level in enumerate(wide.split("/")):
        if level == "#":
            return True
        if index == len(theirs):
            return False
        other = theirs[index]
        if other == "#" or (level != "+" and level != other):
            return False
    return len(theirs) == len(wide.split("/"))
