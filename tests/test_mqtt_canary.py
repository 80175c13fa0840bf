"""Brokers that are connected and deliver nothing, that forbid the canary, that lose messages."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import hub
from collectors.mqtt import collector as module
from collectors.mqtt.canary import REFUSALS, Canary
from collectors.mqtt.config import Broker
from collectors.mqtt.losses import Losses
from hub.api import TryAgain
from tests.collector_support import FakeHost, until
from tests.mosquitto_support import Mosquitto, broker
from tests.test_mqtt_transport import Line, body, listening, say
from tests.test_mqtt_trouble import Wire

OWN = "toba/v1/hub/canary/toba-hub"
COMPLAINT = "no canary: a broker that is connected but delivers nothing will not be found"
PUBLISH = 3


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELL_S", 0.05)


class DeafWire(Wire):
    """A relay that, once told to, holds back the broker's PUBLISHes and lets all else pass."""

    deaf = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._tasks.add(asyncio.create_task(self._pump(reader, back)))
        self._tasks.add(asyncio.create_task(self._packets(there, writer)))

    async def _packets(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while True:
                packet = await one_packet(source)
                if not (self.deaf and packet[0] >> 4 == PUBLISH):
                    sink.write(packet)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            sink.close()


async def one_packet(source: asyncio.StreamReader) -> bytes:
    """A whole MQTT packet: type, remaining length (seven bits a byte), the rest."""
    head = await source.readexactly(2)
    while head[-1] & 0x80:
        head += await source.readexactly(1)
    length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1:]))
    return head + await source.readexactly(length)


@asynccontextmanager
async def deaf_wire(port: int) -> AsyncIterator[DeafWire]:
    wire = DeafWire(port)
    await wire.open()
    try:
        yield wire
    finally:
        await wire.close()


def reasons(line: Line) -> list[str]:
    return [str(values.get("reason", "")) for _, _, values in line.host.log.lines]


def standing(line: Line) -> dict[str, int]:
    return line.host.told.get("broker main", {})


async def test_a_broker_that_is_connected_but_delivers_nothing_is_found_and_connected_anew(
    server: Mosquitto, protocol: int
) -> None:
    async with (
        deaf_wire(server.port) as wire,
        listening(wire.port, protocol, canary_s=0.2) as line,
    ):
        await until(lambda: standing(line) == {"broker_up": 1, "broker_deaf": 0})
        await until(lambda: server.log().count(f"'{OWN}'") > 4, "canaries that come and go")
        wire.deaf = True
        await until(lambda: standing(line).get("broker_deaf") == 1, "called deaf")
        why = "connected but deaf: nothing was delivered for 0.2 s"
        await until(lambda: any(why in reason for reason in reasons(line)), "said why")
        await until(lambda: wire.connections >= 2, "connected anew")
        wire.deaf = False
        await until(lambda: standing(line) == {"broker_up": 1, "broker_deaf": 0}, "heard again")
        await say(server, body(1))
        await until(lambda: line.values() == [1.0])
    assert line.host.counts["deaf"] >= 1
    assert line.values() == [1.0], "a canary is no reading"
    assert line.host.refused == []


async def test_silence_is_not_judged_while_our_own_journal_holds_messages_up(
    server: Mosquitto, protocol: int
) -> None:
    async with (
        deaf_wire(server.port) as wire,
        listening(wire.port, protocol, canary_s=0.05) as line,
    ):
        await until(lambda: server.log().count(f"'{OWN}'") > 4)
        line.emit.hold()
        await say(server, body(1))
        await until(lambda: line.values() == [1.0])
        wire.deaf = True
        before = server.log().count(f"'{OWN}'")
        await asyncio.sleep(0.5)  # ten periods in which nothing may happen
        assert line.downs() == 0
        assert server.log().count(f"'{OWN}'") <= before + 2
        line.emit.release()
        await until(lambda: line.downs() == 1, "now it is the broker's fault")


@pytest.mark.parametrize("rights", ["topic read toba/v1/#", "topic write toba/v1/#"])
async def test_a_broker_that_forbids_the_canary_is_not_called_deaf_and_that_is_said_once(
    tmp_path: Path, protocol: int, rights: str
) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"topic readwrite toba/v1/+/+/+/telemetry\n{rights}\n")
    acl.chmod(0o644)
    with broker(tmp_path, f"acl_file {acl}\n") as server:
        async with listening(server.port, protocol, canary_s=0.05) as line:
            await until(lambda: COMPLAINT in line.host.log.events("warning"))
            # mosquitto hangs up on who publishes what it may not; that must not go on.
            await until(lambda: line.ups() == line.downs() + 1)
            downs = line.downs()
            assert downs <= REFUSALS
            for number in range(3):
                await say(server, body(number))
                await until(lambda number=number: len(line.values()) == number + 1)
            await asyncio.sleep(0.3)  # six periods more
            assert line.host.log.events("warning").count(COMPLAINT) == 1
            assert line.downs() == downs
            assert line.host.counts["deaf"] == 0
            [said] = [v for _, event, v in line.host.log.lines if event == COMPLAINT]
            assert OWN in said["remedy"]


async def test_the_shipped_rights_let_the_hub_hear_itself(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text(
        (Path(hub.__file__).parent / "deploy" / "mosquitto.acl").read_text(encoding="utf-8")
    )
    passwords = tmp_path / "passwd"
    passwords.write_text("hub:secret\n")
    for path in (acl, passwords):
        path.chmod(0o700)
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
    rights = f"allow_anonymous false\npassword_file {passwords}\nacl_file {acl}\nsys_interval 1\n"
    with broker(tmp_path, rights) as server:
        secret = {"username": "hub", "password": "secret"}
        async with listening(
            server.port, 5, canary_s=0.1, dropped_topic=Broker().dropped_topic, **secret
        ) as line:
            await until(lambda: server.log().count(f"'{OWN}'") > 4)
            await until(lambda: standing(line).get("broker_dropped") == 0, "told of its losses")
            assert COMPLAINT not in line.host.log.events()


async def test_what_the_broker_throws_away_is_told_once(tmp_path: Path, protocol: int) -> None:
    told: list[int] = []
    with broker(tmp_path, "max_queued_messages 5\nsys_interval 1\n") as server:
        async with listening(
            server.port, protocol, canary_s=0, dropped_topic=Broker().dropped_topic
        ) as line:
            tell = line.host.tell
            line.host.tell = lambda part, numbers: (  # type: ignore[method-assign]
                told.append(numbers.get("broker_lost", 0)),
                tell(part, numbers),
            )[1]
            await until(lambda: "broker_dropped" in standing(line))
            before = standing(line)["broker_dropped"]
            await absent_subscriber(server)
            for number in range(20):
                await say(server, b"x", f"elsewhere/{number}")
            await until(lambda: standing(line)["broker_dropped"] >= before + 15)
            await until(lambda: standing(line)["broker_lost"] == 0, "told once")
            assert sum(told) == standing(line)["broker_dropped"] - before
            assert line.host.counts["broker_dropped"] == sum(told)
            assert "the broker throws messages away" in line.host.log.events("error")
    assert line.host.refused == []


async def absent_subscriber(server: Mosquitto) -> None:
    """A client that keeps a session for `elsewhere/#` and is gone."""
    process = await asyncio.create_subprocess_exec(
        *("mosquitto_sub", "-p", str(server.port), "-i", "absent", "-c", "-q", "1"),
        *("-t", "elsewhere/#", "-E"),
    )
    assert await process.wait() == 0


# without a broker


def canary(**settings: Any) -> tuple[Canary, FakeHost]:
    host = FakeHost()
    return Canary(Broker(**settings), host), host


def test_a_broker_that_hangs_up_over_the_canary_gets_no_more_of_them() -> None:
    one, host = canary()
    for _ in range(REFUSALS):
        assert one.wanted
        one.next(0)
        one.ended()
    assert not one.wanted
    assert one.next(0) is None
    assert host.log.events("warning") == [COMPLAINT]


def test_a_broken_line_after_the_canary_came_back_once_is_no_refusal() -> None:
    one, _ = canary()
    one.next(0)
    one.back(b"")
    for _ in range(5):
        one.next(0)
        one.ended()
    assert one.wanted


def test_a_broker_stays_deaf_over_connections_until_something_is_heard() -> None:
    one, _ = canary()
    one.next(0)
    one.back(b"")
    one.next(0)
    for _ in range(2):
        with pytest.raises(TryAgain):
            one.next(0)
        one.ended()
        assert one.deaf
        one.next(0)
    one.heard()
    assert not one.deaf
    assert one.next(0)


def test_another_message_proves_as_much_as_the_canary() -> None:
    one, _ = canary()
    one.next(0)
    one.back(b"")
    one.next(0)
    one.heard()
    assert one.next(0)


def test_a_client_id_with_wildcards_makes_a_topic_without() -> None:
    one, _ = canary(client_id="a/b+c#")
    assert one.topic == "toba/v1/hub/canary/a_b_c_"


def test_a_broker_s_count_of_losses_may_begin_anew_and_may_be_nonsense() -> None:
    host = FakeHost()
    losses = Losses(Broker(), host)
    assert losses.numbers() == {}
    losses.told(b"7")
    assert losses.numbers() == {"broker_dropped": 7, "broker_lost": 0}
    for payload in (b"10", b"", b"many", b"2"):
        losses.told(payload)
    assert losses.numbers() == {"broker_dropped": 2, "broker_lost": 5}
    assert losses.numbers() == {"broker_dropped": 2, "broker_lost": 0}
