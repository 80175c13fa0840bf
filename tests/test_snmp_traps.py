"""Traps and informs: net-snmp's own senders, every version; and what must not be believed."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from collectors.snmp import codec, usm
from collectors.snmp.codec import Malformed, integer, tlv
from collectors.snmp.collector import SnmpCollector
from collectors.snmp.config import SnmpConfig, Traps
from collectors.snmp.oids import SYS_UPTIME, Oid, dotted, oid
from collectors.snmp.told import ToldDown
from collectors.snmp.traps import names, notification
from collectors.snmp.traps.door import Door, Recent, Sender
from collectors.snmp.traps.listener import plain_address
from collectors.snmp.traps.receiver import Receiver, Told, items
from collectors.snmp.traps.secure import Secure, engine_id
from collectors.snmp.usm import Engine, User
from hub.api import Event, Hint, NeverWorks, Target, TryAgain
from tests.collector_support import FakeHost, RecordingEmit, until
from tests.snmp_support import free_udp_port

LINK_DOWN = dotted(names.LINK_DOWN)
LINK = ("1.3.6.1.2.1.2.2.1.1.3", "i", "3", "1.3.6.1.2.1.2.2.1.8.3", "i", "2")
PASSWORD = "pagi-di-balige"
V3 = ("-v3", "-u", "toba", "-l", "authPriv", "-a", "SHA-256", "-A", PASSWORD)
FOREIGN = ("-e", "0x8000000001020304")
PRIV = ("-x", "AES", "-X", PASSWORD)
GROUPS = {
    "old": {"version": "1", "community": "lama"},
    "v3": {
        "version": "3",
        "user": "toba",
        "auth": "sha256",
        "auth_password": PASSWORD,
        "priv": "aes128",
        "priv_password": PASSWORD,
    },
}


class Listening:
    """The collector with its traps, as a whole."""

    def __init__(self, port: int, host: FakeHost, emit: RecordingEmit) -> None:
        self.port = port
        self.host = host
        self.emit = emit

    async def send(self, *words: str, tool: str = "snmptrap") -> int:
        """net-snmp's sender; its exit code (an inform waits for the answer)."""
        at = words.index("TO")
        process = await asyncio.create_subprocess_exec(
            tool,
            *words[:at],
            *("-m", "", "-r", "1", "-t", "3"),
            f"127.0.0.1:{self.port}",
            *words[at + 1 :],
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        assert not said or process.returncode, said
        return process.returncode or 0

    async def event(self) -> Event:
        """The next one."""
        await until(lambda: self.emit.events, "an event")
        (found,) = self.emit.events
        return found

    @property
    def hints(self) -> list[Hint]:
        return [item for item in self.emit.items if isinstance(item, Hint)]

    def refused(self) -> set[str]:
        return {reason for reason, _, _ in self.host.refused}


@asynccontextmanager
async def listening(
    *sections: Mapping[str, Any], address: str = "127.0.0.1", **traps: Any
) -> AsyncIterator[Listening]:
    port = free_udp_port()
    targets = [
        Target(f"r{number}", "router", address, dict(section))
        for number, section in enumerate(sections, 1)
    ]
    host, emit = FakeHost(targets), RecordingEmit()
    settings = {"credentials": GROUPS, "traps": {"host": "127.0.0.1", "port": port, **traps}}
    collector = SnmpCollector(SnmpConfig.model_validate(settings), host)
    await collector.start()
    running = asyncio.create_task(collector.run(emit))
    try:
        await until(lambda: "listening to traps" in host.log.events() or running.done())
        if running.done():
            running.result()
        yield Listening(port, host, emit)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, TryAgain):
            await running
        await collector.stop()


# ---------------------------------------------------------------- net-snmp's senders


async def test_a_v2c_trap_is_an_event_and_a_hint_to_poll() -> None:
    async with listening({}) as hub:
        await hub.send("-v2c", "-c", "public", "TO", "4200", LINK_DOWN, *LINK)
        event = await hub.event()
    assert (event.device, event.name) == ("r1", "linkDown")
    assert event.text == "ifIndex 3, ifOperStatus down"
    assert event.fields == {"oid": LINK_DOWN, "if_index": 3, "uptime_s": 42.0}
    assert hub.hints == [Hint("r1", "trap linkDown", "traffic")]


async def test_a_v1_trap_means_the_same() -> None:
    async with listening({"credential": "old"}) as hub:
        words = ("1.3.6.1.4.1.14988", "10.12.1.7", "2", "0", "4200", *LINK)
        await hub.send("-v1", "-c", "lama", "TO", *words)
        event = await hub.event()
    assert (event.name, event.text) == ("linkDown", "ifIndex 3, ifOperStatus down")
    assert event.fields["agent"] == "10.12.1.7"
    assert hub.hints == [Hint("r1", "trap linkDown", "traffic")]


async def test_a_v1_trap_of_a_vendor_gets_its_v2_number() -> None:
    async with listening({"credential": "old"}) as hub:
        await hub.send("-v1", "-c", "lama", "TO", "1.3.6.1.4.1.318", "127.0.0.1", "6", "5", "1")
        assert (await hub.event()).name == "upsOnBattery"
    assert hub.hints == [Hint("r1", "trap upsOnBattery", "health")]


async def test_an_unknown_trap_keeps_its_number() -> None:
    async with listening({}) as hub:
        words = ("1.3.6.1.4.1.99999.0.7", "1.3.6.1.4.1.99999.1.1.0", "s", "panas")
        await hub.send("-v2c", "-c", "public", "TO", "", *words)
        event = await hub.event()
    assert event.name == "1.3.6.1.4.1.99999.0.7"
    assert event.text == "1.3.6.1.4.1.99999.1.1.0 panas"


async def test_a_v2c_inform_is_acknowledged() -> None:
    async with listening({}) as hub:
        sent = await hub.send("-v2c", "-c", "public", "TO", "", LINK_DOWN, *LINK, tool="snmpinform")
        assert sent == 0
        assert (await hub.event()).name == "linkDown"


async def test_a_v3_trap_is_opened_whatever_its_engine() -> None:
    async with listening({"credential": "v3"}) as hub:
        engine = ("-e", "0x8000000001020304", "-Z", "3,100")
        await hub.send(*V3, *PRIV, *engine, "TO", "", LINK_DOWN, *LINK)
        assert (await hub.event()).name == "linkDown"


async def test_a_v3_inform_finds_our_engine_and_is_acknowledged() -> None:
    async with listening({"credential": "v3"}) as hub:
        sent = await hub.send(*V3, *PRIV, "TO", "", LINK_DOWN, *LINK, tool="snmpinform")
        assert sent == 0
        assert (await hub.event()).name == "linkDown"
    assert hub.host.refused == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("-v2c", "-c", "salah"), "trap_wrong_community"),
        (
            ("-v3", "-u", "lain", "-l", "noAuthNoPriv", "-e", "0x8000000001020304"),
            "trap_unknown_user",
        ),
        (
            ("-v3", "-u", "toba", "-l", "noAuthNoPriv", "-e", "0x8000000001020304"),
            "trap_wrong_level",
        ),
        ((*V3[:-1], "salah-sekali", *PRIV, *FOREIGN), "trap_wrong_digest"),
    ],
    ids=["community", "user", "level", "password"],
)
async def test_what_does_not_know_the_secret_is_refused_with_a_reason(
    words: tuple[str, ...], reason: str
) -> None:
    async with listening({"credential": "v3"}) as hub:
        await hub.send(*words, "TO", "", LINK_DOWN, *LINK)
        await until(lambda: hub.host.refused)
        assert hub.refused() == {reason}
        assert hub.emit.events == []


async def test_a_v3_inform_with_a_wrong_password_is_told_so() -> None:
    async with listening({"credential": "v3"}) as hub:
        words = (*V3[:-1], "salah-sekali", *PRIV)
        assert await hub.send(*words, "TO", "", LINK_DOWN, *LINK, tool="snmpinform")
        assert hub.refused() == {"trap_wrong_digest"}


async def test_a_stranger_is_refused_and_a_listed_network_is_heard() -> None:
    async with listening({}, address="10.99.0.1") as hub:
        await hub.send("-v2c", "-c", "public", "TO", "", LINK_DOWN, *LINK)
        await until(lambda: hub.host.refused)
        assert hub.host.refused[0][:2] == ("trap_from_stranger", "127.0.0.1")
    async with listening(
        {}, address="10.99.0.1", networks=["127.0.0.0/8"], credentials=["old"]
    ) as hub:
        await hub.send("-v2c", "-c", "lama", "TO", "", LINK_DOWN, *LINK)
        assert (await hub.event()).device == "127.0.0.1"
        # It can't be polled: there is nothing to hint at.
        assert hub.hints == []


async def test_a_relay_in_a_listed_network_speaks_for_a_device() -> None:
    async with listening(
        {}, address="10.99.0.1", networks=["127.0.0.0/8"], credentials=["old"]
    ) as hub:
        words = ("1.3.6.1.4.1.14988", "10.99.0.1", "2", "0", "4200", *LINK)
        await hub.send("-v1", "-c", "lama", "TO", *words)
        assert (await hub.event()).device == "r1"


async def test_a_further_address_of_a_device_is_the_device() -> None:
    async with listening({"trap_addresses": ["127.0.0.1"]}, address="10.99.0.1") as hub:
        await hub.send("-v2c", "-c", "public", "TO", "", LINK_DOWN, *LINK)
        assert (await hub.event()).device == "r1"


async def test_two_devices_behind_one_address_are_told_apart_by_what_they_know() -> None:
    async with listening({"community": "satu"}, {"community": "dua"}, {"community": "dua"}) as hub:
        await hub.send("-v2c", "-c", "satu", "TO", "", LINK_DOWN, *LINK)
        assert (await hub.event()).device == "r1"
        await hub.send("-v2c", "-c", "dua", "TO", "", LINK_DOWN, *LINK)
        await until(lambda: hub.host.refused)
        assert hub.refused() == {"trap_from_shared_address"}


async def test_garbage_never_stops_the_listener() -> None:
    async with listening({}) as hub:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for data in (b"", b"\x30", b"\xff" * 1500, b"\x30\x82\xff\xff", bytes(range(256))):
                sock.sendto(data, ("127.0.0.1", hub.port))
        await until(lambda: len(hub.host.refused) == 5)
        assert hub.refused() == {"trap_malformed"}
        await hub.send("-v2c", "-c", "public", "TO", "", LINK_DOWN, *LINK)
        assert (await hub.event()).name == "linkDown"


async def test_a_port_that_is_in_use_or_forbidden_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(TryAgain, match=r"UDP 127\.0\.0\.1 port \d+: Address already in use"):
            async with listening({}, port=taken.getsockname()[1]):
                pass

    def forbidden(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "bind", forbidden)
        config = SnmpConfig.model_validate({"traps": {"port": 162}})
        collector = SnmpCollector(config, FakeHost())
        with pytest.raises(NeverWorks, match="redirect 162 to it, or give the hub CAP_NET_BIND"):
            await collector.run(RecordingEmit())


# ---------------------------------------------------------------- pure


def binding(name: Oid, value: bytes) -> bytes:
    return tlv(0x30, tlv(6, name) + value)


def trap_pdu(trap: str = LINK_DOWN, uptime: int = 4200, index: int = 3, kind: int = 0xA7) -> bytes:
    bindings = [
        binding(SYS_UPTIME, integer(uptime, codec.TIME_TICKS)),
        binding(notification.SNMP_TRAP_OID, tlv(6, oid(trap))),
        binding(oid(f"1.3.6.1.2.1.2.2.1.1.{index}"), integer(index)),
    ]
    return tlv(kind, integer(77) + integer(0) * 2 + tlv(0x30, b"".join(bindings)))


def message(pdu: bytes, community: bytes = b"public") -> bytes:
    return tlv(0x30, integer(1) + tlv(4, community) + pdu)


@dataclass
class Bench:
    """A receiver alone, with a clock of the test's."""

    refused: list[str] = field(default_factory=list)
    now_s: float = 2_000_000_000.0

    def __post_init__(self) -> None:
        self.own = engine_id("this machine")
        self.user = User("toba", "sha256", b"password1", "aes128", b"password2")
        self.door = Door([], Sender("", False), 10.0)
        users = {"toba": self.user}
        self.door.know({"10.0.0.1": [Sender("r1", True, frozenset({b"public"}), users)]})
        self.receiver = Receiver(
            self.door, Secure(self.own, self.now_s), lambda reason, *_: self.refused.append(reason)
        )

    def take(self, data: bytes, address: str = "10.0.0.1") -> Told | None:
        return self.receiver.take(data, address, self.now_s)[0]

    def sealed(self, boots: int, time_s: int, index: int = 3) -> bytes:
        engine = Engine(b"\x80\x00\x00\x00\x05abc", boots, time_s)
        keys = usm.keys(self.user, engine.id)
        pdu = trap_pdu(index=index)
        return usm.seal(self.user, keys, engine, 9, pdu, time_s, reportable=False)


def test_the_same_trap_within_five_seconds_is_one_event() -> None:
    bench = Bench()
    assert bench.take(message(trap_pdu(uptime=4200)))
    bench.now_s += 4.9
    assert bench.take(message(trap_pdu(uptime=4690))) is None
    assert bench.receiver.repeated == 1
    assert bench.take(message(trap_pdu(index=4)))
    bench.now_s += 0.2
    assert bench.take(message(trap_pdu()))


def test_down_up_down_within_five_seconds_are_three_events() -> None:
    bench = Bench()
    up = dotted(names.LINK_UP)
    heard = [bench.take(message(trap_pdu(trap))) for trap in (LINK_DOWN, up, LINK_DOWN)]
    assert all(heard)


def test_a_flood_uses_up_its_own_source_s_allowance_alone() -> None:
    bench = Bench()
    bench.door.know(
        {
            address: [Sender(device, True, frozenset({b"public"}))]
            for address, device in (("10.0.0.1", "r1"), ("10.0.0.2", "r2"))
        }
    )
    heard = [bench.take(message(trap_pdu(index=n))) for n in range(1, 1001)]
    assert sum(told is not None for told in heard) == 100
    assert set(bench.refused) == {"trap_flood"}
    assert bench.take(message(trap_pdu()), "10.0.0.2")
    bench.now_s += 1.0
    heard = [bench.take(message(trap_pdu(index=n))) for n in range(2001, 2101)]
    assert sum(told is not None for told in heard) == 10


def test_what_is_kept_of_floods_is_bounded() -> None:
    recent = Recent()
    for n in range(10_000):
        recent.again("r1", names.LINK_DOWN, [(oid(f"1.3.6.1.{n}"), n)], 0.0)
    assert len(recent._said["r1"]) <= 200
    recent.forget(10.0)
    assert recent._said == {}
    told = ToldDown()
    for n in range(10_000):
        told.tell(n, 0.0)
    assert len(told._last_s) <= 1000


def test_counts_fall_to_zero_when_it_is_quiet_again() -> None:
    bench = Bench()
    for n in range(3):
        bench.take(message(trap_pdu("1.3.6.1.6.3.1.1.5.5", index=n + 1)))
    (reading,) = bench.receiver.counted(bench.now_s)
    assert dict(reading.series.tags)["trap"] == "authenticationFailure"
    assert reading.fields == {"count": 3}
    (reading,) = bench.receiver.counted(bench.now_s + 10)
    assert reading.fields == {"count": 0}
    bench.receiver.counted(bench.now_s + 1300)
    assert bench.receiver.counted(bench.now_s + 1310) == []


def test_a_v3_trap_that_was_sent_before_is_refused_as_replayed() -> None:
    bench = Bench()
    assert bench.take(bench.sealed(5, 1000))
    bench.now_s += 10
    assert bench.take(bench.sealed(5, 900))  # late by less than the window
    assert bench.take(bench.sealed(6, 10, index=4))
    assert bench.take(bench.sealed(5, 2000, index=5)) is None
    assert bench.refused == ["trap_replayed"]
    bench.now_s += 4000
    # An agent that forgot its boots is believed again after an hour of silence.
    assert bench.take(bench.sealed(1, 10, index=6))


def test_an_engine_s_id_stays_the_same_and_differs_by_machine() -> None:
    assert engine_id("a") == engine_id("a") != engine_id("b")
    assert 5 <= len(engine_id("a")) <= 32


def test_an_inform_from_long_ago_gets_our_clock_and_no_event() -> None:
    bench = Bench()
    engine = Engine(bench.own, 1, 1)
    keys = usm.keys(bench.user, engine.id)
    data = usm.seal(bench.user, keys, engine, 9, trap_pdu(kind=0xA6), 1)
    told, answer = bench.receiver.take(data, "10.0.0.1", bench.now_s)
    assert told is None
    report = usm.read(answer)
    signed = User("toba", "sha256", b"password1")
    assert usm.genuine(signed, keys, report)
    inside = usm.unseal(signed, keys, report)
    assert (inside.pdu, inside.varbinds[0][0]) == (codec.REPORT, usm.NOT_IN_TIME_WINDOW)
    assert report.engine.boots > 1


def test_the_text_is_bounded_whatever_came() -> None:
    binds = [(oid(f"1.3.6.1.4.1.1.{n}"), b"x" * 5000) for n in range(100)]
    found = notification.Notification(names.LINK_DOWN, None, binds, "")
    event = items(Told("r1", True, found), 0, "")[0]
    assert isinstance(event, Event)
    assert len(event.text) < 2000
    assert event.text.endswith("and 92 more")


def test_the_port_of_a_trap_is_found_in_its_values_or_their_index() -> None:
    assert names.if_index([(oid("1.3.6.1.2.1.2.2.1.1.3"), 3)]) == 3
    assert names.if_index([(oid("1.3.6.1.2.1.31.1.1.1.1.70000"), b"ether1")]) == 70000
    assert names.if_index([(oid("1.3.6.1.2.1.1.5.0"), b"r1")]) is None


def test_an_ipv4_address_over_ipv6_is_the_ipv4_address() -> None:
    assert plain_address("::ffff:10.12.1.7") == "10.12.1.7"
    assert plain_address("fe80::1%eth0") == "fe80::1"


@given(st.binary(max_size=400))
def test_garbage_is_refused_and_nothing_else(data: bytes) -> None:
    bench = Bench()
    assert bench.take(data) is None
    assert len(bench.refused) <= 1


@given(st.integers(0, 120), st.binary(max_size=3), st.integers(0, 3), st.booleans())
def test_a_spoilt_trap_never_raises(at: int, put: bytes, less: int, secure: bool) -> None:
    bench = Bench()
    good = bench.sealed(1, 1) if secure else message(trap_pdu())
    bench.receiver.take(good[:at] + put + good[at + less :], "10.0.0.1", bench.now_s)


def test_an_ordinary_request_is_no_notification() -> None:
    request = codec.request(codec.GET, b"public", [SYS_UPTIME]).datagram(1 << 24)
    with pytest.raises(Malformed, match="no notification"):
        notification.read(request)


# ---------------------------------------------------------------- what polls make of it


def test_a_trap_and_a_poll_that_agrees_are_two_witnesses() -> None:
    told = ToldDown()
    assert not told
    assert not told.agrees(3, True, 0.0)
    told.tell(3, 0.0)
    assert told.waits(0.0)
    assert not told.agrees(4, True, 0.1)
    assert told.agrees(3, True, 0.1)
    assert not told.waits(0.1)
    assert told.agrees(3, True, 60.0)
    assert not told.agrees(3, False, 120.0)
    assert not told.agrees(3, True, 180.0)


def test_an_agent_whose_table_follows_its_trap_late_is_asked_again() -> None:
    told = ToldDown()
    told.tell(3, 0.0)
    assert not told.agrees(3, False, 0.1)
    assert told.waits(0.1)
    assert told.agrees(3, True, 1.1)
    told.tell(4, 1000.0)
    assert not told.waits(1011.0)
    assert not told.agrees(4, False, 1011.0)
    assert not told.agrees(4, True, 1012.0)


def test_a_port_that_flaps_makes_one_quick_alert_in_ten_minutes() -> None:
    told = ToldDown()
    quick = 0
    for second in range(0, 600, 10):
        told.tell(3, float(second))
        quick += told.agrees(3, True, second + 0.1)
        told.agrees(3, False, second + 5.0)
    assert quick == 1
    told.tell(3, 1300.0)
    assert told.agrees(3, True, 1300.1)


# ---------------------------------------------------------------- cases kept as folders

CASES = Path(names.__file__).parent / "testcases"


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_a_datagram_means_what_its_folder_says(case: str) -> None:
    bench = Bench()
    told = bench.take(bytes.fromhex((CASES / case / "input.hex").read_text()))
    found: dict[str, Any] = {"refused": bench.refused[0]} if bench.refused else {}
    if told is not None:
        event, hint = items(told, 0, "")
        assert isinstance(event, Event)
        assert isinstance(hint, Hint)
        found = {"event": event.name, "text": event.text, "fields": dict(event.fields)}
        found["poll"] = hint.tier or "everything"
    assert found == yaml.safe_load((CASES / case / "expected.yaml").read_text())


def test_the_readme_s_settings_are_valid() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (CASES.parent / "README.md").read_text(), re.S)
    snmp = yaml.safe_load(block)["collectors"]["snmp"]
    snmp["credentials"]["opd-v3"]["auth_password"] = PASSWORD
    traps = SnmpConfig.model_validate(snmp).traps
    assert traps is not None
    assert traps.model_dump(exclude={"networks", "credentials"}) == (
        Traps().model_dump(exclude={"networks", "credentials"})
    )


def test_the_readme_lists_every_reason() -> None:
    text = (CASES.parent / "README.md").read_text()
    sources = "".join((CASES.parent / f"{name}.py").read_text() for name in ("receiver", "secure"))
    reasons = {f"trap_{word}" for word in re.findall(r'Refusal\(\s*"(\w+)"', sources)}
    reasons |= set(re.findall(r'"(trap_\w+)"', sources))
    assert reasons - {"trap_engine_asked", "trap_clock_asked"} <= set(re.findall(r"`(\w+)`", text))
