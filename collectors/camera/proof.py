"""One way to tell that a camera lives, and what it told lately. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from collectors.camera.verdict import Verdict


@dataclass(slots=True)
class Proof:
    """Answers in a row. One bad answer is chance; `patience` of them are a fault."""

    patience: int = 3
    fresh_ns: int | None = None
    """An answer counts that long; None: until the next."""
    verdict: Verdict | None = field(default=None, init=False)
    """The newest."""
    at_ns: int = field(default=0, init=False)
    answered_ns: int = field(default=0, init=False)
    """When it answered last."""
    silent_ns: int = field(default=0, init=False)
    """When the misses in a row began."""
    misses: int = field(default=0, init=False)
    """Without any answer, in a row."""
    faults: int = field(default=0, init=False)
    """Not good, in a row."""
    _answered: bool = field(default=False, init=False)
    _good: bool = field(default=False, init=False)

    back_ns: int = field(default=0, init=False)
    """When it answered again after a miss."""

    def take(self, verdict: Verdict, now_ns: int, *, excused: bool = False) -> None:
        """`excused`: silence has another reason, and is no fault of its own."""
        self.verdict, self.at_ns = verdict, now_ns
        if verdict.alive:
            self.back_ns = now_ns if self.misses else self.back_ns
            self.answered_ns, self.misses = now_ns, 0
        else:
            self.silent_ns = self.silent_ns if self.misses else now_ns
            self.misses += 1
        if verdict.good:
            self.faults = 0
        elif verdict.alive or not excused:
            self.faults += 1
        self._answered = verdict.alive or (self._answered and self.misses < self.patience)
        self._good = verdict.good or (self._good and self.faults < self.patience)

    def forget(self) -> None:
        """Who told us can't be asked any more."""
        self.verdict, self._answered, self._good = None, False, False
        self.misses = self.faults = 0

    @property
    def silent(self) -> bool:
        """Missed so often that it is no chance."""
        return self.misses >= self.patience

    def alive(self, now_ns: int) -> bool:
        """The camera answered this way lately."""
        return self._answered and self._fresh(now_ns)

    def fault(self, now_ns: int) -> str:
        """What is wrong, when it is so for long enough; else nothing."""
        if self.verdict is None or self._good or not self._fresh(now_ns):
            return ""
        return self.verdict.name if self.faults >= self.patience else ""

    def _fresh(self, now_ns: int) -> bool:
        return self.fresh_ns is None or now_ns - self.at_ns <= self.fresh_ns
