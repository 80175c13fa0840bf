"""Which rules a series may meet, found without asking each rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rules.matching import Matcher
from rules.rule import Rule

Asked = tuple[Rule, int]
"""A rule, and which of its parts; -1: its only condition."""


class Index:
    """The rules on one field. Those that name their devices are found by device, and those that
    say the same of whom they are about are asked once."""

    __slots__ = ("_of_device", "_where")

    def __init__(self) -> None:
        self._of_device: dict[str, list[Asked]] = {}
        self._where: dict[Matcher, list[Asked]] = {}

    def add(self, rule: Rule, part: int = -1) -> None:
        names = rule.where.names("device")
        for name in names:
            self._of_device.setdefault(name, []).append((rule, part))
        if not names:
            self._where.setdefault(rule.where, []).append((rule, part))

    def about(self, device: str, attributes: Mapping[str, Any]) -> Iterator[Asked]:
        """The rules that are about a series of that device with these attributes."""
        for where, rules in self._where.items():
            if where.matches(attributes):
                yield from rules
        for rule, part in self._of_device.get(device, ()):
            if rule.where.matches(attributes):
                yield rule, part


EMPTY = Index()
