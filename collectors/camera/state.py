"""Is a camera alive? Pure: evidence and times in, a verdict out.

    heartbeat ─► good while younger than 3 intervals ┐  all that is known good    ONLINE
    RTSP      ─► bad after 3 misses in a row         │  alive, and something bad,
    stream, play, ONVIF, snapshot, events, Frigate   │  or a sick picture         DEGRADED
              ─► bad after 2 bad answers in a row    ┘  nothing alive             OFFLINE

What was never asked or never heard is unknown, and speaks neither for nor against.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from collectors.camera.heartbeat import Heartbeat
from collectors.camera.proof import Proof
from collectors.camera.verdict import Verdict
from hub.api import Phrase

NS = 1_000_000_000
MISSES = 3
"""Missing intervals, or failed probes in a row, before anything is called bad."""
FROZEN_BEATS = 3
"""Heartbeats with the same picture before it is called frozen."""
FRIGATE_S = 200.0
"""Frigate tells once a minute; what it told longer ago says nothing."""


class State(IntEnum):
    """The number that is stored."""

    OFFLINE = 0
    DEGRADED = 1
    ONLINE = 2
    MAINTENANCE = 3
    """Somebody works on it: nobody asks it, and nothing it does is a fault."""


PROOFS = {
    "rtsp": ("RTSP", MISSES, None),
    "tcp": ("TCP", MISSES, None),
    "stream": ("stream", 2, None),
    "play": ("pictures", 2, None),
    "onvif": ("ONVIF", 2, None),
    "snapshot": ("snapshot", 2, None),
    "events": ("events", MISSES, None),
    "frigate": ("Frigate", 2, FRIGATE_S),
}
"""By name: what people call it, after how many bad answers it is a fault, how long one counts.

Where packets get lost (RTSP, TCP, streams) it takes three; the others are asked too seldom.
"""

DOORS = ("rtsp", "tcp")
"""Asked most often; where these don't answer, nothing does."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a camera is, and why it is no better."""

    state: State
    faults: tuple[Phrase, ...] = ()

    @property
    def why(self) -> str:
        return ", ".join(map(str, self.faults))


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
    maintenance: bool = False
    heartbeat_ns: int | None = field(default=None, init=False)
    """Receive time of the newest live heartbeat."""
    said: Heartbeat | None = field(default=None, init=False)
    still: bool | None = field(default=None, init=False)
    """The newest two snapshots are the same picture; None: nobody looked."""
    proofs: dict[str, Proof] = field(default_factory=dict, init=False)
    _same_frame: int = field(default=0, init=False)
    _shown: bytes = field(default=b"", init=False)

    def beat(self, said: Heartbeat, received_ns: int) -> None:
        """A live heartbeat came (neither retained nor kept back)."""
        if self._heartbeat_good(received_ns) is False:
            for name, proof in self.proofs.items():
                # It, too, was asked while the camera was out of reach, and won't be again for long.
                if name not in DOORS and proof.verdict is not None and not proof.verdict.alive:
                    proof.forget()
        if self.said is not None and said.frame and said.frame == self.said.frame:
            self._same_frame += 1
        else:
            self._same_frame = 1
        self.said, self.heartbeat_ns = said, received_ns

    def proved(self, name: str, verdict: Verdict, now_ns: int, began_ns: int | None = None) -> None:
        """A question of `PROOFS` ended (it began at `began_ns`), or somebody else told."""
        proof = self.proofs.get(name)
        if proof is None:
            _, patience, fresh_s = PROOFS[name]
            fresh_ns = None if fresh_s is None else int(fresh_s * NS)
            proof = self.proofs[name] = Proof(patience, fresh_ns)
        proof.take(verdict, now_ns, excused=name not in DOORS and self._shut(began_ns))

    def _shut(self, began_ns: int | None) -> bool:
        """Could it not be reached at all, now or when the question began? Then what got no answer
        is no fault of its own: behind a dead router all proofs fail, and those that are asked
        seldom would call the camera degraded long after the router is back."""
        doors = [self.proofs[name] for name in DOORS if name in self.proofs]
        return any(
            door.misses or (began_ns is not None and began_ns < door.back_ns) for door in doors
        )

    def showed(self, fingerprint: bytes) -> bool:
        """A snapshot came, of which that is left; is it the one before again?"""
        self.still, self._shown = fingerprint == self._shown, fingerprint
        return self.still

    def forget(self, name: str) -> None:
        """Who told us of it is gone."""
        if name in self.proofs:
            self.proofs[name].forget()

    @property
    def frozen(self) -> bool | None:
        """The same picture again and again; None when nobody can tell."""
        if self.said is None or not self.said.frame:
            return self.still
        return self._same_frame >= FROZEN_BEATS or bool(self.still)

    def age_s(self, now_ns: int) -> float | None:
        """Seconds since the newest heartbeat; None before the first."""
        return None if self.heartbeat_ns is None else max(0, now_ns - self.heartbeat_ns) / NS

    def judge(self, now_ns: int) -> Judgement | None:
        """The state; None while nothing is known."""
        if self.maintenance:
            return Judgement(State.MAINTENANCE)
        faults: list[Phrase] = []
        heart = self._heartbeat_good(now_ns)
        if heart is False:
            age = self.age_s(now_ns)
            faults.append(
                Phrase("no heartbeat")
                if age is None
                else Phrase("no heartbeat for {seconds} s", {"seconds": round(age)})
            )
        for name, (label, _, _) in PROOFS.items():
            if name in self.proofs and (fault := self.proofs[name].fault(now_ns)):
                faults.append(Phrase("{what}: {fault}", {"what": label, "fault": fault}))
        if heart is not True and not self._answers(now_ns):
            return Judgement(State.OFFLINE, tuple(faults)) if faults else None
        if heart:
            faults += self._picture_faults()
        return Judgement(State.DEGRADED if faults else State.ONLINE, tuple(faults))

    def _answers(self, now_ns: int) -> bool:
        """Does any proof vouch for it? Not with an answer from before another one fell silent:
        what is asked every ten minutes would keep a dead camera alive for as long."""
        doors = [self.proofs[name] for name in DOORS if name in self.proofs]
        silent_ns = max((door.silent_ns for door in doors if door.silent), default=0)
        return any(
            proof.alive(now_ns) and proof.answered_ns >= silent_ns for proof in self.proofs.values()
        )

    def _heartbeat_good(self, now_ns: int) -> bool | None:
        expected = self.expects_heartbeats
        if expected is False or (expected is None and self.heartbeat_ns is None):
            return None
        patience_ns = int(MISSES * self.interval_s * NS)
        if self.heartbeat_ns is None:
            return False if now_ns - self.since_ns > patience_ns else None
        return now_ns - self.heartbeat_ns <= patience_ns

    def _picture_faults(self) -> list[Phrase]:
        """What the heartbeats say of the picture."""
        faults = []
        if self._same_frame >= FROZEN_BEATS and self.said and self.said.frame:
            faults.append(Phrase("the picture is frozen"))
        fps = self.said.fps if self.said else None
        if fps is not None and (fps == 0 or (self.fps_expected and fps < self.fps_expected / 2)):
            faults.append(Phrase("{fps} pictures a second", {"fps": fps}))
        return faults
