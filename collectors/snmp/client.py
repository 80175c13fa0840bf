"""The seam to the network: four methods (`Session`), and the real one, SNMP v2c over UDP.

One UDP socket per address family serves every device, so ten thousand routers need one open
file. An answer counts only when its request id is awaited *and* it comes from the address that
was asked (and, in v3, when its session finds it genuine); everything else is counted and dropped.
Version 1 is in v1.py, version 3 in v3.py.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from collectors.snmp.codec import (
    ERROR_NAMES,
    GET,
    GET_BULK,
    RESPONSE,
    V2C,
    Malformed,
    Message,
    Request,
    VarBind,
    decode,
    pdu_request,
    wrapped,
    wrapper,
)
from collectors.snmp.oids import Oid
from collectors.snmp.usm import Envelope, read

MAX_IN_FLIGHT = 2
MOST_JITTER = 0.2
"""A retry waits up to so much longer, as a share of the time-out."""
RECEIVE_BUFFER = 4 << 20
"""Octets asked of the kernel: replies of many routers wait here while we decode others."""

LARGEST = 65_535
"""Octets of a datagram."""
AT_ONCE = 64
"""Datagrams taken from the socket before anybody else has a turn."""
MOST_WAITING = 10_000
"""More than fit a socket of `RECEIVE_BUFFER`."""


class NoAnswer(Exception):
    """The agent did not answer in time, nor to any retry."""


class Refused(Exception):
    """The agent is there, but does not take who asks or how; asking again won't help."""


class Denied(Refused):
    """The agent takes who asks for whom he is, and shows him nothing (RFC 3413, §3.2)."""


class Reply(NamedTuple):
    """An agent's answer. `error_status` is never hidden: 0, or one of RFC 3416's errors."""

    error_status: int
    error_index: int
    varbinds: list[VarBind]
    seconds: float
    """From the (last) sending to the answer."""
    attempts: int = 1
    """More than one: which sending was answered is not known, don't trust `seconds`."""

    @property
    def error(self) -> str:
        """The error's name in RFC 3416, or its number."""
        known = 0 <= self.error_status < len(ERROR_NAMES)
        return ERROR_NAMES[self.error_status] if known else f"error {self.error_status}"


class Query:
    """A Get that is sent again and again, to every device that has the same instances: what is
    encoded here is the same for all who ask."""

    __slots__ = ("oids", "pdu")

    def __init__(self, oids: Sequence[Oid]) -> None:
        self.oids = tuple(oids)
        self.pdu = pdu_request(GET, self.oids)


class Session(Protocol):
    """What the collector needs of a device. All raise `NoAnswer` and `Refused`; none retries a
    bad reply."""

    async def get(self, oids: Sequence[Oid]) -> Reply:
        """The values of these instances, in this order."""
        ...

    async def bulk(self, after: Oid, max_repetitions: int) -> Reply:
        """One page of what follows an identifier (GetBulk)."""
        ...

    async def send(self, query: Query) -> Reply:
        """Like `get`, for a query that is kept."""
        ...

    def close(self) -> None:
        """Forget what is in flight."""
        ...


Address = tuple[Any, ...]
"""As the socket module has it: (host, port), with IPv6 (host, port, flow, scope)."""


Accept = Callable[[Envelope], Message]
"""Believe a sealed answer and open it, or raise `Malformed`."""


@dataclass(slots=True, eq=False)
class _Waiting:
    address: Address
    datagram: bytes
    timeout_s: float
    tries_left: int
    accept: Accept | None
    """None: the answer is plain (v1, v2c)."""
    answer: asyncio.Future[tuple[Message, float]]
    sent_at: float = 0.0
    attempts: int = 0
    timer: asyncio.TimerHandle | None = None


class Endpoint:
    """One UDP socket; matches answers to the requests that wait for them.

    It reads the socket itself: asyncio's own transport makes room for 256 KiB at each datagram,
    which costs more than all the rest of receiving one.
    """

    def __init__(
        self, sock: socket.socket, count: Callable[[str], None] = lambda reason: None
    ) -> None:
        self._sock = sock
        self._ignored = count
        """Told of each datagram dropped: malformed, unasked, wrong_source, forged, socket_error."""
        self._waiting: dict[int, _Waiting] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._readable)
        # Seeded from the system once: asking it for every request id would be a system call each.
        self._random = random.Random(secrets.randbits(128))

    @classmethod
    async def open(
        cls, family: int = socket.AF_INET, count: Callable[[str], None] = lambda reason: None
    ) -> Endpoint:
        """Bind to a free port. Raises `OSError`."""
        return cls(_bound(family), count)

    def close(self) -> None:
        """Close the socket; what still waits gets `NoAnswer`."""
        for waiting in list(self._waiting.values()):
            self._fail(waiting, "the collector is stopping")
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    async def ask(
        self,
        address: Address,
        datagram: Callable[[int], bytes],
        timeout_s: float,
        retries: int,
        accept: Accept | None = None,
    ) -> tuple[Message, float, int]:
        """The response, the seconds it took and the number of sendings. Raises `NoAnswer`.

        `datagram` makes the request with an id, which in v3 is the message's too.
        """
        request_id = self._free_id()
        waiting = _Waiting(
            address,
            datagram(request_id),
            timeout_s,
            retries + 1,
            accept,
            self._loop.create_future(),
        )
        self._waiting[request_id] = waiting
        try:
            self._transmit(waiting)
            message, seconds = await waiting.answer
            return message, seconds, waiting.attempts
        finally:
            self._waiting.pop(request_id, None)
            if waiting.timer is not None:
                waiting.timer.cancel()

    def _free_id(self) -> int:
        """Hard to guess, and always four octets on the wire."""
        while True:
            request_id = 0x01000000 + self._random.getrandbits(30)
            if request_id not in self._waiting:
                return request_id

    def _transmit(self, waiting: _Waiting) -> None:
        if waiting.attempts:
            # The answer may have come, and we were too busy to look. Asking again for what waits
            # in our own socket would only make us busier, until nobody seems to answer.
            self._readable(MOST_WAITING)
        if waiting.answer.done():
            return
        if waiting.tries_left == 0 or self._sock.fileno() < 0:
            self._fail(waiting, f"no answer to {waiting.attempts} requests")
            return
        waiting.tries_left -= 1
        waiting.attempts += 1
        waiting.sent_at = self._loop.time()
        try:
            self._sock.sendto(waiting.datagram, waiting.address)
        except OSError:  # no room, no route: the same to us as a datagram lost on its way
            self._ignored("socket_error")
        # A retry waits longer, and not in step with the others that lost a packet just now.
        wait = waiting.timeout_s
        if waiting.attempts > 1:
            wait *= 1 + self._random.random() * MOST_JITTER
        waiting.timer = self._loop.call_later(wait, self._transmit, waiting)

    def _fail(self, waiting: _Waiting, why: str) -> None:
        if not waiting.answer.done():
            waiting.answer.set_exception(NoAnswer(why))

    def _readable(self, most: int = AT_ONCE) -> None:
        """Take what waits at the socket, but let others have their turn."""
        for _ in range(most):
            try:
                data, address = self._sock.recvfrom(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                self._ignored("socket_error")
                return
            self.datagram_received(data, address)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Give an answer to whom it is for."""
        try:
            message = decode(data)
        except Malformed:
            self._sealed_received(data, addr)
            return
        waiting = self._asked(message.request_id, addr)
        if waiting is None:
            return
        if message.pdu != RESPONSE or waiting.accept is not None:
            self._ignored("unasked")
        else:
            self._answered(waiting, message)

    def _sealed_received(self, data: bytes, addr: Address) -> None:
        try:
            envelope = read(data)
        except Malformed:
            self._ignored("malformed")
            return
        waiting = self._asked(envelope.message_id, addr)
        if waiting is None:
            return
        if waiting.accept is None:
            self._ignored("unasked")
            return
        try:
            message = waiting.accept(envelope)
        except Malformed:
            self._ignored("forged")
            return
        self._answered(waiting, message)

    def _asked(self, number: int, addr: Address) -> _Waiting | None:
        waiting = self._waiting.get(number)
        if waiting is None or waiting.answer.done():
            self._ignored("unasked")
        elif addr[:2] != waiting.address[:2]:
            self._ignored("wrong_source")
        else:
            return waiting
        return None

    def _answered(self, waiting: _Waiting, message: Message) -> None:
        waiting.answer.set_result((message, self._loop.time() - waiting.sent_at))


class Turns:
    """At most so many at once. Unlike asyncio's semaphore, whose queue takes most of a kibibyte and
    stays, it holds nothing while nobody is in it."""

    __slots__ = ("_inside", "_most", "_semaphore")

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
        """Those that wait included."""
        self._semaphore: asyncio.Semaphore | None = None

    async def __aenter__(self) -> None:
        self._inside += 1
        if self._semaphore is None:
            self._semaphore = asyncio.Semaphore(self._most)
        try:
            await self._semaphore.acquire()
        except BaseException:
            self._left()
            raise

    async def __aexit__(self, *_: object) -> None:
        if self._semaphore is not None:
            self._semaphore.release()
        self._left()

    def _left(self) -> None:
        self._inside -= 1
        if not self._inside:
            self._semaphore = None


class AgentSession:
    """What the real sessions of all versions share: one agent, at most two requests in flight."""

    __slots__ = ("address", "endpoint", "retries", "slots", "timeout_s")

    def __init__(
        self, endpoint: Endpoint, address: Address, timeout_s: float, retries: int
    ) -> None:
        self.endpoint = endpoint
        self.address = address
        self.timeout_s = timeout_s
        self.retries = retries
        self.slots = Turns(MAX_IN_FLIGHT)

    def move(self, endpoint: Endpoint, address: Address) -> None:
        """The agent is to be found elsewhere from now on."""
        self.endpoint = endpoint
        self.address = address

    @property
    def asker(self) -> str:
        """Who asks, for people; no secret."""
        return "this community"

    def close(self) -> None:
        """Nothing of its own to close: the socket is shared."""


class CommunitySession(AgentSession):
    """Who asks is told by a community: v1 and v2c."""

    __slots__ = ("_asker",)
    version = V2C

    def __init__(
        self, endpoint: Endpoint, address: Address, community: bytes, timeout_s: float, retries: int
    ) -> None:
        super().__init__(endpoint, address, timeout_s, retries)
        self._asker = wrapper(self.version, community)

    async def ask(self, pdu: Request) -> Reply:
        """Raises `NoAnswer`."""
        async with self.slots:
            message, seconds, attempts = await self.endpoint.ask(
                self.address, wrapped(self._asker, pdu).datagram, self.timeout_s, self.retries
            )
        return Reply(message.error_status, message.error_index, message.varbinds, seconds, attempts)


class V2cSession(CommunitySession):
    """SNMP v2c."""

    __slots__ = ()

    async def get(self, oids: Sequence[Oid]) -> Reply:
        return await self.ask(pdu_request(GET, oids))

    async def bulk(self, after: Oid, max_repetitions: int) -> Reply:
        return await self.ask(pdu_request(GET_BULK, [after], 0, max_repetitions))

    async def send(self, query: Query) -> Reply:
        return await self.ask(query.pdu)


def _bound(family: int) -> socket.socket:
    """A UDP socket at a free port, with room for the replies of many routers."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setblocking(False)
        sock.bind(("", 0))
    except OSError:
        sock.close()
        raise
    return sock


async def resolve(host: str, port: int) -> tuple[int, Address]:
    """The address family and socket address of a host name or IP address. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    family, _, _, _, address = found[0]
    return family, address
