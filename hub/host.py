"""What a collector sees of the hub: `hub.api.Host`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub.api import Log, Receipt, Redelivery, Target
from hub.health import Health
from hub.notebook import Notebook
from hub.own import Own
from hub.redelivery import Window


@dataclass(slots=True)
class TargetHost:
    """Of one collector."""

    log: Log
    window: Window
    health: Health
    name: str
    now: Callable[[], int]
    given: Sequence[Target]
    own: Own
    notebook: Notebook
    listed: Mapping[str, str] = field(default_factory=dict)

    def now_ns(self) -> int:
        return self.now()

    def targets(self) -> Sequence[Target]:
        return self.given

    def addresses(self) -> Mapping[str, str]:
        return self.listed

    def count(self, what: str, number: int = 1) -> None:
        self.health.count(f"collector_{what}", number, collector=self.name)

    def tell(self, part: str, numbers: Mapping[str, int]) -> None:
        self.own.tell(part, numbers)

    def refuse(self, reason: str, detail: str = "", device: str = "") -> None:
        # The first of each kind and then every thousandth: a broken sensor must not fill the log.
        number = self.health.count("refused", 1, collector=self.name, reason=reason)
        if number <= 3 or number % 1000 == 0:
            self.log.warning("refused", reason=reason, detail=detail, device=device, number=number)

    def taken(self, redelivery: Redelivery) -> Receipt | None:
        return self.window.taken(redelivery)

    def recall(self) -> Mapping[str, Any]:
        return self.notebook.recall()

    async def keep(self, facts: Mapping[str, Any]) -> None:
        await self.notebook.keep(facts)
