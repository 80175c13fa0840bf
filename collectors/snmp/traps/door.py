"""Who may send traps, how many, and which were told already. Pure: time is a parameter.

The door is cheap and comes first: a flood from a stranger costs one look into a dictionary, a
flood from a known device its own allowance. Everything kept is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address

from collectors.snmp.codec import VarBind
from collectors.snmp.oids import Oid
from collectors.snmp.usm import User

SAME_WITHIN_S = 5.0
"""The same trap again so soon is the same event: sent twice, or over two ways."""
MOST_RECENT = 200
"""Traps remembered per device."""
MOST_SOURCES = 10_000
"""Allowances kept, the least recent is forgotten."""
BURST = 10.0
"""A source may send so many seconds' worth at once: a switch that loses power has many ports."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A device of the inventory that may send, or a network's address that is no device."""

    device: str
    known: bool = True
    """In the inventory, so that it can be polled."""
    communities: frozenset[bytes] = frozenset()
    users: Mapping[str, User] = field(default_factory=dict)


@dataclass(slots=True)
class Allowance:
    """A token bucket."""

    left: float
    at_s: float

    def take(self, now_s: float, per_s: float, most: float) -> bool:
        """One more? False: too many."""
        self.left = min(most, self.left + max(0.0, now_s - self.at_s) * per_s)
        self.at_s = now_s
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


class Door:
    """The allow-list and its allowances."""

    def __init__(
        self,
        networks: Sequence[IPv4Network | IPv6Network],
        strangers: Sender,
        per_source_per_s: float,
    ) -> None:
        self._networks = networks
        self._strangers = strangers
        """What an address of the networks that is no device must know."""
        self._per_s = per_source_per_s
        self._senders: Mapping[str, Sequence[Sender]] = {}
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()

    def know(self, senders: Mapping[str, Sequence[Sender]]) -> None:
        """The inventory's devices by the address they send from."""
        self._senders = senders

    def senders(self, address: str) -> Sequence[Sender]:
        """Who it may be; nobody: not on the list."""
        found = self._senders.get(address)
        if found is not None:
            return found
        if self._networks and self._in_networks(address):
            strangers = self._strangers
            return (Sender(address, False, strangers.communities, strangers.users),)
        return ()

    def within_allowance(self, address: str, now_s: float) -> bool:
        """False when this source sends too many."""
        allowance = self._allowances.get(address)
        most = self._per_s * BURST
        if allowance is None:
            allowance = self._allowances[address] = Allowance(most, now_s)
            if len(self._allowances) > MOST_SOURCES:
                self._allowances.popitem(last=False)
        else:
            self._allowances.move_to_end(address)
        return allowance.take(now_s, self._per_s, most)

    def _in_networks(self, address: str) -> bool:
        try:
            given = ip_address(address)
        except ValueError:
            return False
        return any(given in network for network in self._networks)


class Recent:
    """What each device said in the last seconds."""

    def __init__(self) -> None:
        self._said: dict[str, OrderedDict[tuple[Oid, str], float]] = {}

    def again(self, device: str, trap: Oid, varbinds: Sequence[VarBind], now_s: float) -> bool:
        """True for what was said within `SAME_WITHIN_S`. Another trap in between (up after down)
        makes the next a new event."""
        said = self._said.setdefault(device, OrderedDict())
        key = trap, repr(varbinds)
        before = said.get(key)
        if before is not None and now_s - before < SAME_WITHIN_S:
            return True
        for old in [k for k, at in said.items() if k[0] != trap or now_s - at >= SAME_WITHIN_S]:
            del said[old]
        said[key] = now_s
        if len(said) > MOST_RECENT:
            said.popitem(last=False)
        return False

    def forget(self, now_s: float) -> None:
        """Drop devices that were quiet."""
        for device, said in list(self._said.items()):
            if all(now_s - at >= SAME_WITHIN_S for at in said.values()):
                del self._said[device]
