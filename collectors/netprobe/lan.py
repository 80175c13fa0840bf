"""What a sweep of a network means, held against the inventory. Pure; a sweep is a turn.

who answers  ─► at an address that is not listed     unknown device
             ─► with two MACs at one address         duplicate address
             ─► with another MAC than it should      moved MAC
DHCP servers ─► that are not among those that may    rogue DHCP server

Each finding is told when it begins and when it is over; how many there are now is a number for
rules, so that a hub that was restarted knows as much as before. What was found in one of the last
`FORGET` turns is there still, since an answer may be lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from pydantic import BaseModel

from hub.api import Phrase

FORGET = 3
MOVED_TURNS = 60
"""So long a MAC that changed counts as moved: an hour of sweeps each minute."""
MANY = 8
"""One MAC that answers at so many unlisted addresses is told once."""
MOST_TOLD = 20
"""Of each kind in a turn; the rest is counted."""


class Claim(NamedTuple):
    """Somebody said that it has this address."""

    address: str
    mac: str
    age_s: float


class Server(NamedTuple):
    """A DHCP server, by its own name for itself."""

    address: str
    mac: str
    offered: str
    age_s: float


class Heard(NamedTuple):
    """What a sweep brought."""

    hosts: Sequence[Claim]
    servers: Sequence[Server]
    frames: int
    """ARP frames on the network since the sweep before."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Who may be there."""

    listed: Mapping[str, str]
    """Address → device, of the whole inventory."""
    macs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Device → the MACs that it may have, where the inventory says."""
    guests: Sequence[IPv4Network] = ()
    """Where anybody may be: the pools of DHCP."""
    servers: frozenset[str] | None = None
    """DHCP servers that may answer; None: they are not watched."""
    own: str = ""
    """The hub's own address there."""

    def is_stranger(self, address: str) -> bool:
        if address == self.own or address in self.listed:
            return False
        return not any(IPv4Address(address) in network for network in self.guests)

    def who(self, address: str) -> str:
        """Whose address it is, in words."""
        if address == self.own:
            return "the hub itself"
        return self.listed.get(address, "not in the inventory")


class Told(NamedTuple):
    """A line for the timeline."""

    name: str
    said: Phrase

    @property
    def text(self) -> str:
        return str(self.said)


class Stranger(NamedTuple):
    """Somebody new whom a person may take into the inventory."""

    address: str
    mac: str


@dataclass(slots=True)
class Judged:
    """What a turn came to."""

    numbers: dict[str, int] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    strangers: list[Stranger] = field(default_factory=list)


class Findings:
    """What is found of one kind, by what tells one from another."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._seen: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def __contains__(self, key: str) -> bool:
        return key in self._seen

    def turn(self, turn: int, found: Mapping[str, Phrase]) -> list[Told]:
        """What this turn found, with the words for each; what is news of it."""
        begun = [Told(self._name, said) for key, said in found.items() if key not in self._seen]
        self._seen.update(dict.fromkeys(found, turn))
        over = [key for key, seen in self._seen.items() if turn - seen >= FORGET]
        for key in over:
            del self._seen[key]
        ended = [
            Told(f"{self._name}_over", Phrase("{what}: no longer", {"what": key})) for key in over
        ]
        return [*self._some(begun), *self._some(ended)]

    @staticmethod
    def _some(told: list[Told]) -> list[Told]:
        more = len(told) - MOST_TOLD
        if more > 0:
            told = [
                *told[:MOST_TOLD],
                Told(told[0].name, Phrase("and {number} more", {"number": more})),
            ]
        return told


class Memory(BaseModel):
    """What outlasts a restart of the hub, by listed address."""

    macs: dict[str, str] = {}
    """The MAC that it had last."""
    before: dict[str, str] = {}
    """The one before that, as long as the change counts."""


class Lan:
    """One network over time."""

    def __init__(self, known: Memory | None = None) -> None:
        self._turn = 0
        known = known or Memory()
        self._macs = dict(known.macs)
        """Listed address → the MAC that it had last."""
        self._changed = {a: (mac, 0) for a, mac in known.before.items() if a in known.macs}
        """Listed address → the MAC before that, and the turn in which it changed."""
        self._unknown = Findings("unknown_device")
        self._duplicate = Findings("duplicate_address")
        self._moved = Findings("mac_moved")
        self._rogue = Findings("rogue_dhcp")

    def memory(self) -> Memory:
        """For the `Lan` of after a restart, to which what moved lately has moved just now."""
        before = {address: mac for address, (mac, _) in self._changed.items()}
        return Memory(macs=dict(self._macs), before=before)

    def judge(self, heard: Heard, expected: Expected, sweep_s: float) -> Judged:
        """A turn. `sweep_s`: how long ago it began; two MACs that were heard at one address make a
        duplicate only when both were heard since then, or else a device that moved would be one."""
        self._turn += 1
        now = self._turn
        present = _by_address(heard.hosts)
        answered = _by_address(claim for claim in heard.hosts if claim.age_s <= sweep_s)
        unknown = self._strangers(present, expected)
        judged = Judged(
            strangers=[who for key, (_, who) in unknown.items() if key not in self._unknown]
        )
        said = {key: words for key, (words, _) in unknown.items()}
        judged.told += self._unknown.turn(now, said)
        judged.told += self._duplicate.turn(now, _duplicates(answered, expected))
        judged.told += self._moved.turn(now, self._moves(answered, expected))
        judged.told += self._rogue.turn(now, _rogues(heard.servers, expected))
        judged.numbers = {
            "hosts": len(present),
            "unknown": len(self._unknown),
            "duplicates": len(self._duplicate),
            "moved": len(self._moved),
        }
        if expected.servers is not None:
            allowed = {s.address for s in heard.servers} & expected.servers
            judged.numbers |= {"rogue_dhcp": len(self._rogue), "dhcp_servers": len(allowed)}
        return judged

    def _strangers(
        self, present: Mapping[str, Sequence[str]], expected: Expected
    ) -> dict[str, tuple[Phrase, Stranger]]:
        strange = {a: macs[0] for a, macs in present.items() if expected.is_stranger(a)}
        often = Counter(strange.values())
        homes = {mac: address for address, mac in self._macs.items()}
        found: dict[str, tuple[Phrase, Stranger]] = {}
        for address, mac in strange.items():
            key = address
            said = Phrase(
                "{address} answers with {mac} and is not in the inventory",
                {"address": address, "mac": mac},
            )
            if often[mac] >= MANY:
                key = mac
                said = Phrase(
                    "{mac} answers at {number} addresses that are not in the inventory: a "
                    "router with proxy ARP, or somebody who draws the network's traffic to himself",
                    {"mac": mac, "number": often[mac]},
                )
            elif mac in homes:
                home = {"who": expected.who(homes[mac]), "home": homes[mac]}
                said = Phrase(
                    "{address} answers with {mac} and is not in the inventory; "
                    "{who} ({home}) has that MAC",
                    {"address": address, "mac": mac, **home},
                )
            found.setdefault(key, (said, Stranger(address, mac)))
        return found

    def _moves(
        self, answered: Mapping[str, Sequence[str]], expected: Expected
    ) -> dict[str, Phrase]:
        found = {}
        for address, macs in answered.items():
            device = expected.listed.get(address)
            if device is None or len(macs) != 1:
                continue
            (mac,) = macs
            allowed = expected.macs.get(device)
            before = self._macs.get(address, mac)
            self._macs[address] = mac
            if allowed:
                self._changed.pop(address, None)
                if mac not in allowed:
                    found[address] = Phrase(
                        "{device} ({address}) answers with {mac}, not {allowed}",
                        {"device": device, "address": address, "mac": mac}
                        | {"allowed": " / ".join(sorted(allowed))},
                    )
            elif mac != before:
                self._changed[address] = before, self._turn
        for address, (before, since) in list(self._changed.items()):
            if self._turn - since >= MOVED_TURNS or address not in expected.listed:
                del self._changed[address]
                continue
            moved = {"device": expected.listed[address], "mac": self._macs[address]}
            found[address] = Phrase(
                "{device} ({address}) answers with {mac}; before it was {before}",
                {**moved, "address": address, "before": before},
            )
        return found


def _by_address(claims: Iterable[Claim]) -> dict[str, list[str]]:
    """The MACs that claim each address, the newest claim first."""
    found: dict[str, list[str]] = {}
    for claim in sorted(claims, key=lambda claim: claim.age_s):
        found.setdefault(claim.address, []).append(claim.mac)
    return found


def _duplicates(answered: Mapping[str, Sequence[str]], expected: Expected) -> dict[str, Phrase]:
    found = {}
    for address, macs in answered.items():
        allowed = expected.macs.get(expected.listed.get(address, ""), frozenset())
        claimants = sorted(macs) if len(macs) > 1 and not set(macs) <= allowed else []
        if address == expected.own:
            claimants = ["this machine", *sorted(macs)]
        if claimants:
            found[address] = Phrase(
                "{address} ({who}) is claimed by {claimants}",
                {"address": address, "who": expected.who(address)}
                | {"claimants": " and ".join(claimants)},
            )
    return found


def _rogues(servers: Iterable[Server], expected: Expected) -> dict[str, Phrase]:
    if expected.servers is None:
        return {}
    return {
        f"{server.address} ({server.mac})": _rogue(server)
        for server in servers
        if server.address not in expected.servers
    }


def _rogue(server: Server) -> Phrase:
    who = {"address": server.address, "mac": server.mac}
    if server.offered == "0.0.0.0":
        return Phrase(
            "DHCP server {address} ({mac}) hands out addresses and is not among dhcp_servers", who
        )
    return Phrase(
        "DHCP server {address} ({mac}) hands out addresses such as {offered} "
        "and is not among dhcp_servers",
        {**who, "offered": server.offered},
    )
