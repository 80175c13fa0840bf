"""Which of many addresses have an agent, and what it says of itself: for `toba-hub discover`.

    addresses ─► so many workers ─ one credential after the other ─► (address, what answered)
                        └─ one pace for the packets of all

Nothing is written, nothing walked: a device gets three small requests once it has answered, an
address where nobody is as many as there are credentials, times `tries`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from pydantic import SecretStr

from collectors.snmp import oids as o
from collectors.snmp.client import Denied, Endpoint, NoAnswer, Refused, Reply, Session, resolve
from collectors.snmp.codec import Absent, Value
from collectors.snmp.config import Credential, SnmpConfig
from collectors.snmp.guess import kind_of
from collectors.snmp.oids import Oid, oid
from collectors.snmp.parse import number, text
from collectors.snmp.sessions import open_session
from collectors.snmp.walk import allowed
from hub.api import Found, Search, TryAgain

PORT = 161
PUBLIC = "public"
SYS_SERVICES = oid("1.3.6.1.2.1.1.7.0")
OWN_ADDRESSES = oid("1.3.6.1.2.1.4.20.1.1")
"""ipAdEntAddr: old, but what every agent still has."""
MOST_ADDRESSES = 24
"""Of one device, as many as fit one answer."""
_WHO = (o.SYS_NAME, o.SYS_DESCR, o.SYS_OBJECT_ID, o.SYS_LOCATION, SYS_SERVICES)

Answer = tuple[str, Found | None]


@dataclass(frozen=True, slots=True)
class Key:
    """One way to ask, and what the inventory must say for a device that takes it."""

    credential: Credential
    section: Mapping[str, Any]


def keys(config: SnmpConfig, communities: Iterable[str]) -> list[Key]:
    """What is tried at each address, in this order: the given communities, the settings'
    credentials, and "public" where there is neither."""
    found = [
        Key(
            Credential(version="2c", community=SecretStr(word)),
            {} if word == PUBLIC else {"community": word},
        )
        for word in communities
    ]
    found += [
        Key(credential, {"credential": name}) for name, credential in config.credentials.items()
    ]
    return found or [Key(Credential(version="2c", community=SecretStr(PUBLIC)), {})]


class Pace:
    """Lets one packet through every so often, however many want to send."""

    def __init__(self, per_second: float) -> None:
        self._step = 1 / per_second
        self._next = 0.0

    async def __call__(self) -> None:
        now = asyncio.get_running_loop().time()
        self._next = max(now, self._next) + self._step
        await asyncio.sleep(self._next - self._step - now)


async def search(config: SnmpConfig, wanted: Search) -> AsyncIterator[Answer]:
    """Every address once, as its answer is known. Raises `TryAgain` without a socket."""
    endpoints: dict[int, Endpoint] = {}
    waiting = iter(wanted.addresses)
    answers: asyncio.Queue[Answer | Exception] = asyncio.Queue(maxsize=wanted.at_once)
    ways, pace = keys(config, wanted.communities), Pace(wanted.per_second)

    async def work() -> None:
        try:
            for address in waiting:
                await answers.put((address, await _ask(address, wanted, ways, pace, endpoints)))
        except Exception as error:  # raised again where somebody waits for answers
            await answers.put(error)

    workers = [asyncio.create_task(work()) for _ in range(wanted.at_once)]
    try:
        for _ in wanted.addresses:
            answer = await answers.get()
            if isinstance(answer, Exception):
                raise answer
            yield answer
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        for endpoint in endpoints.values():
            endpoint.close()


async def _ask(
    address: str, wanted: Search, ways: Iterable[Key], pace: Pace, endpoints: dict[int, Endpoint]
) -> Found | None:
    """What stands at one address."""
    port = wanted.port or PORT
    family, place = await resolve(address, port)
    if family not in endpoints:
        try:
            endpoints[family] = await Endpoint.open(family)
        except OSError as error:
            raise TryAgain(f"no UDP socket for SNMP: {error}") from error
    refusal = ""
    for way in ways:
        session = open_session(endpoints[family], place, way.credential, wanted.timeout_s, 0)
        try:
            reply = await _insist(session, wanted.tries, pace)
        except Denied:
            refusal = f"the agent denies {session.asker} its objects: security level or view?"
        except Refused as error:
            refusal = str(error)
        except NoAnswer:
            continue
        else:
            section = dict(way.section) | ({"port": port} if port != PORT else {})
            return await _described(address, reply, section, session, pace)
    return Found(address, refusal=refusal) if refusal else None


async def _insist(session: Session, tries: int, pace: Pace) -> Reply:
    """Ask who it is. Raises `NoAnswer` and `Refused`."""
    for left in reversed(range(tries)):
        await pace()
        try:
            reply = await session.get(_WHO)
            await allowed(session, reply)
            return reply
        except NoAnswer:
            if not left:
                raise
    raise NoAnswer("was not asked")


async def _described(
    address: str, reply: Reply, section: dict[str, Any], session: Session, pace: Pace
) -> Found:
    said: dict[Oid, Value] = {
        name: value for name, value in reply.varbinds if not isinstance(value, Absent)
    }
    descr, object_id = text(said.get(o.SYS_DESCR)), text(said.get(o.SYS_OBJECT_ID))
    return Found(
        address,
        name=text(said.get(o.SYS_NAME)),
        kind=kind_of(object_id, descr, number(said.get(SYS_SERVICES)) or 0),
        model=" ".join(descr.split()),
        place=text(said.get(o.SYS_LOCATION)),
        section=section,
        addresses=await _own_addresses(session, pace),
    )


async def _own_addresses(session: Session, pace: Pace) -> frozenset[str]:
    """None where the agent doesn't say: then each address counts as a device."""
    await pace()
    with suppress(NoAnswer, Refused):
        reply = await session.bulk(OWN_ADDRESSES, MOST_ADDRESSES)
        return frozenset(
            str(value)
            for name, value in reply.varbinds
            if name.startswith(OWN_ADDRESSES) and isinstance(value, IPv4Address)
        )
    return frozenset()
