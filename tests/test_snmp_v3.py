"""SNMPv3: keys as the RFCs have them, every protocol against net-snmp's snmpd, and each refusal."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.snmp import codec, usm
from collectors.snmp.client import Endpoint, NoAnswer, Query, Refused, Reply
from collectors.snmp.codec import GET, Malformed, pdu_request
from collectors.snmp.oids import IF_NAME, SYS_NAME, SYS_UPTIME, dotted, oid
from collectors.snmp.reader import Plan, Reader
from collectors.snmp.usm import AUTH, PRIV, Engine, Keys, User
from collectors.snmp.v3 import V3Session
from hub.api import TryAgain
from tests.snmp_support import FakeSession, free_udp_port, polling, real_snmpd

PASSWORD, SECRET = b"pagi-di-balige", b"malam-di-laguboti"
ENGINE = bytes.fromhex("000000000000000000000002")
NET_SNMP_AUTH = {
    "md5": "MD5",
    "sha1": "SHA",
    "sha224": "SHA-224",
    "sha256": "SHA-256",
    "sha384": "SHA-384",
    "sha512": "SHA-512",
}
NET_SNMP_PRIV = {"des": "DES", "aes128": "AES", "aes192": "AES-192", "aes256": "AES-256"}
LEVELS = [("", ""), *((auth, "") for auth in AUTH)] + [
    (auth, priv) for auth in AUTH for priv in NET_SNMP_PRIV
]


def name_of(auth: str, priv: str) -> str:
    return f"u-{auth or 'none'}-{priv or 'none'}"


def user(auth: str = "sha256", priv: str = "aes128", name: str = "", **more: Any) -> User:
    values = {"auth_password": PASSWORD if auth else b"", "priv_password": SECRET if priv else b""}
    return User(name or name_of(auth, priv), auth, priv=priv, **{**values, **more})


KEYS = usm.keys(user(), ENGINE)
ASKED = pdu_request(GET, [SYS_UPTIME]).datagram(1 << 24)
GENUINE = usm.seal(user(), KEYS, Engine(ENGINE, 1, 1), 1 << 24, ASKED, 7)


def conf_lines() -> str:
    lines = []
    for auth, priv in LEVELS:
        name = name_of(auth, priv)
        words = f" {NET_SNMP_AUTH[auth]} {PASSWORD.decode()}" if auth else ""
        words += f" {NET_SNMP_PRIV[priv]} {SECRET.decode()}" if priv else ""
        level = "priv" if priv else "auth" if auth else "noauth"
        lines.append(f"createUser {name}{words}\nrouser {name} {level}\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def snmpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("snmpd3")
    with real_snmpd(folder, conf_lines=conf_lines()) as port:
        yield port


@asynccontextmanager
async def session(
    port: int, who: User, timeout_s: float = 5.0, retries: int = 0
) -> AsyncIterator[V3Session]:
    endpoint = await Endpoint.open()
    try:
        yield V3Session(endpoint, ("127.0.0.1", port), who, timeout_s, retries)
    finally:
        endpoint.close()


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ("md5", "526f5eed9fcce26f8964c2930787d82b"),
        ("sha1", "6695febc9288e36282235fc7151f128497b38f3f"),
    ],
)
def test_keys_are_those_of_rfc_3414_appendix_a3(auth: str, expected: str) -> None:
    assert usm.keys(User("u", auth, b"maplesyrup"), ENGINE).auth.hex() == expected


def test_a_long_key_is_extended_as_the_drafts_say() -> None:
    plain = usm.keys(user("sha1", "aes128"), ENGINE)
    local = usm.localized(usm.master_key(SECRET, "sha1"), ENGINE, "sha1")
    assert plain.priv == local[:16]
    blumenthal = usm.keys(user("sha1", "aes256"), ENGINE).priv
    assert blumenthal == (local + hashlib.sha1(local).digest())[:32]
    reeder = usm.keys(user("sha1", "aes256c"), ENGINE).priv
    again = usm.localized(usm.master_key(local, "sha1"), ENGINE, "sha1")
    assert reeder == (local + again)[:32]


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize("priv", ["", *PRIV])
@pytest.mark.parametrize("auth", AUTH)
def test_what_is_sealed_can_be_opened_by_the_same_user_only(auth: str, priv: str) -> None:
    who, engine = user(auth, priv), Engine(ENGINE, 3, 4711)
    keys = usm.keys(who, ENGINE)
    data = usm.seal(who, keys, engine, 0x01020304, ASKED, 99)
    envelope = usm.read(data)
    assert (envelope.message_id, envelope.engine) == (0x01020304, engine)
    assert usm.genuine(who, keys, envelope)
    assert usm.unseal(who, keys, envelope).varbinds == [(SYS_UPTIME, None)]
    other = usm.keys(user(auth, priv, auth_password=b"another one"), ENGINE)
    assert not usm.genuine(who, other, envelope)
    assert (SYS_UPTIME in data) == (not priv)
    for at in range(len(data)):
        changed = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        with suppress(Malformed):
            assert not usm.genuine(who, keys, usm.read(changed)), f"octet {at}"


@given(st.binary(max_size=300))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    with suppress(Malformed):
        usm.unseal(user(), KEYS, usm.read(data))


@given(st.integers(0, len(GENUINE)), st.binary(max_size=4), st.integers(0, 4))
def test_a_spoilt_message_is_malformed_or_not_genuine(at: int, put: bytes, less: int) -> None:
    spoilt = GENUINE[:at] + put + GENUINE[at + less :]
    with suppress(Malformed):
        envelope = usm.read(spoilt)
        assert spoilt == GENUINE or not usm.genuine(user(), KEYS, envelope)
        usm.unseal(user(), KEYS, envelope)


# ---------------------------------------------------------------- against snmpd


@pytest.mark.parametrize(("auth", "priv"), LEVELS, ids=[name_of(*level) for level in LEVELS])
async def test_every_level_and_protocol_is_understood_by_snmpd(
    snmpd: int, auth: str, priv: str
) -> None:
    async with session(snmpd, user(auth, priv)) as asking:
        reply = await asking.get([SYS_NAME])
        assert reply.varbinds == [(SYS_NAME, b"toba-router")]
        page = await asking.bulk(IF_NAME, 2)
        assert page.error_status == 0
        assert b"lo" in [value for _, value in page.varbinds]
        query = Query([SYS_UPTIME, SYS_NAME])
        for _ in range(2):
            assert (await asking.send(query)).varbinds[1] == (SYS_NAME, b"toba-router")


@pytest.mark.parametrize(
    ("who", "says"),
    [
        (user("sha256", "", name="nobody"), "the agent knows no user 'nobody'"),
        (
            user("sha256", "", auth_password=b"not-this-one"),
            "wrong authentication password or protocol for user 'u-sha256-none'",
        ),
        (
            user("sha512", "", name="u-sha256-none"),
            "wrong authentication password or protocol for user 'u-sha256-none'",
        ),
        (user("", "", name="u-sha256-aes128"), "an error-status"),
        (
            user("sha256", "aes128", priv_password=b"not-this-one"),
            "wrong privacy password or protocol",
        ),
        (user("sha256", "aes256", name="u-sha256-aes128"), "wrong privacy password or protocol"),
        (user("sha256", "aes128", name="u-sha256-none"), "does not allow user 'u-sha256-none'"),
    ],
    ids=["user", "password", "protocol", "level", "priv password", "priv protocol", "no priv"],
)
async def test_each_refusal_says_what_to_mend(snmpd: int, who: User, says: str) -> None:
    async with session(snmpd, who, timeout_s=1.0) as asking:
        if says == "an error-status":
            reply = await asking.get([SYS_NAME])
            assert reply.error == "authorizationError"
            return
        with pytest.raises(Refused) as raised:
            await asking.get([SYS_NAME])
    assert says in str(raised.value)
    assert PASSWORD.decode() not in str(raised.value)


async def test_nobody_there_is_no_refusal() -> None:
    async with session(free_udp_port(), user(), timeout_s=0.05) as asking:
        with pytest.raises(NoAnswer):
            await asking.get([SYS_NAME])


async def test_another_device_at_the_same_address_is_recognised(tmp_path: Path) -> None:
    """A router that was swapped has another engine, so other keys from the same password."""
    port = free_udp_port()
    counted: list[str] = []
    endpoint = await Endpoint.open()
    asking = V3Session(endpoint, ("127.0.0.1", port), user(), 5.0, 2, counted.append)
    try:
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            lines = f"engineID device-{number}\n{conf_lines()}"
            with real_snmpd(folder, port, conf_lines=lines):
                assert (await asking.get([SYS_NAME])).error_status == 0
    finally:
        endpoint.close()
    assert counted == ["engines_found", "engines_changed"]


class Agent(asyncio.DatagramProtocol):
    """A v3 agent of three lines: its clock may run anywhere, and it may lie."""

    def __init__(self, boots: int, time_s: int) -> None:
        self.engine = Engine(b"\x80\x00\x00\x00\x05agent", boots, time_s)
        self.who = user()
        self.keys = usm.keys(self.who, self.engine.id)
        self.windows = 0
        self.forge = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        asked = usm.read(data)
        if asked.engine.id != self.engine.id:
            self.report(asked, usm.UNKNOWN_ENGINE, addr)
        elif asked.engine.boots != self.engine.boots:
            self.windows += 1
            self.report(asked, usm.NOT_IN_TIME_WINDOW, addr)
        else:
            inside = usm.unseal(self.who, self.keys, asked)
            keys = Keys(b"forged" * 6, self.keys.priv) if self.forge else self.keys
            self.send(asked, self.who, keys, answer_pdu(inside), addr)

    def report(self, asked: usm.Envelope, name: bytes, addr: Any) -> None:
        plain = User(asked.user.decode())
        pdu = with_value(codec.REPORT, name, codec.integer(1, codec.COUNTER32))
        self.send(asked, plain, Keys(b"", b""), pdu, addr)

    def send(
        self, asked: usm.Envelope, who: User, keys: Keys, pdu: codec.Request, addr: Any
    ) -> None:
        data = usm.seal(who, keys, self.engine, asked.message_id, pdu.datagram(asked.message_id), 1)
        self.transport.sendto(data, addr)


def with_value(pdu: int, name: bytes, value: bytes) -> codec.Request:
    tail = codec.integer(0) * 2 + codec.tlv(0x30, codec.tlv(0x30, codec.tlv(6, name) + value))
    return codec.Request(bytes((pdu, 6 + len(tail))) + b"\x02\x04", tail)


def answer_pdu(asked: codec.Message) -> codec.Request:
    return with_value(codec.RESPONSE, asked.varbinds[0][0], codec.tlv(4, b"toba-router"))


@asynccontextmanager
async def listening(agent: Agent) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: agent, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def test_an_agent_that_forgot_how_often_it_booted_is_followed() -> None:
    """Some keep no count over a restart; by the letter of the RFC they'd be lost for ever."""
    agent = Agent(boots=7, time_s=1000)
    async with listening(agent) as port, session(port, user()) as asking:
        await asking.get([SYS_NAME])
        agent.engine = agent.engine._replace(boots=1, time_s=5)
        assert (await asking.get([SYS_NAME])).varbinds == [(SYS_NAME, b"toba-router")]
        assert agent.windows == 1
        await asking.get([SYS_NAME])
    assert agent.windows == 1


async def test_an_agent_that_restarted_is_asked_again_with_its_new_clock() -> None:
    agent = Agent(boots=7, time_s=1000)
    async with listening(agent) as port, session(port, user()) as asking:
        for boots in (7, 8, 9):
            agent.engine = agent.engine._replace(boots=boots, time_s=0)
            assert (await asking.get([SYS_NAME])).varbinds == [(SYS_NAME, b"toba-router")]
    assert agent.windows == 2


async def test_a_forged_answer_is_counted_and_never_believed() -> None:
    agent = Agent(boots=1, time_s=1)
    ignored: list[str] = []
    async with listening(agent) as port:
        endpoint = await Endpoint.open(count=ignored.append)
        asking = V3Session(endpoint, ("127.0.0.1", port), user(), 0.2, 0)
        agent.forge = True
        with pytest.raises((NoAnswer, Refused)):
            await asking.get([SYS_NAME])
        endpoint.close()
    assert ignored == ["forged"]


# ---------------------------------------------------------------- through the collector

SETTINGS = {
    "credentials": {
        "opd-v3": {
            "version": 3,
            "user": "u-sha256-aes128",
            "auth": "SHA-256",
            "auth_password": PASSWORD.decode(),
            "priv": "AES",
            "priv_password": SECRET.decode(),
        },
        "wrong": {
            "version": "3",
            "user": "u-sha256-aes128",
            "auth": "sha256",
            "auth_password": "not-this-one",
        },
    },
    "timeout_s": 5,
}


async def test_a_device_is_polled_in_all_tiers_by_v3(snmpd: int) -> None:
    async with polling(snmpd, credential="opd-v3", settings=SETTINGS) as poller:
        found = await poller.device("liveness", "inventory", "health")
        assert (found["up"], found["refused"], found["sys_name"]) == (1, 0, "toba-router")
        async with asyncio.timeout(30):
            while "lo" not in await poller.ports("traffic"):
                await asyncio.sleep(0.1)


async def test_a_device_that_refuses_us_is_up_and_says_so(snmpd: int) -> None:
    async with polling(snmpd, credential="wrong", settings=SETTINGS) as poller:
        with pytest.raises(TryAgain) as raised:
            await poller.poll("liveness")
    (reading,) = poller.emit.readings
    assert reading.fields == {"up": 1, "refused": 1}
    said = str(raised.value)
    assert "r1: wrong authentication password or protocol for user 'u-sha256-aes128'" in said
    assert "mend credential wrong" in said
    assert "not-this-one" not in said


async def test_a_user_without_rights_is_refused_once_a_tier(tmp_path: Path) -> None:
    """Not a line for each object, no port that goes missing, no walk that is said to be cut."""
    rights = f"createUser toba SHA-256 {PASSWORD.decode()}\nrouser toba priv\n"
    who = {"version": "3", "user": "toba", "auth": "sha256", "auth_password": PASSWORD.decode()}
    more: dict[str, Any] = {"credential": "opd", "settings": {"credentials": {"opd": who}}}
    with real_snmpd(tmp_path, conf_lines=rights) as port:
        async with polling(port, **more) as poller:
            for tier in ("liveness", "traffic", "health", "inventory"):
                with pytest.raises(TryAgain, match=r"denies user 'toba' \(authNoPriv\) these obj"):
                    await poller.poll(tier)
            assert poller.host.log.lines == []
            said = [dict(reading.fields) for reading in poller.emit.readings]
            assert said == 4 * [{"up": 1, "refused": 1}]


async def test_one_object_that_is_denied_is_not_everything() -> None:
    def spoil(method: str, asked: int, reply: Reply) -> Reply:
        touched = any(name == SYS_NAME for name, _ in reply.varbinds)
        return Reply(codec.AUTHORIZATION_ERROR, 2, [], 0.0) if touched else reply

    values = {dotted(SYS_UPTIME): 4711, dotted(SYS_NAME): b"r1", dotted(IF_NAME) + ".1": b"lo"}
    reader = Reader(FakeSession(values, spoil), 40, 50)
    names = (SYS_NAME, oid(dotted(IF_NAME) + ".1"))
    (page,) = [page async for page in reader.read(Plan([1], [names]))]
    assert page.rows == [(1, [codec.Absent.UNREADABLE, b"lo"])]
    assert "authorizationError at 1.3.6.1.2.1.1.5.0" in reader.told_of_skipped()
