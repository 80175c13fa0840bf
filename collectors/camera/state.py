"""Is a camera alive? Pure: evidence and times in, a verdict out.

    heartbeat ─► good while younger than 3 intervals ┐   both good            ONLINE
    RTSP      ─► good; bad after 3 misses in a row   ┘   one of them bad,
                                                         or a sick picture    DEGRADED
                                                         all that is known bad  OFFLINE

What was never asked or never heard is unknown, and speaks neither for nor against.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from collectors.camera.heartbeat import Heartbeat
from collectors.camera.rtsp import Verdict

NS = 1_000_000_000
MISSES = 3
"""Missing intervals, or failed probes in a row, before anything is called bad."""
FROZEN_BEATS = 3
"""Heartbeats with the same picture before it is called frozen."""


class State(IntEnum):
    """The number that is stored."""

    OFFLINE = 0
    DEGRADED = 1
    ONLINE = 2


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a camera is, and why it is no better."""

    state: State
    why: str = ""


@dataclass(slots=True)
class Camera:
    """The evidence about one camera since the hub started."""

    since_ns: int
    """When we began to listen."""
    interval_s: float = 60.0
    """Expected time between heartbeats."""
    expects_heartbeats: bool | None = None
    """None: from the first one on."""
    fps_expected: float | None = None
    heartbeat_ns: int | None = field(default=None, init=False)
    """Receive time of the newest live heartbeat."""
    said: Heartbeat | None = field(default=None, init=False)
    rtsp: Verdict | None = field(default=None, init=False)
    misses: int = field(default=0, init=False)
    _answered: bool = field(default=False, init=False)
    _same_frame: int = field(default=0, init=False)

    def beat(self, said: Heartbeat, received_ns: int) -> None:
        """A live heartbeat came (neither retained nor kept back)."""
        if self.said is not None and said.frame and said.frame == self.said.frame:
            self._same_frame += 1
        else:
            self._same_frame = 1
        self.said, self.heartbeat_ns = said, received_ns

    def probed(self, verdict: Verdict) -> None:
        """RTSP was asked."""
        self.rtsp = verdict
        self.misses = 0 if verdict.alive else self.misses + 1
        self._answered = verdict.alive or (self._answered and self.misses < MISSES)

    @property
    def frozen(self) -> bool | None:
        """The same picture again and again; None when the camera does not tell."""
        if self.said is None or not self.said.frame:
            return None
        return self._same_frame >= FROZEN_BEATS

    def age_s(self, now_ns: int) -> float | None:
        """Seconds since the newest heartbeat; None before the first."""
        return None if self.heartbeat_ns is None else max(0, now_ns - self.heartbeat_ns) / NS

    def judge(self, now_ns: int) -> Judgement | None:
        """The state; None while nothing is known."""
        faults, good = [], False
        heart = self._heartbeat_good(now_ns)
        if heart is False:
            age = self.age_s(now_ns)
            faults.append("no heartbeat" + ("" if age is None else f" for {age:.0f} s"))
        rtsp = True if self._answered else False if self.misses >= MISSES else None
        if rtsp is False and self.rtsp is not None:
            faults.append(f"RTSP: {self.rtsp.name}")
        good = heart is True or rtsp is True
        if not good:
            return Judgement(State.OFFLINE, ", ".join(faults)) if faults else None
        if heart:
            faults += self._picture_faults()
        return Judgement(State.DEGRADED if faults else State.ONLINE, ", ".join(faults))

    def _heartbeat_good(self, now_ns: int) -> bool | None:
        expected = self.expects_heartbeats
        if expected is False or (expected is None and self.heartbeat_ns is None):
            return None
        patience_ns = int(MISSES * self.interval_s * NS)
        if self.heartbeat_ns is None:
            return False if now_ns - self.since_ns > patience_ns else None
        return now_ns - self.heartbeat_ns <= patience_ns

    def _picture_faults(self) -> list[str]:
        faults = []
        if self.frozen:
            faults.append("the picture is frozen")
        fps = self.said.fps if self.said else None
        if fps is not None and (fps == 0 or (self.fps_expected and fps < self.fps_expected / 2)):
            faults.append(f"{fps:g} pictures a second")
        return faults
