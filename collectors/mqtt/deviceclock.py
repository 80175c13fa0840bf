"""Is a device's clock to be believed? The hub's receive time is the authority."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hub.api import Quality

NS = 1_000_000_000
AHEAD_NS = 600 * NS
"""A device may run ahead by ten minutes; more is a wrong clock."""
LATE_NS = 600 * NS
"""A reading older than ten minutes tells about the past, not about now."""
OLDEST_NS = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * NS
"""Before that, no clock of this project was ever set: 1970, or counted from 2000 (ESP32)."""
EPOCH_2000_NS = 946_684_800 * NS
"""Seconds between 1970 and 2000, the epoch of MicroPython on ESP32."""

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_LATE = int(Quality.LATE)
_CLOCK = int(Quality.CLOCK)


def judge(
    stamp: object, received_ns: int, *, buffered: bool = False, synced: bool = True
) -> tuple[int, int]:
    """The time to store (UTC ns) and the quality flags CLOCK and LATE.

    `stamp` is seconds since 1970 (milli-, micro- and nanoseconds are told by their size) or
    ISO 8601 with a zone; None means the device has no clock, which is no fault. `buffered`:
    the device kept the reading while it was offline.
    """
    if type(stamp) is int and synced and not buffered:  # nearly all messages
        time_ns = stamp * NS
        if -AHEAD_NS <= received_ns - time_ns <= LATE_NS:
            return time_ns, 0
    late = _LATE if buffered else 0
    if stamp is None:
        return received_ns, late
    own_ns = to_ns(stamp) if synced else None
    newest_ns = received_ns + AHEAD_NS
    if own_ns is None or not OLDEST_NS <= own_ns <= newest_ns:
        # A buffered reading's own time can be saved, there are but two epochs in use.
        if buffered and own_ns and OLDEST_NS <= own_ns + EPOCH_2000_NS <= newest_ns:
            return own_ns + EPOCH_2000_NS, _CLOCK | _LATE
        return received_ns, _CLOCK | late
    return own_ns, _LATE if received_ns - own_ns > LATE_NS else late


def to_ns(stamp: object) -> int | None:
    """A number or ISO 8601 text as UTC ns; None when it is neither."""
    if isinstance(stamp, bool):
        return None
    if isinstance(stamp, int):
        return stamp * _unit(stamp)
    if isinstance(stamp, float):
        # A double holds microseconds of this century exactly, not nanoseconds.
        return round(stamp * 1e6) * 1000 * _unit(stamp) // NS if abs(stamp) < 1e30 else None
    if isinstance(stamp, str) and len(stamp) <= 40:
        try:
            moment = datetime.fromisoformat(stamp)
            return None if moment.tzinfo is None else (moment - _1970) // _US * 1000
        except (ValueError, OverflowError):
            return None
    return None


def _unit(stamp: float) -> int:
    """Nanoseconds in the unit of `stamp`: s, ms, µs or ns, each 1 000 times further away."""
    size = abs(stamp)
    return NS if size < 1e11 else 1_000_000 if size < 1e14 else 1000 if size < 1e17 else 1
