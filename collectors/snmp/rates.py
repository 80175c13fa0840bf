"""Counters to rates, pure: when a difference means something, and when it must be dropped.

    reboot, counter reset, discontinuity ─► drop the interval and start again from here
    64-bit value decreased               ─► a reset, never a wrap (that takes centuries)
    32-bit value decreased               ─► a wrap if the wrapped rate is plausible, else a reset
    sysUpTime wrapped (497.1 days)       ─► no reboot
    first look                           ─► no rate: a counter's first value is arbitrary

Time between two looks is the device's own sysUpTime, read in the same PDU as the counters, so
neither our delay nor the network's makes a rate; where an agent can't give all counters in one PDU,
each has the sysUpTime of its own. Source: RFC 2578 §7.1.6, RFC 2863 §3.1.6.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import msgspec

TICKS = 100
"""sysUpTime counts hundredths of a second …"""
UPTIME_MODULUS = 1 << 32
"""… modulo 2^32."""
SHORTEST_S = 1.0
"""Two looks closer than this give no rate: agents cache counters, so it would be noise."""
HEADROOM = 1.1
"""How far over line rate a rate may be: clocks differ, agents cache."""
_WRAP_ERROR = 0.1
_CLOCK_ERROR = 0.02
_CLOCK_SLACK_S = 5.0
_BACKWARD_S = 5.0


class Drop(Enum):
    """Why an interval gave no rate."""

    FIRST = "first look"
    TOO_SOON = "too soon after the last look"
    REBOOT = "uptime restarted"
    DISCONTINUITY = "ifCounterDiscontinuityTime changed"
    DECREASED = "counter decreased"
    IMPLAUSIBLE = "rate over 1.1 x speed"


class Look(NamedTuple):
    """Counters of one port, read together."""

    ticks: int
    """sysUpTime of the same PDU; of several, of the last one."""
    at_s: float
    """Our monotonic clock at the answer: tells a wrap of sysUpTime from a reboot."""
    values: tuple[int | None, ...]
    """None where the agent has no such counter."""
    bits: int = 64
    discontinuity: int | None = None
    lags: tuple[int, ...] = ()
    """Of an agent that can't give them in one PDU: ticks by which each value is older."""

    def packed(self) -> bytes:
        """To be kept until the next look: as objects it takes four times as much, and there are two
        for each port of a fleet."""
        return _pack(self)

    @classmethod
    def unpacked(cls, kept: bytes) -> Look:
        """What `packed` gave."""
        return _unpack(kept)


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Look).decode


class Rates(NamedTuple):
    """Per second, in the order of the look's values; all None when the interval was dropped."""

    values: tuple[float | None, ...]
    drop: Drop | None = None
    ambiguous: bool = False
    """A 32-bit counter could have wrapped more than once in this time at this speed."""


class Restart(Enum):
    """The answer of `uptime_passed` when there is no time to divide by."""

    REBOOT = 1
    NO_TIME = 2


def uptime_passed(before: int, now: int, elapsed_s: float) -> float | Restart:
    """Seconds of device uptime between two sysUpTime values that we read `elapsed_s` apart.

    A fall is a wrap when the wrapped advance agrees with our own clock, else a reboot. A rise
    is a reboot as well when it is too small and the device has been up for less than the gap.
    """
    advance = (now - before) % UPTIME_MODULUS / TICKS
    if now < before:
        if abs(advance - elapsed_s) <= elapsed_s * _WRAP_ERROR + _CLOCK_SLACK_S:
            return advance
        # Two answers that overtook each other, not a reboot.
        backward = (before - now) / TICKS
        if backward < _BACKWARD_S < now / TICKS and elapsed_s < _BACKWARD_S:
            return Restart.NO_TIME
        return Restart.REBOOT
    late = advance < elapsed_s * (1 - _CLOCK_ERROR) - _CLOCK_SLACK_S
    if late and now != before and now / TICKS <= elapsed_s + _CLOCK_SLACK_S:
        return Restart.REBOOT
    return advance if advance > 0 else Restart.NO_TIME


def rates(
    before: Look | None,
    now: Look,
    fastest: float | None = None,
    passed: float | Restart | None = None,
) -> Rates:
    """Rates between two looks at the same port, or the reason for none.

    `fastest` is the counter's greatest possible rate per second at line speed (octets: bit/s
    divided by 8), None when the speed is not known: then nothing is clamped, and a 32-bit
    decrease can't be told from a reset and counts as one. `passed` is what `uptime_passed` says
    of the two, for who knows it already.
    """
    if before is None or before.bits != now.bits:
        return _none(now, Drop.FIRST)
    if passed is None:
        passed = uptime_passed(before.ticks, now.ticks, now.at_s - before.at_s)
    if passed is Restart.REBOOT:
        return _none(now, Drop.REBOOT)
    if isinstance(passed, Restart) or passed < SHORTEST_S:
        return _none(now, Drop.TOO_SOON)
    if before.discontinuity != now.discontinuity:
        return _none(now, Drop.DISCONTINUITY)
    found: list[float | None] = []
    implausible = False
    most = None if fastest is None else fastest * HEADROOM * passed
    own = passed
    apart = bool(before.lags or now.lags)
    for at, (old, new) in enumerate(zip(before.values, now.values, strict=True)):
        if old is None or new is None:
            found.append(None)
            continue
        if apart:
            own = passed + (_lag(before, at) - _lag(now, at)) / TICKS
            if own < SHORTEST_S:
                return _none(now, Drop.TOO_SOON)
            most = None if fastest is None else fastest * HEADROOM * own
        delta = new - old
        if delta < 0:
            delta += 1 << 32
            if now.bits != 32 or most is None or not 0 <= delta <= most:
                return _none(now, Drop.DECREASED)
        elif most is not None and delta > most:
            implausible = True
        found.append(delta / own)
    if implausible:
        return _none(now, Drop.IMPLAUSIBLE)
    wraps = now.bits == 32 and fastest is not None and fastest * passed > 1 << 32
    return Rates(tuple(found), None, wraps)


def _lag(look: Look, at: int) -> int:
    """Ticks by which a value is older than its look."""
    return look.lags[at] if look.lags else 0


def _none(now: Look, drop: Drop) -> Rates:
    return Rates((None,) * len(now.values), drop)


def unwrapped_uptime_s(ticks: int, engine_time_s: int | None) -> float:
    """Uptime in seconds. snmpEngineTime doesn't wrap at 497 days; it is believed when both agree
    modulo the wrap, since some agents count it from another start."""
    uptime_s = ticks / TICKS
    if engine_time_s is not None:
        wraps = round((engine_time_s - uptime_s) * TICKS / UPTIME_MODULUS)
        whole = uptime_s + wraps * UPTIME_MODULUS / TICKS
        if wraps > 0 and abs(whole - engine_time_s) <= 60:
            return whole
    return uptime_s
