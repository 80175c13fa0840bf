"""The hub's own health: counters that only grow, and gauges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator


class Health:
    """Counters by name and one label pair, e.g. `refused{collector=mqtt,reason=…}`."""

    def __init__(self) -> None:
        self._counters: defaultdict[tuple[str, tuple[tuple[str, str], ...]], int] = defaultdict(int)
        self._gauges: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def count(self, name: str, number: int = 1, **labels: str) -> int:
        """Add to a counter; what it is now."""
        key = name, tuple(sorted(labels.items()))
        self._counters[key] += number
        return self._counters[key]

    def counter(self, name: str, **labels: str) -> Callable[[int], None]:
        """Adds to that counter; for who counts thousands of times a second."""
        counters, key = self._counters, (name, tuple(sorted(labels.items())))

        def add(number: int) -> None:
            counters[key] += number

        return add

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self._gauges[name, tuple(sorted(labels.items()))] = value

    def total(self, name: str) -> int:
        """The sum over all labels."""
        return sum(number for (known, _), number in self._counters.items() if known == name)

    def by(self, name: str, label: str) -> dict[str, int]:
        """A counter's numbers by one of its labels."""
        found: defaultdict[str, int] = defaultdict(int)
        for (known, labels), number in self._counters.items():
            if known == name:
                found[dict(labels).get(label, "")] += number
        return dict(found)

    def lines(self) -> Iterator[tuple[str, dict[str, str], float, str]]:
        """(name, labels, value, "counter" or "gauge"), sorted by name."""
        for (name, labels), number in sorted(self._counters.items()):
            yield name, dict(labels), number, "counter"
        for (name, labels), value in sorted(self._gauges.items()):
            yield name, dict(labels), value, "gauge"
