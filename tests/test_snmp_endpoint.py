"""When a request is sent again, in virtual time over a socket that the test holds."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Any

import pytest

from collectors.snmp import codec
from collectors.snmp.client import Endpoint, NoAnswer
from collectors.snmp.oids import SYS_UPTIME
from tests.virtual_time import run

AGENT = ("10.0.0.1", 161)
ASKED = codec.request(codec.GET, b"public", [SYS_UPTIME])


class Socket:
    """Notes when something is sent; what waits in it is read only when somebody looks."""

    def __init__(self) -> None:
        self._real = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sent: list[tuple[float, bytes]] = []
        self.waits: list[bytes] = []

    def fileno(self) -> int:
        return self._real.fileno()

    def sendto(self, data: bytes, address: object) -> None:
        self.sent.append((asyncio.get_running_loop().time(), data))

    def recvfrom(self, octets: int) -> tuple[bytes, Any]:
        if not self.waits:
            raise BlockingIOError
        return self.waits.pop(), AGENT

    def close(self) -> None:
        self._real.close()


async def silence(timeout_s: float, retries: int) -> list[float]:
    """When one request was sent to an agent that never answers."""
    sock = Socket()
    endpoint = Endpoint(sock)  # type: ignore[arg-type]
    with pytest.raises(NoAnswer, match=f"no answer to {retries + 1} requests"):
        await endpoint.ask(AGENT, ASKED.datagram, timeout_s, retries)
    endpoint.close()
    return [at for at, _ in sock.sent]


def test_retries_come_after_the_time_out_and_not_in_step_with_others() -> None:
    async def story() -> list[list[float]]:
        return [await silence(2.0, 3) for _ in range(20)]

    stories = run(story())
    waits = [[b - a for a, b in itertools.pairwise(sent)] for sent in stories]
    assert {round(wait[0], 3) for wait in waits} == {2.0}
    later = [gap for wait in waits for gap in wait[1:]]
    assert all(2.0 <= gap <= 2.4 + 1e-6 for gap in later)
    assert len({round(gap, 3) for gap in later}) > 20, "each waits for a time of its own"


def test_an_answer_that_waits_in_our_own_socket_is_read_before_anybody_is_asked_again() -> None:
    async def story() -> int:
        sock = Socket()
        endpoint = Endpoint(sock)  # type: ignore[arg-type]
        asking = asyncio.create_task(endpoint.ask(AGENT, ASKED.datagram, 2.0, 2))
        await asyncio.sleep(1.0)
        request = codec.decode(sock.sent[0][1])
        # It came, but the loop was too busy to be told so.
        sock.waits.append(codec.response(request, [(SYS_UPTIME, codec.integer(1))]))
        message, _, attempts = await asking
        assert message.varbinds == [(SYS_UPTIME, 1)]
        endpoint.close()
        assert len(sock.sent) == 1
        return attempts

    assert run(story()) == 1
