"""The event stream: coalesced, bounded, and safe to come back to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from hub.clock import NS, monotonic
from hub.web import stream
from hub.web.address import PortTaken, listen
from hub.web.app import create_app
from hub.web.problems import WebProblem
from hub.web.serving import serve
from hub.web.stream import EventStream, Feed, event
from tests.web_support import FakeBackend


def parsed(body: bytes) -> tuple[str, dict[str, Any]]:
    lines = dict(line.split(": ", 1) for line in body.decode().strip().split("\n") if line)
    return lines["event"], json.loads(lines["data"])


async def feed_of(backend: FakeBackend, **more: Any) -> Feed:
    feed = Feed(backend, **more)
    await feed.beat()
    return feed


async def test_a_delta_has_the_latest_of_each_device_once_however_much_happened() -> None:
    backend = FakeBackend()
    backend.observe("environment", "aq-1", {"pm25": 1.0}, sensor="a")
    feed = await feed_of(backend)
    seen, _ = await feed.snapshot()
    for value in range(1000):
        backend.time_ns += 1_000_000
        backend.observe("environment", "aq-1", {"pm25": float(value)}, sensor="a")
    await feed.beat()
    event, delta = parsed(b"".join(feed.since(seen)))
    assert event == "delta"
    assert [one["id"] for one in delta["devices"]] == ["aq-1"]
    assert delta["devices"][0]["headline"][0]["value"] == 999.0
    assert delta["alerts"] is None
    assert len(delta["devices"][0]["spark"]) == 1


async def test_nothing_new_is_nothing_sent() -> None:
    feed = await feed_of(FakeBackend())
    seen, _ = await feed.snapshot()
    await feed.beat()
    assert feed.since(seen) == ()


async def test_a_slow_client_gets_everything_it_missed_in_one_delta() -> None:
    backend = FakeBackend()
    feed = await feed_of(backend)
    seen, _ = await feed.snapshot()
    for beat in range(40):
        backend.time_ns += NS
        backend.observe("environment", "aq-1", {"pm25": float(beat)}, sensor="a")
        if beat == 3:
            backend.observe("device", "r-dlh", {"up": 1, "rtt_ms": 2.0}, probe="icmp")
            backend.fire("pm25", "aq-1", "critical")
        await feed.beat()
    _, delta = parsed(b"".join(feed.since(seen)))
    assert {one["id"] for one in delta["devices"]} == {"aq-1", "r-dlh"}
    assert [one["rule"] for one in delta["alerts"]] == ["pm25"]
    assert delta["counts"]["alerts"]["critical"] == 1


async def test_an_alert_is_told_at_once_and_not_at_the_next_beat() -> None:
    backend = FakeBackend()
    feed = await feed_of(backend, beat_s=60.0)
    running = asyncio.create_task(feed.run())
    events = feed.events()
    try:
        async with asyncio.timeout(5):
            assert parsed((await anext(events)).removeprefix(b"retry: 2000\n\n"))[0] == "snapshot"
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.3)  # the first beat is over, the next one is a minute away
            backend.fire("router_down", "r-a")
            event, delta = parsed(await waiting)
        assert event == "delta"
        assert [alert["rule"] for alert in delta["alerts"]] == ["router_down"]
        assert delta["counts"] is None
    finally:
        feed.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await events.aclose()  # type: ignore[attr-defined]


async def test_an_alert_that_comes_while_a_client_takes_an_event_does_not_wait_for_a_beat() -> None:
    backend = FakeBackend()
    feed = await feed_of(backend)
    events = feed.events()
    async with asyncio.timeout(5):
        await anext(events)
        # The client has not asked for more yet: its last event is still on the way to it.
        backend.fire("router_down", "r-a")
        assert feed._tell_alerts()
        event, delta = parsed(await anext(events))
    assert event == "delta"
    assert [alert["rule"] for alert in delta["alerts"]] == ["router_down"]
    await events.aclose()  # type: ignore[attr-defined]


async def test_an_alert_comes_between_the_parts_of_a_long_event() -> None:
    backend = FakeBackend()
    feed = await feed_of(backend)
    events = feed.events()
    await anext(events)
    feed.since = lambda number: (event("delta", {"n": 1}), event("delta", {"n": 2}))  # type: ignore[method-assign]
    feed.beat_alerts()
    feed._wake()
    async with asyncio.timeout(5):
        assert parsed(await anext(events))[1] == {"n": 1}
        backend.fire("router_down", "r-a")
        assert feed._tell_alerts()
        told = parsed(await anext(events))[1]
        assert [alert["rule"] for alert in told["alerts"]] == ["router_down"]
        assert parsed(await anext(events))[1] == {"n": 2}
    await events.aclose()  # type: ignore[attr-defined]


async def test_many_devices_are_told_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "TOGETHER", 2)
    backend = FakeBackend()
    feed = await feed_of(backend)
    seen, _ = await feed.snapshot()
    heard = sorted(backend.inventory.devices)[:5]
    for device in heard:
        backend.observe("device", device, {"up": 1}, probe="icmp")
    await feed.beat()
    parts = [parsed(body)[1] for body in feed.since(seen)]
    assert [len(part["devices"]) for part in parts] == [2, 2, 1]
    assert sorted(one["id"] for part in parts for one in part["devices"]) == heard
    assert [part["health"] is None for part in parts] == [False, True, True]


async def test_a_state_that_changes_by_time_alone_is_told() -> None:
    backend = FakeBackend()
    backend.observe("environment", "aq-1", {"pm25": 1.0}, sensor="a")
    feed = await feed_of(backend)
    seen, _ = await feed.snapshot()
    backend.time_ns += 600 * NS
    await feed.beat()
    _, delta = parsed(b"".join(feed.since(seen)))
    assert [(one["id"], one["state"]) for one in delta["devices"]] == [("aq-1", "no_data")]


async def test_one_alert_more_is_told_of_a_device_whose_state_stays_the_same() -> None:
    backend = FakeBackend()
    backend.observe("environment", "aq-1", {"pm25": 60.0}, sensor="a")
    backend.fire("pm25", "aq-1")
    feed = await feed_of(backend)
    seen, _ = await feed.snapshot()
    for rule, number in (("humidity", 2), ("battery", 3)):
        backend.fire(rule, "aq-1")
        await feed.beat()
        _, delta = parsed(b"".join(feed.since(seen)))
        (now,) = delta["devices"]
        assert (now["id"], now["state"], now["alerts"]) == ("aq-1", "warning", number)
    del backend.current["pm25/aq-1"]
    await feed.beat()
    _, delta = parsed(b"".join(feed.since(seen)))
    assert delta["devices"][0]["alerts"] == 2


async def test_a_new_inventory_starts_every_client_over() -> None:
    backend = FakeBackend()
    feed = await feed_of(backend)
    events = feed.events()

    async def scene() -> None:
        assert parsed((await anext(events)).partition(b"\n\n")[2])[0] == "snapshot"
        del backend.inventory.devices["cam-1"]
        backend.inventory.generation += 1
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await feed.beat()
        feed._wake()
        event, snapshot = parsed(await waiting)
        assert event == "snapshot"
        assert "cam-1" not in {one["id"] for one in snapshot["inventory"]}
        await events.aclose()  # type: ignore[attr-defined]

    await scene()


async def test_a_client_that_reads_nothing_is_let_go_and_holds_one_event_at_most() -> None:
    backend = FakeBackend()
    feed = Feed(backend, beat_s=0.01)
    beating = asyncio.create_task(feed.run())
    started: list[dict[str, Any]] = []

    async def stuck(message: Any) -> None:
        started.append(message)
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def silent() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async with asyncio.timeout(5):
        await EventStream(feed.events(), send_s=0.05)({"type": "http"}, silent, stuck)
    assert len(started) == 2
    assert feed.clients == 0
    beating.cancel()


async def test_only_so_many_clients_are_taken() -> None:
    feed = await feed_of(FakeBackend(), max_clients=2)
    feed.clients = 2
    with pytest.raises(WebProblem, match="2 boards are open"):
        feed.admit()
    assert feed.refused == 1


@contextlib.asynccontextmanager
async def running(backend: FakeBackend, **more: Any) -> AsyncIterator[tuple[str, Any, Any]]:
    """The app on a real port; the address, the app and the serving task."""
    app = create_app(backend, auth="demo", **more)
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, port=0, started=port.set_result))
    try:
        yield f"http://127.0.0.1:{await port}", app, task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        while b"\n\n" in body:
            one, _, body = body.partition(b"\n\n")
            if b"event: " in one:
                yield parsed(one)


async def test_a_real_stream_starts_with_everything_and_tells_at_most_twice_a_second() -> None:
    backend = FakeBackend()
    async with (
        asyncio.timeout(20),
        running(backend) as (url, _, _),
        aiohttp.ClientSession() as http,
        http.get(f"{url}/api/v1/stream") as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = events(response)
        assert (await anext(stream))[0] == "snapshot"

        async def busy() -> None:
            value = 0.0
            while True:
                value += 1
                backend.time_ns += 3_000_000
                backend.observe("environment", "aq-1", {"pm25": value}, sensor="a")
                await asyncio.sleep(0.003)

        noise = asyncio.create_task(busy())
        start, deltas = monotonic(), 0
        async for event, _ in stream:
            deltas += event == "delta"
            if monotonic() - start > 2.6:
                break
        noise.cancel()
        assert 2 <= deltas <= 6


async def test_a_stream_with_nothing_to_say_says_that_it_is_alive() -> None:
    backend = FakeBackend()
    feed = await feed_of(backend, beat_s=0.01, heartbeat_s=0.0)
    beating = asyncio.create_task(feed.run())
    stream = feed.events()
    async with asyncio.timeout(5):
        await anext(stream)
        assert parsed(await anext(stream))[0] == "alive"
    await stream.aclose()  # type: ignore[attr-defined]
    beating.cancel()


async def test_stopping_ends_open_streams_at_once() -> None:
    async with (
        asyncio.timeout(20),
        aiohttp.ClientSession() as http,
        running(FakeBackend()) as (url, app, task),
    ):
        response = await http.get(f"{url}/api/v1/stream")
        stream = events(response)
        await anext(stream)
        assert app.state.feed.clients == 1
        start = monotonic()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert monotonic() - start < 2.5
        assert [event async for event in stream] == []
        assert app.state.feed.clients == 0


async def test_a_browser_that_leaves_frees_its_place() -> None:
    async with asyncio.timeout(20), running(FakeBackend()) as (url, app, _):
        async with aiohttp.ClientSession() as http:
            response = await http.get(f"{url}/api/v1/stream")
            await anext(events(response))
            response.close()
        while app.state.feed.clients:
            await asyncio.sleep(0.02)


async def test_one_board_too_many_hears_when_to_come_back() -> None:
    async with (
        asyncio.timeout(20),
        running(FakeBackend(), max_streams=1) as (url, _, _),
        aiohttp.ClientSession() as http,
        http.get(f"{url}/api/v1/stream") as first,
    ):
        await anext(events(first))
        async with http.get(f"{url}/api/v1/stream") as second:
            assert second.status == 503
            assert second.headers["retry-after"] == "10"


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PortTaken, match=r"port \d+ on 127.0.0.1 is in use.*web.port"):
            listen("127.0.0.1", other.getsockname()[1])


async def test_an_alert_is_told_in_the_middle_of_a_long_look_at_thousands_of_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.web.pace.SLICE_S", 0.0)
    backend = FakeBackend()
    feed = await feed_of(backend)
    seen, _ = await feed.snapshot()
    backend.observe("environment", "aq-1", {"pm25": 5.0}, sensor="a")
    beating = asyncio.create_task(feed.beat())
    await asyncio.sleep(0)
    backend.fire("router_down", "r-dlh", "critical")
    for _ in range(3):
        await asyncio.sleep(0)
    assert not beating.done()
    _, delta = parsed(b"".join(feed.since(seen)))
    assert [alert["rule"] for alert in delta["alerts"]] == ["router_down"]
    await beating
    await feed.beat()
    _, delta = parsed(b"".join(feed.since(seen)))
    assert {one["id"] for one in delta["devices"]} == {"aq-1", "r-dlh"}
    assert delta["counts"] is not None
