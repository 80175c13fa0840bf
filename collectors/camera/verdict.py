"""How one question to a camera ended."""

from __future__ import annotations

from typing import NamedTuple

from collectors.camera.wire import Ended, Unfit


class Verdict(NamedTuple):
    """`good` needs `alive`: a camera that shows black pictures is alive and not good."""

    alive: bool
    """It answered; so it is not OFFLINE."""
    name: str
    """ok, locked (401: alive, wants a password), or what is wrong."""
    ms: float | None = None
    """From the first packet to the answer."""
    sick: bool = False
    """Alive, and yet not as it should be."""

    @property
    def good(self) -> bool:
        return self.alive and not self.sick


def ended(end: Ended) -> Verdict:
    """Of a question without a usable answer."""
    answered = isinstance(end, Unfit)
    return Verdict(answered, str(end), sick=answered)
