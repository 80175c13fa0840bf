"""What cameras say in their event streams: the body of a part in, what happened out. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

HIKVISION = "/ISAPI/Event/notification/alertStream"
DAHUA = "/cgi-bin/eventManager.cgi?action=attach&codes=[All]&heartbeat=5"


class Happening(NamedTuple):
    """Something began or ended."""

    name: str
    """The maker's word, in small letters: videoloss, shelteralarm, videoblind …"""
    active: bool
    once: bool = False
    """It has no end (Dahua's Pulse)."""


Read = Callable[[bytes], Happening | None]

_XML = re.compile(rb"<(eventType|eventState)>\s*([^<]{1,64}?)\s*</")
_PAIR = re.compile(rb"\b(Code|action)=([A-Za-z0-9_]{1,64})")


def hikvision(body: bytes) -> Happening | None:
    """ISAPI's `EventNotificationAlert`; None: a keep-alive, which comes as an idle videoloss."""
    said = {key: value.decode("latin-1").lower() for key, value in _XML.findall(body)}
    kind, active = _word(said.get(b"eventType", "")), said.get(b"eventState") == "active"
    if not kind or (kind == "videoloss" and not active):
        return None
    return Happening(kind, active)


def dahua(body: bytes) -> Happening | None:
    """`Code=VideoBlind;action=Start;index=0`; None: a keep-alive ("Heartbeat")."""
    said = {key: value.decode("latin-1").lower() for key, value in _PAIR.findall(body)}
    kind, action = _word(said.get(b"Code", "")), said.get(b"action", "")
    if not kind or action not in ("start", "stop", "pulse"):
        return None
    return Happening(kind, action != "stop", action == "pulse")


MAKERS: dict[str, tuple[str, Read]] = {"hikvision": (HIKVISION, hikvision), "dahua": (DAHUA, dahua)}
"""By maker: where the stream is, and how it is read."""


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", text.lower())[:40].strip("_")


class Active:
    """What goes on now: cameras repeat it every second, and only its beginning is news."""

    MOST = 64

    def __init__(self) -> None:
        self._names: set[str] = set()

    def news(self, said: Happening) -> bool:
        """True when that has just begun."""
        if not said.active:
            self._names.discard(said.name)
            return False
        if said.name in self._names or len(self._names) >= self.MOST:
            return False
        if not said.once:
            self._names.add(said.name)
        return True
