"""An SNMP agent over real UDP for the simulated regency and the tests, with faults on command.

    stub = RouterStub.office("r-dlh", ports=5, seed=7)     # a made-up router, or
    stub = RouterStub.replay(Path("edgeos.snmprec"))       # a recording of a real one
    port = await stub.start("127.0.0.1")
    stub.fault("link_down", port="ether1")
    stub.clear("link_down", port="ether1")
    stub.stop()

| fault | words | what happens until `clear` |
|---|---|---|
| `dead` | | no answer |
| `slow` | `seconds` | answers come that much later |
| `reboot` | `seconds=0` | uptime and counters begin at zero, silent for so long first; ends alone |
| `link_down` | `port` | ifOperStatus down, no traffic |
| `cpu_high` | `pct=97` | every processor is that busy |
| `mem_high` | `pct=95` | memory is that full |
| `traffic` | `port`, `share=0.97` | the port carries that share of its speed, both ways |
| `errors` | `port`, `per_second=50` | ifInErrors grows |
| `too_big` | `names=5` | tooBig with no bindings when more would be answered |
| `gen_err` | `oid` | genErr for every request that touches that instance |
| `stuck` | | GetNext and GetBulk answer the same names again: identifiers don't increase |
| `short` | `rows=3` | a bulk answer has at most so many bindings |
| `empty` | | no error, no bindings |
| `cut` | `octets=7` | so many octets of each datagram are missing |
| `wrong_id` | | another request id |
| `other_port` | | the answer comes from another port |
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collectors.snmp import codec
from collectors.snmp.codec import Message
from collectors.snmp.oids import oid
from firmware_stubs.snmp_agent import answer
from firmware_stubs.snmp_mib import Mib, read_snmprec
from firmware_stubs.snmp_model import Router, office_router

_OF_A_MODEL = frozenset({"reboot", "link_down", "cpu_high", "mem_high", "traffic", "errors"})
_OF_THE_AGENT = frozenset(
    {"dead", "slow", "too_big", "gen_err", "stuck", "short", "empty", "cut", "wrong_id"}
    | {"other_port"}
)
FAULTS = _OF_A_MODEL | _OF_THE_AGENT


class RouterStub(asyncio.DatagramProtocol):
    """One agent. `router` is None when it replays a recording."""

    def __init__(
        self,
        mib: Mib,
        router: Router | None = None,
        community: str = "public",
        now: Callable[[], float] | None = None,
    ) -> None:
        self.mib = mib
        self.router = router
        self.requests = 0
        """Datagrams that came, answered or not."""
        self.largest_request = 0
        self.faults: dict[str, dict[str, Any]] = {}
        self._community = community.encode()
        self._now = now
        self._transport: asyncio.DatagramTransport | None = None
        self._silent_until = float("-inf")

    @classmethod
    def office(
        cls,
        name: str,
        *,
        ports: int = 5,
        seed: int = 0,
        location: str = "",
        community: str = "public",
        now: Callable[[], float] | None = None,
    ) -> RouterStub:
        """A made-up router with `ether1` (the uplink) … `ether<ports>`."""
        router = office_router(
            name, ports=ports, seed=seed, location=location, now_s=now() if now else 0.0
        )
        return cls(router.mib, router, community, now)

    @classmethod
    def replay(cls, path: Path, community: str = "public") -> RouterStub:
        """A recording (snmprec). Raises `BadRecording` and `OSError`."""
        return cls(read_snmprec(path), None, community)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; gives the port. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        if self._now is None:
            begin = loop.time() - (self.router.now_s if self.router else 0.0)
            self._now = lambda: loop.time() - begin
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        self._transport = transport
        chosen: int = transport.get_extra_info("sockname")[1]
        return chosen

    def stop(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    # ------------------------------------------------------------ faults

    def fault(self, name: str, **words: Any) -> None:
        """Begin a fault of the table above. Raises `ValueError` and `KeyError`."""
        if name not in FAULTS:
            raise ValueError(f"no fault {name!r}; there are {', '.join(sorted(FAULTS))}")
        if name in _OF_A_MODEL:
            self._change(name, words, on=True)
        if name != "reboot":
            self.faults[_key(name, words)] = words

    def clear(self, name: str = "", **words: Any) -> None:
        """End a fault, or all of them."""
        if not name:
            for key, given in list(self.faults.items()):
                self.clear(key.partition(" ")[0], **given)
            return
        if self.faults.pop(_key(name, words), None) is not None and name in _OF_A_MODEL:
            self._change(name, words, on=False)

    def _change(self, name: str, words: dict[str, Any], *, on: bool) -> None:
        router = self.router
        if router is None:
            raise ValueError(f"a recording can't have the fault {name!r}")
        now = self._clock()
        router.advance(now)
        if name == "reboot":
            router.reboot()
            self._silent_until = now + float(words.get("seconds", 0))
        elif name == "link_down":
            router.set_link(words["port"], up=not on)
        elif name == "cpu_high":
            router.forced_cpu_pct = words.get("pct", 97.0) if on else None
        elif name == "mem_high":
            router.forced_mem_pct = words.get("pct", 95.0) if on else None
        else:
            port = router.port(words["port"])
            if name == "traffic":
                port.forced_bps = port.speed_bps * words.get("share", 0.97) if on else None
            else:
                port.errors_ps = words.get("per_second", 50.0) if on else 0.0

    def _clock(self) -> float:
        return self._now() if self._now is not None else 0.0

    # ------------------------------------------------------------ asyncio calls these

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.requests += 1
        now = self._clock()
        if "dead" in self.faults or now < self._silent_until:
            return
        try:
            message = codec.decode(data)
        except codec.Malformed:
            return
        if message.community != self._community or message.pdu == codec.RESPONSE:
            return
        if self.router is not None:
            self.router.advance(now)
        reply = self._reply(message)
        if "slow" in self.faults:
            delay = float(self.faults["slow"].get("seconds", 1.0))
            asyncio.get_running_loop().call_later(delay, self._send, reply, addr)
        else:
            self._send(reply, addr)

    def _send(self, reply: bytes, addr: tuple[Any, ...]) -> None:
        if self._transport is None:
            return
        if "other_port" in self.faults:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.sendto(reply, addr)
            return
        self._transport.sendto(reply, addr)

    def _reply(self, message: Message) -> bytes:
        """The honest answer, spoiled by the faults that are on."""
        faults = self.faults
        asked = len(message.varbinds)
        if message.pdu == codec.GET_BULK:
            asked *= max(1, message.error_index)
        self.largest_request = max(self.largest_request, asked)
        if "too_big" in faults and asked > faults["too_big"].get("names", 5):
            return codec.response(message, [], codec.TOO_BIG, 0)
        if "empty" in faults:
            return codec.response(message, [])
        if "wrong_id" in faults:
            message = message._replace(request_id=message.request_id ^ 1)
        if "stuck" in faults and message.pdu != codec.GET:
            same = [(name, codec.integer(1)) for name, _ in message.varbinds]
            return codec.response(message, same)
        reply = answer(self.mib, message)
        if "gen_err" in faults:
            touched = oid(faults["gen_err"]["oid"])
            names = [name for name, _ in codec.decode(reply).varbinds]
            if touched in names:
                place = min(names.index(touched) + 1, len(message.varbinds))
                echo = [(name, codec.NULL) for name, _ in message.varbinds]
                return codec.response(message, echo, codec.GEN_ERR, place)
        if "short" in faults and message.pdu == codec.GET_BULK:
            rows = int(faults["short"].get("rows", 3))
            message = message._replace(error_index=min(message.error_index, rows))
            reply = answer(self.mib, message)
        if "cut" in faults:
            reply = reply[: -int(faults["cut"].get("octets", 7))]
        return reply


def _key(name: str, words: dict[str, Any]) -> str:
    """Faults of a port may be on at several ports at once."""
    return f"{name} {words['port']}" if "port" in words else name
