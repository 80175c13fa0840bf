"""What was heard on a network lately, within bounds whatever comes. Pure, time is given.

Under a storm of invented addresses the tables stay as large as what was asked for: claims on other
addresses are not kept, and an address keeps its `MOST_MACS` newest claimants.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from collectors.netprobe.arp import Claim
from collectors.netprobe.dhcp import Offer

MOST_MACS = 4
"""Claimants of one address; two are one too many already."""
MOST_SERVERS = 64


class Host(NamedTuple):
    """Who claimed an address, and how long ago."""

    address: int
    mac: bytes
    age_s: float


class Server(NamedTuple):
    """A DHCP server, what it offered last, and how long ago."""

    server: int
    mac: bytes
    address: int
    age_s: float


class Hearing:
    """One interface."""

    def __init__(self) -> None:
        self._asked: set[int] = set()
        self._claims: dict[int, dict[bytes, float]] = {}
        self._servers: dict[tuple[int, bytes], tuple[int, float]] = {}

    def expect(self, addresses: Iterable[int]) -> None:
        """Claims on these are of interest from now on."""
        self._asked.update(addresses)

    def claim(self, claim: Claim, now: float) -> None:
        if claim.address not in self._asked:
            return
        macs = self._claims.setdefault(claim.address, {})
        macs[claim.mac] = now
        if len(macs) > MOST_MACS:
            del macs[min(macs, key=macs.__getitem__)]

    def offer(self, offer: Offer, now: float) -> None:
        self._servers[offer.server, offer.mac] = offer.address, now
        if len(self._servers) > MOST_SERVERS:
            del self._servers[min(self._servers, key=lambda key: self._servers[key][1])]

    def claimed(self, address: int, since: float) -> bool:
        """Did anybody claim it since then?"""
        return any(heard >= since for heard in self._claims.get(address, {}).values())

    def hosts(self, addresses: Iterable[int], now: float, since: float) -> list[Host]:
        """Who claimed these addresses since then."""
        return [
            Host(address, mac, now - heard)
            for address in addresses
            for mac, heard in self._claims.get(address, {}).items()
            if heard >= since
        ]

    def servers(self, now: float, since: float) -> list[Server]:
        """The DHCP servers that spoke since then."""
        return [
            Server(server, mac, address, now - heard)
            for (server, mac), (address, heard) in self._servers.items()
            if heard >= since
        ]
