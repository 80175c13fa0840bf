"""A datagram in; what it means, and what to answer, out. No socket, time is a parameter.

datagram ─► door (who, how many) ─► open (v1, v2c, v3) ─► recent (told already?)
         ─► event, hint to poll, count       every refusal is counted with its reason
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from collectors.snmp.codec import Malformed
from collectors.snmp.oids import dotted
from collectors.snmp.traps import names, notification
from collectors.snmp.traps.door import Door, Recent, Sender
from collectors.snmp.traps.notification import Notification
from collectors.snmp.traps.secure import Refusal, Secure
from hub.api import Event, Hint, Item, Phrase, Reading, Series
from hub.api import Value as Field

QUIET_S = 1200.0
"""So long after the last trap a count of none is still told, so that a sum can fall again."""
MOST_COUNTED = 64
"""Kinds of trap counted per device; the others are counted together."""
MOST_ACTIVE = 50_000
"""Counts kept altogether."""
OTHER = "other"
NS = 1_000_000_000


class Told(NamedTuple):
    """One notification, new and believed."""

    device: str
    known: bool
    """The device is in the inventory."""
    notification: Notification


class Receiver:
    """Everything between the socket and `emit`."""

    def __init__(self, door: Door, secure: Secure, refuse: Callable[[str, str, str], None]) -> None:
        self._door = door
        self._secure = secure
        self._refuse = refuse
        """Told (reason, detail, device) of each datagram that is refused."""
        self._recent = Recent()
        self._counts: dict[str, dict[str, int]] = {}
        """Device → trap → how many since the last `counted`."""
        self._active: dict[tuple[str, str], float] = {}
        """(device, trap) → when it was last heard."""
        self.repeated = 0
        """Notifications that were told already."""

    def take(self, data: bytes, address: str, now_s: float) -> tuple[Told | None, bytes]:
        """What it says, if it is new and believed, and what to answer, if anything."""
        senders = self._door.senders(address)
        if not senders:
            self._refuse("trap_from_stranger", address, "")
            return None, b""
        name = senders[0].device
        if not self._door.within_allowance(address, now_s):
            self._refuse("trap_flood", address, name)
            return None, b""
        try:
            sender, found, answer = self._open(data, senders, now_s)
        except Malformed as error:
            self._refuse("trap_malformed", f"{address}: {error}", name)
            return None, b""
        except Refusal as refusal:
            if str(refusal) not in ("engine_asked", "clock_asked"):
                self._refuse(f"trap_{refusal}", address, name)
            return None, refusal.report
        if self._recent.again(sender.device, found.trap, found.varbinds, now_s):
            self.repeated += 1
            return None, answer
        self._count(sender.device, names.kind(found.trap).name, now_s)
        return Told(sender.device, sender.known, found), answer

    def _open(
        self, data: bytes, senders: Sequence[Sender], now_s: float
    ) -> tuple[Sender, Notification, bytes]:
        """Raises `Malformed` and `Refusal`."""
        if _version(data) == 3:
            users = {name: user for sender in senders for name, user in sender.users.items()}
            heard = self._secure.open(data, users, now_s)
            able = [sender for sender in senders if heard.user in sender.users]
            found, answer = heard.notification, heard.answer
        else:
            plain = notification.read(data)
            able = [sender for sender in senders if plain.community in sender.communities]
            if not able:
                raise Refusal("wrong_community")
            found, answer = plain.notification, plain.answer
        if found.agent and (len(able) > 1 or not able[0].known):
            # Somebody passes on what happened elsewhere, or several share an address.
            there = [sender for sender in self._door.senders(found.agent) if sender.known]
            able = there if len(there) == 1 else able
        if len(able) > 1:
            raise Refusal("from_shared_address")
        return able[0], found, answer

    def _count(self, device: str, trap: str, now_s: float) -> None:
        if len(self._active) >= MOST_ACTIVE:
            return
        counts = self._counts.setdefault(device, {})
        if trap not in counts and len(counts) >= MOST_COUNTED:
            trap = OTHER
        counts[trap] = counts.get(trap, 0) + 1
        self._active[device, trap] = now_s

    def counted(self, now_s: float) -> list[Reading]:
        """How many of each were heard since the last call; none for those that fell quiet."""
        self._recent.forget(now_s)
        time_ns = int(now_s * NS)
        found = []
        for (device, trap), at_s in list(self._active.items()):
            number = self._counts.get(device, {}).get(trap, 0)
            found.append(Reading(Series.of("trap", device, trap=trap), time_ns, {"count": number}))
            if now_s - at_s > QUIET_S:
                del self._active[device, trap]
        self._counts.clear()
        return found


def items(told: Told, time_ns: int, port_name: str) -> list[Item]:
    """What to hand to the hub: an event for the timeline, a hint to poll."""
    found = told.notification
    kind = names.kind(found.trap)
    words = names.said(found.varbinds)
    if port_name:
        words = f"{port_name}: {words}"
    fields: dict[str, Field] = {"oid": dotted(found.trap)}
    index = names.if_index(found.varbinds)
    if index is not None:
        fields["if_index"] = index
    if port_name:
        fields["ifname"] = port_name
    if found.uptime is not None:
        fields["uptime_s"] = found.uptime / 100
    if found.agent:
        fields["agent"] = found.agent
    # Of a port that goes or comes people need to know which; other objects' names are the MIB's.
    port = port_name or (f"ifIndex {index}" if index is not None else "")
    knows = found.trap in (names.LINK_DOWN, names.LINK_UP) and port
    said = (Phrase("port {port}", {"port": port}),) if knows else ()
    event = Event(told.device, kind.name, time_ns, words or kind.name, fields, said)
    return [event, Hint(told.device, f"trap {kind.name}", kind.tier)] if told.known else [event]


def _version(data: bytes) -> int:
    """The version that a message says it has; -1 for none. Only to choose who reads it."""
    at = data.find(b"\x02\x01", 1, 8)
    return data[at + 2] if 0 <= at < len(data) - 2 else -1
