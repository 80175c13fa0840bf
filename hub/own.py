"""What the hub measures of itself: readings of `hub`, a series for each part, for rules to watch.

    part            who tells                         fields
    ingest          the ingest process                readings … lost
    journal         the ingest process                full
    serve           the serve process, by link.py     parked … lost
    broker <name>   the MQTT collector                broker_up … broker_lost
    netprobe        the netprobe collector            probe_up

They come through the journal like all that rules see, so a replay gives the same alerts. What ends
in `lost` or `parked` is what is new since the reading before; the others are totals or states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hub.api import BadItem
from hub.committer import Committer, Receipt
from hub.journal import Class, Kind
from hub.reading import Reading, Series
from hub.records import pack_readings

MESSAGES = {
    "id": {
        "the clock jumped by {seconds} s: it was set, or this machine slept": "jam melompat "
        "{seconds} dtk: jam disetel, atau mesin ini tertidur",
        "asked out of turn, since an alert waits for it": "ditanya di luar jadwal, karena ada "
        "peringatan yang menunggunya",
    }
}
"""What the hub's own events say in Bahasa Indonesia, as collectors' manifests have it."""
EVERY_S = 10.0
"""How often each part is told of."""
MEASUREMENT = "hub"
FIELDS = {
    "readings": "",
    "refused": "",
    "dropped": "",
    "lost": "",
    "polls": "",
    "failures": "",
    "journal_bytes": "byte",
    "journal_id": "",
    "clock_jump_s": "s",
    "full": "",
    "parked": "",
    "store_down_s": "s",
    "store_behind": "",
    "rules_behind_s": "s",
    "channels_dead": "",
    "broker_up": "",
    "broker_deaf": "",
    "broker_dropped": "",
    "broker_lost": "",
    "probe_up": "",
}
"""Each with its unit; all are integers."""


class Own:
    """Writes these readings into the journal."""

    def __init__(self, committer: Committer, now: Callable[[], int]) -> None:
        self._committer = committer
        self._now = now

    def tell(self, part: str, numbers: Mapping[str, int], klass: Class = Class.POLLED) -> Receipt:
        """How a part stands. `Class.ACT` uses the reserve, so it is for what is told seldom.

        Raises `BadItem` for what is no field of integers.
        """
        for name, number in numbers.items():
            if name not in FIELDS or type(number) is not int:
                raise BadItem(f"{name} = {number!r} is nothing that the hub measures of itself")
        now_ns = self._now()
        reading = Reading(Series.of(MEASUREMENT, "hub", part=part), now_ns, dict(numbers))
        payload = pack_readings(MEASUREMENT, [reading])
        return self._committer.submit([(now_ns, Kind.READINGS, klass, payload)], klass)


class Fresh:
    """What a counter grew by since it was told last; told again where the telling failed."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def of(self, **totals: int) -> dict[str, int]:
        return {name: total - self._told.get(name, 0) for name, total in totals.items()}

    def told(self, **totals: int) -> None:
        """These are on disk."""
        self._told |= totals
