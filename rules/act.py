"""What people do: acknowledge alerts, silence them, dismiss what was found; take all of it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rules.matching import Matcher

OF_ALERTS = ("acknowledge", "unacknowledge")
OF_PROPOSALS = ("dismiss", "undismiss")
KINDS = (*OF_ALERTS, "silence", "unsilence", "maintenance", *OF_PROPOSALS)

MatcherData = Mapping[str, str | tuple[str, ...] | list[str]]


@dataclass(frozen=True, slots=True)
class Act:
    """One act of one person, as the journal keeps it."""

    kind: str
    """One of `KINDS`; `maintenance` is a silence with another name."""
    who: str
    why: str = ""
    key: str = ""
    """The alert (acknowledge, unacknowledge), the silence's id (unsilence) or what was found
    (dismiss, undismiss)."""
    matcher: MatcherData = field(default_factory=dict)
    """Whom a silence is about: device, rule, site, opd, kind, severity, key or any tag; names,
    lists or globs. `unsilence` without a key ends the silences with exactly this matcher."""
    until_ns: int = 0

    def problem(self) -> str:
        """Why it can't be done, for the person who tries; empty: it can. Check before recording."""
        if self.kind not in KINDS:
            return f"unknown act {self.kind!r}: use one of {', '.join(KINDS)}"
        if not self.who:
            return f"{self.kind} needs to know who does it"
        if self.kind in OF_ALERTS and not self.key:
            return f"{self.kind} needs the key of an alert"
        if self.kind in OF_PROPOSALS and not self.key:
            return f"{self.kind} needs the key of what was found"
        if self.kind in ("silence", "maintenance"):
            if not self.matcher:
                return 'a silence needs a matcher; for everything write {"device": "*"}'
            if self.until_ns <= 0:
                return "a silence needs an end"
        if self.kind == "unsilence" and not self.key and not self.matcher:
            return "unsilence needs the id or the matcher of a silence"
        if not all(_patterns(value) for value in self.matcher.values()):
            return "a matcher's values are names, lists of names or globs"
        return ""


def _patterns(value: object) -> bool:
    if isinstance(value, str):
        return bool(value)
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(one, str) and one for one in value)
    )


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that match page nobody until it ends. They still fire and are still shown."""

    id: str
    """The id of the record that brought it."""
    kind: str
    who: str
    why: str
    matcher: Matcher
    until_ns: int

    def plain(self) -> list[Any]:
        """As plain data that `Silence.read` takes back."""
        return [self.id, self.kind, self.who, self.why, self.matcher.plain(), self.until_ns]

    @classmethod
    def read(cls, data: list[Any]) -> Silence:
        id_, kind, who, why, matcher, until_ns = data
        return cls(id_, kind, who, why, Matcher(matcher), until_ns)
