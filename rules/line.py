"""One field of one series: how fresh it is, and who compares it.

What a reading says of time and quality is the same for all rules on that field, so it is kept once.
And most readings change no answer: as long as a value stays in the line's quiet band, no threshold
on it can be crossed, and only windows have to be fed. The band is found anew whenever a reading
left it, and is empty while any alert on the line is not at rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from hub.reading import Value
from rules.alert import Signal, State
from rules.conditions import HUGE, NOWHERE, UNCHANGED
from rules.duration import DAY, MINUTE

if TYPE_CHECKING:
    from rules.track import Comparing, Steps

FRESH_AT_LEAST = 2 * MINUTE
FRESH_BY_DEFAULT = 5 * MINUTE
"""How long one reading is believed before a second one shows the usual interval."""
_NEVER = -1


class Line:
    """See the module. The watch reads and feeds the slots itself where nothing else happens."""

    __slots__ = (
        *("high", "interval_ns", "lag_ns", "low", "newest_ns", "quality"),
        *("tracks", "value", "windows"),
    )

    def __init__(self) -> None:
        self.tracks: list[Comparing] = []
        self.windows: tuple[Comparing, ...] = ()
        """Those of `tracks` that must be fed even in the quiet band."""
        self.newest_ns = _NEVER
        self.interval_ns = 0
        """How far readings are apart, as seen; grows by doubling at most; 0: not known yet."""
        self.lag_ns = 0
        """How far the hub's time was ahead of the last reading's."""
        self.quality = 0
        self.value: float | None = None
        self.low, self.high = NOWHERE
        """The quiet band, both ends in it."""

    def add(self, track: Comparing) -> None:
        """One more rule on this line."""
        self.tracks.append(track)
        self.windows = tuple(track for track in self.tracks if track.windowed)
        self.low, self.high = NOWHERE

    def forget(self, gone: Collection[int]) -> None:
        """Without the tracks of these ids (`id`)."""
        self.tracks = [track for track in self.tracks if id(track) not in gone]
        self.windows = tuple(track for track in self.tracks if track.windowed)
        self.low, self.high = NOWHERE

    @property
    def heard(self) -> bool:
        return self.newest_ns != _NEVER

    def fresh(self, time_ns: int) -> bool:
        """Is the last reading young enough to be believed at that (reading's) time?"""
        if self.newest_ns == _NEVER:
            return False
        interval = self.interval_ns
        limit = max(3 * interval, FRESH_AT_LEAST) if interval else FRESH_BY_DEFAULT
        return time_ns - self.newest_ns <= limit

    def read(
        self, value: Value, fields: Mapping[str, Value], time_ns: int, now_ns: int, quality: int
    ) -> Iterator[tuple[Comparing, Steps]]:
        """Feed all tracks with a reading that is neither late nor retained: who takes a step."""
        newest = self.newest_ns
        if time_ns < newest or type(value) is str or not -HUGE < value < HUGE:  # type: ignore[operator]
            return
        self.quality = quality
        # A line that only others look at has no tracks.
        applies = self.tracks[0].applies(fields, quality, time_ns) if self.tracks else True
        if applies is None:
            return
        doubtful = not self.fresh(time_ns)
        if newest not in (_NEVER, time_ns):
            gap, twice = time_ns - newest, 2 * self.interval_ns
            self.interval_ns = gap if gap < twice or not twice else twice
        self.newest_ns, self.lag_ns = time_ns, now_ns - time_ns
        if applies:
            self.value = value  # type: ignore[assignment]
        for track in self.tracks:
            steps = self._feed(track, value, time_ns, applies, doubtful, time_ns == newest)  # type: ignore[arg-type]
            if not track.calm:
                steps += track.confirm(fields, time_ns)
            if steps or not track.calm:
                yield track, steps
        self.settle()

    def _feed(
        self,
        track: Comparing,
        value: float,
        time_ns: int,
        applies: bool,
        doubtful: bool,
        again: bool,
    ) -> Steps:
        if again and track.windowed:
            return ()  # a repeated time counts once; elsewhere the last value of a time wins
        calm = track.calm
        steps: Steps = ()
        if doubtful and track.alert.state is State.PENDING:
            steps = track.signal(Signal.DOUBT, time_ns)
        condition = track.condition
        edge = condition.feed(time_ns, value) if applies else condition.deny()
        return steps if calm and edge is UNCHANGED else steps + track.edge(edge, time_ns)

    def settle(self) -> None:
        """Find the quiet band anew: a track took a step, or a value was outside."""
        low, high = -HUGE, HUGE
        for track in self.tracks:
            if not track.calm or track.picky:
                low, high = NOWHERE
                break
            below, above = track.condition.quiet(self.value)
            low, high = max(low, below), min(high, above)
        self.low, self.high = low, high

    def dump(self) -> list[int | None]:
        return [
            self.newest_ns if self.heard else None,
            self.interval_ns,
            self.lag_ns,
            self.quality,
        ]

    def load(self, newest_ns: int | None, interval_ns: int, lag_ns: int, quality: int) -> None:
        """Every track of a line says the same; one that is new says nothing."""
        if newest_ns is not None:
            self.newest_ns, self.interval_ns = newest_ns, interval_ns
            self.lag_ns, self.quality = lag_ns, quality

    def rewind(self, now_ns: int) -> None:
        """The clock was set back to now: readings from the future are no past to compare with."""
        self.lag_ns = max(0, min(self.lag_ns, DAY))
        if self.newest_ns > now_ns:
            self.newest_ns = now_ns
            for track in self.tracks:
                track.condition.restart()
