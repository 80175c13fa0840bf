"""The socket for traps, and what the inventory says of who may send them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, cast

from collectors.snmp.client import RECEIVE_BUFFER, resolve
from collectors.snmp.config import Credential, SnmpConfig, SnmpSection, Traps
from collectors.snmp.traps.door import Door, Sender
from collectors.snmp.traps.receiver import NS, Receiver, Told, items
from collectors.snmp.traps.secure import Secure, engine_id
from hub.api import Emit, Host, NeverWorks, Target, TryAgain

COUNT_EVERY_S = 10.0
"""How often the number of traps becomes readings."""
LOOK_UP_EVERY_S = 300.0
"""Names in the inventory may move to another address."""
AT_ONCE = 100
"""Devices looked at before others have their turn."""
MACHINE_ID = Path("/etc/machine-id")

Tell = Callable[[Told], str]
"""Tells the polls of a trap; gives the name of the port that it is about, or nothing."""


class Listener(asyncio.DatagramProtocol):
    """One UDP socket; nothing that comes in stops it."""

    def __init__(self, receiver: Receiver, host: Host, emit: Emit, tell: Tell) -> None:
        self._receiver = receiver
        self._host = host
        self._emit = emit
        self._tell = tell
        self._transport: asyncio.DatagramTransport | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._host.count("traps_received")
        now_ns = self._host.now_ns()
        try:
            told, answer = self._receiver.take(data, plain_address(addr[0]), now_ns / NS)
            if told is not None:
                self._emit(*items(told, now_ns, self._tell(told)))
        except Exception as error:  # whatever a stranger sends, the next one must be heard
            self._host.refuse("trap_crashed", repr(error)[:200])
            return
        if answer and self._transport is not None:
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        self._host.count("traps_socket_error")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)


async def listen(traps: Traps, config: SnmpConfig, host: Host, emit: Emit, tell: Tell) -> None:
    """Until cancelled. Raises `NeverWorks` and `TryAgain` when the port can't be had."""
    communities, users = _who(config.credentials[name] for name in traps.credentials)
    strangers = Sender("", False, communities, users)
    door = Door(traps.networks, strangers, traps.per_source_per_s)
    own = engine_id(f"{_machine()} {traps.port}")
    secure = Secure(own, host.now_ns() / NS)
    receiver = Receiver(door, secure, host.refuse)
    door.know(await senders(traps, config, host))
    loop = asyncio.get_running_loop()
    transport, listener = await loop.create_datagram_endpoint(
        lambda: Listener(receiver, host, emit, tell), sock=bound(traps)
    )
    host.log.info("listening to traps", port=traps.port, engine_id=own.hex())
    looked_up = loop.time()
    named = any(not _is_ip(target.address) for target in host.targets())
    try:
        while not listener.lost.done():
            await asyncio.wait({listener.lost}, timeout=COUNT_EVERY_S)
            if readings := receiver.counted(host.now_ns() / NS):
                emit(*readings)
            if receiver.repeated:
                host.count("traps_repeated", receiver.repeated)
                receiver.repeated = 0
            if named and loop.time() - looked_up > LOOK_UP_EVERY_S:
                looked_up = loop.time()
                door.know(await senders(traps, config, host))
    finally:
        transport.close()
    raise TryAgain("traps: the socket was lost")


def bound(traps: Traps) -> socket.socket:
    """Raises `NeverWorks` for a port that we may not have, `TryAgain` for one in use."""
    where = f"traps: can't listen at UDP {traps.host} port {traps.port}"
    family = socket.AF_INET6 if ":" in traps.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setblocking(False)
        sock.bind((traps.host, traps.port))
    except PermissionError as error:
        sock.close()
        raise NeverWorks(
            f"{where}: {error.strerror}; use port 1162 and redirect 162 to it, or give the hub "
            "CAP_NET_BIND_SERVICE (collectors/snmp/traps/README.md)"
        ) from error
    except OSError as error:
        sock.close()
        raise TryAgain(f"{where}: {error.strerror}; is snmptrapd or another hub there?") from error
    return sock


async def senders(traps: Traps, config: SnmpConfig, host: Host) -> Mapping[str, list[Sender]]:
    """The inventory's devices by the addresses that they send from."""
    common = [config.credentials[name] for name in traps.credentials]
    found: dict[str, list[Sender]] = {}
    for number, target in enumerate(host.targets()):
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
        section = SnmpSection.model_validate(dict(target.section))
        own = section.asks_as(config)
        communities, users = _who([own, *common])
        sender = Sender(target.id, True, communities, users)
        for address in {*await _addresses(target), *map(plain_address, section.trap_addresses)}:
            found.setdefault(address, []).append(sender)
    return found


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


async def _addresses(target: Target) -> list[str]:
    if _is_ip(target.address):
        return [str(ip_address(target.address))]
    try:
        _, address = await resolve(target.address, 0)
    except OSError:
        return []
    return [plain_address(address[0])]


def _who(credentials: Iterable[Credential]) -> tuple[frozenset[bytes], dict[str, Any]]:
    """The communities and users of some groups."""
    given = list(credentials)
    communities = (c.community.get_secret_value().encode() for c in given if c.community)
    return frozenset(communities), {c.user: c.as_user() for c in given if c.user}


def plain_address(text: str) -> str:
    """An IPv4 address that came over an IPv6 socket is the IPv4 address."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def _machine() -> str:
    """What tells this machine from another, for our engine's id."""
    try:
        return MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return socket.gethostname()
