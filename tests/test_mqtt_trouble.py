"""What goes wrong between hub and broker: silence, half-open lines, lost sessions, TLS."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from collectors.mqtt.backoff import Backoff
from collectors.mqtt.link import (
    ENDED_AT_ONCE,
    MOMENT_S,
    SEVERAL,
    STABLE_S,
    TAKEN_OVER,
    HungUp,
    Link,
)
from tests.collector_support import FakeHost, until
from tests.mosquitto_support import Mosquitto, broker
from tests.test_mqtt_transport import TOPIC, Line, body, listening, say
from tests.virtual_time import run


class Wire:
    """A TCP relay that can go silent without closing, as a dead router does."""

    def __init__(self, to_port: int) -> None:
        self._to = to_port
        self.cut = False
        self.port = 0
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        for source, sink in ((reader, back), (there, writer)):
            self._tasks.add(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if not self.cut:
                    sink.write(data)
        except OSError:
            pass
        finally:
            sink.close()


async def test_a_line_that_went_silent_is_given_up_and_opened_anew(
    server: Mosquitto, protocol: int
) -> None:
    wire = Wire(server.port)
    await wire.open()
    try:
        async with listening(wire.port, protocol, keepalive_s=2) as line:
            wire.cut = True
            await until(lambda: line.downs() >= 1, "noticed")
            wire.cut = False
            await until(lambda: line.ups() == 2, "up again")
            await say(server, body(1))
            await until(lambda: line.values() == [1.0])
    finally:
        await wire.close()


def reasons(line: Line) -> list[str]:
    return [values["reason"] for _, _, values in line.host.log.lines if "reason" in values]


async def unfriendly(answer: bytes) -> asyncio.Server:
    """A server that answers anything with these bytes, and keeps the line open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        await reader.read()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "no answer within 0.5 s"),
        (b"HTTP/1.1 400 Bad Request\r\n" + b"x" * 100, "no MQTT 5"),
        (bytes([0x20, 2, 0, 1]), "protocol: 4"),
        (bytes([0x20, 3, 0, 0x84, 0]), "protocol: 4"),
        (b"\x30\xff\xff\xff\x7f" + b"x" * 100, "no answer within 0.5 s"),
    ],
)
async def test_whatever_answers_the_reason_is_named(answer: bytes, reason: str) -> None:
    server = await unfriendly(answer)
    line = Line(server.sockets[0].getsockname()[1], 5, connect_timeout_s=0.5)
    task = asyncio.create_task(line.collector().run(line.emit))
    try:
        await until(lambda: line.downs() >= 1)
        assert reason in line.host.log.lines[0][2]["reason"]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()


async def test_two_hubs_of_one_client_id_say_so_and_leave_it(
    server: Mosquitto, protocol: int
) -> None:
    async with listening(server.port, protocol) as one, listening(server.port, protocol) as other:
        for line in (one, other):
            await until(lambda line=line: reasons(line)[-1:] == [ENDED_AT_ONCE], "it is said")
        told = [len(line.host.log.lines) for line in (one, other)]
        again = one.host.counts["reconnects"] + 2
        await until(lambda: one.host.counts["reconnects"] >= again, "it went on")
        assert [len(line.host.log.lines) for line in (one, other)] == told, "once is enough"


async def test_a_broker_that_says_who_took_our_place_is_quoted() -> None:
    granted = b"\x20\x03\x00\x00\x00" + b"\x90\x05\x00\x01\x00\x01\x01"
    server = await unfriendly(granted + b"\xe0\x01\x8e")
    line = Line(server.sockets[0].getsockname()[1], 5)
    task = asyncio.create_task(line.collector().run(line.emit))
    try:
        await until(lambda: line.host.counts["reconnects"] > SEVERAL)
        assert set(reasons(line)) == {TAKEN_OVER}
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()


def test_connections_that_live_a_moment_are_waited_for_longer_whatever_they_brought() -> None:
    async def tell() -> None:
        host = FakeHost([])
        link = Link(
            "main", "127.0.0.1:1883", host, Backoff(longest_s=8, uniform=lambda _, most: most)
        )

        async def live(seconds: float) -> float:
            link.up()
            link.progress()
            await asyncio.sleep(seconds)
            link.progress()
            return link.down(HungUp())

        assert await live(MOMENT_S + 1) == 0.5, "that was more than a moment"
        assert [await live(1) for _ in range(8)] == [0.5, 0.5, 0.5, 1, 2, 4, 8, 8]
        assert await live(STABLE_S - 1) == 8, "until the other one's turn is no proof"
        assert host.log.events().count("broker is up") == 4
        assert await live(STABLE_S + 1) == 0.5
        assert host.log.events()[-2:] == ["broker is up", "broker is down"]
        assert host.log.lines[-1][2]["reason"] == "the broker hung up"

    run(tell())


async def test_an_endless_packet_ends_in_bounded_memory() -> None:
    head = b"\x20\x03\x00\x00\x00" + b"\x90\x04\x00\x01\x00\x01"
    server = await unfriendly(head + b"\x30\xff\xff\xff\x7f" + b"x" * (3 << 20))
    line = Line(server.sockets[0].getsockname()[1], 5)
    task = asyncio.create_task(line.collector().run(line.emit))
    try:
        await until(lambda: line.downs() >= 1)
        reasons = [values.get("reason", "") for _, _, values in line.host.log.lines]
        assert "more than 2097152 bytes" in "".join(reasons)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()


async def test_a_broker_that_forgot_our_session_is_reported(tmp_path: Path) -> None:
    with broker(tmp_path) as server:
        async with listening(server.port, 5) as line:
            await asyncio.to_thread(server.stop, kill=True)
            shutil.rmtree(tmp_path / f"store-{server.port}")
            (tmp_path / f"store-{server.port}").mkdir()
            await until(lambda: line.downs() >= 1)
            await asyncio.to_thread(server.start)
            await until(lambda: line.ups() == 2, "up again", 40)
            assert line.host.counts["sessions_lost"] == 1
            await say(server, body(1))
            await until(lambda: line.values() == [1.0])


async def test_a_first_visit_reports_no_lost_session(tmp_path: Path) -> None:
    server = Mosquitto(tmp_path)
    line = Line(server.port, 5)
    starting = asyncio.create_task(line.start())
    try:
        await until(lambda: line.downs() == 1, "tried before the broker ran")
        await asyncio.to_thread(server.start)
        await starting
        assert line.host.counts["sessions_lost"] == 0
    finally:
        await line.stop()
        await asyncio.to_thread(server.stop)


async def test_one_dead_broker_does_not_trouble_the_other(server: Mosquitto) -> None:
    line = Line(server.port, 5)
    dead = line.config.brokers[0].model_copy(update={"name": "dead", "port": 1})
    line.config.brokers.insert(0, dead)
    await line.start()
    try:
        await say(server, body(1))
        await until(lambda: line.values() == [1.0])
    finally:
        await line.stop()


async def test_a_subscription_that_the_broker_forbids_names_the_filter() -> None:
    # mosquitto 2.0 grants what it then does not deliver; other brokers say no (0x87)
    server = await unfriendly(b"\x20\x03\x00\x00\x00" + b"\x90\x05\x00\x01\x00\x87\x87")
    line = Line(server.sockets[0].getsockname()[1], 5)
    task = asyncio.create_task(line.collector().run(line.emit))
    try:
        await until(lambda: line.downs() >= 1)
        assert "toba/v1/+/+/+/telemetry" in line.host.log.lines[0][2]["reason"]
        assert "NOT_AUTHORIZED" in line.host.log.lines[0][2]["reason"]
        assert line.ups() == 0
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()


def certificates(folder: Path) -> None:
    """An authority and a server certificate for 127.0.0.1."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, cwd=folder, capture_output=True)

    name = ["-subj", "/CN=127.0.0.1", "-nodes", "-newkey", "rsa:2048"]
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("req", "-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem",
            "-subj", "/CN=test authority", "-nodes", "-newkey", "rsa:2048")  # fmt: skip
    openssl("req", *name, "-keyout", "server.key", "-out", "server.csr")
    openssl("x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", "server.pem", "-extfile", "san")  # fmt: skip


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_broker_behind_tls_is_believed_only_with_its_authority(
    tmp_path: Path, protocol: int
) -> None:
    certificates(tmp_path)
    settings = f"certfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key"
    with broker(tmp_path, settings) as server:
        trusting = {"ca_file": str(tmp_path / "ca.pem")}
        async with listening(server.port, protocol, tls=trusting) as line:
            await asyncio.to_thread(
                server.publish, TOPIC, body(1), "--cafile", str(tmp_path / "ca.pem")
            )
            await until(lambda: line.values() == [1.0])
        wary = Line(server.port, protocol, tls={})
        collector = wary.collector()
        await collector.start()
        task = asyncio.create_task(collector.run(wary.emit))
        try:
            await until(lambda: wary.downs() >= 1)
            assert "certificate" in wary.host.log.lines[0][2]["reason"].lower()
            assert wary.ups() == 0
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
