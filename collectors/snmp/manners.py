"""How much to ask of one agent at once: starts low, grows while it works, halves when it doesn't.

An agent that answers tooBig, nothing, or an empty list is asked for half; what failed is
remembered for as long as the hub runs, so each agent settles at a size of its own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Size:
    """A number of rows or names that one request asks for; between 1 and `ceiling`."""

    value: int
    ceiling: int

    def worked(self) -> bool:
        """A request that asked for all of it was answered in full; true when it grew."""
        grown = min(self.value * 2, self.ceiling)
        changed = grown != self.value
        self.value = grown
        return changed

    def failed(self, asked: int) -> bool:
        """A request of that size was not; true when there is a smaller size to try."""
        self.ceiling = max(1, min(self.ceiling, asked // 2))
        self.value = min(self.value, self.ceiling)
        return asked > 1
