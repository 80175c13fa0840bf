"""What only InfluxDB can do: refuse, be overloaded, go away. Real 1.6 where it can be had."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hub.clock import now_ns
from hub.reading import Reading, Series
from hub.store.base import Batch, StoreDown, StoreRefused
from hub.store.influx import InfluxStore
from hub.store.influx_wire import is_far
from hub.store.query import Column, Query
from tests.influx_support import (
    StubAnswer,
    StubInflux,
    fetch,
    free_port,
    influxd,
    malformed_2,
    no_bucket,
    stub_influx,
    too_many,
    unauthorized,
    unavailable,
    victoria_metrics,
)

NOON = 1_760_000_000_000_000_000
SERIES = [Series.of("m", f"d{n}", port="a b,c=d") for n in range(7)]
EVERYTHING = Query("m", (Column("v"),), 0, NOON * 2)


def readings(count: int, bad: tuple[int, ...] = ()) -> list[Reading]:
    return [
        Reading(SERIES[n % 7], NOON + n, {"v": "poison" if n in bad else n / 7, "n": n})
        for n in range(count)
    ]


@dataclass
class Labels:
    given: dict[str, str] = field(default_factory=dict)
    generation: int = 0

    def labels(self, series: Series) -> dict[str, str]:
        return self.given


def stubbed(stub: StubInflux, **rest: object) -> InfluxStore:
    return InfluxStore(stub.url, "toba", org="regency", token="secret", **rest)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """InfluxDB 1.6 that wants a name and a password: admin may all, reader only read."""
    with influxd(tmp_path_factory.mktemp("guarded"), auth=True) as url:
        ask(url, "CREATE USER admin WITH PASSWORD 'p:ä' WITH ALL PRIVILEGES")
        ask(url, "CREATE USER reader WITH PASSWORD 'r'", "admin", "p:ä")
        yield url


def ask(url: str, statement: str, user: str = "", password: str = "") -> None:
    params = urllib.parse.urlencode({"q": statement, "u": user, "p": password})
    answer = json.loads(fetch(f"{url}/query?{params}", b""))
    assert "error" not in str(answer), answer


@pytest.mark.parametrize("compress", [True, False])
async def test_both_ways_of_writing_send_the_same_bytes(compress: bool) -> None:
    batch = Batch(
        [
            *readings(300),
            Reading(SERIES[0], NOON, {"t": 'q"uote \\ ü\n', "f, =": 5.0, "up": True}, 3),
        ],
        1,
    )
    async with stub_influx("1.8.10") as old, stub_influx("v2.9.1") as new:
        old_store = InfluxStore(old.url, "toba", way="write", compress=compress)
        new_store = stubbed(new, compress=compress)
        old.databases = ["toba"]
        for store in (old_store, new_store):
            store.labels = Labels({"site": "balige"})
            assert (await store.write(batch)).rejected == {}
            await store.close()
    [one], [other] = old.writes, new.writes
    assert one.body == other.body
    assert one.body.count(b"\n") == 301  # one of them in a string
    assert (one.path, one.query) == ("/write", {"db": "toba", "precision": "ns"})
    assert other.path == "/api/v2/write"
    assert other.query == {"org": "regency", "bucket": "toba", "precision": "ns"}
    assert other.headers["Authorization"] == "Token secret"
    for sent in (one, other):
        assert sent.headers.get("Content-Encoding") == ("gzip" if compress else None)
        assert sent.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("version", "path"), [("v2.9.1", "/api/v2/write"), ("3.10.0", "/api/v2/write")]
)
async def test_a_token_goes_by_the_client_and_a_password_by_write(version: str, path: str) -> None:
    async with stub_influx(version) as stub:
        store = stubbed(stub)
        await store.write(Batch(readings(1), 1))
        await store.close()
        named = InfluxStore(stub.url, "toba", username="u", password="p")
        await named.write(Batch(readings(1), 1))
        await named.close()
        assert [sent.path for sent in stub.writes] == [path, "/write"]
        assert stub.writes[1].headers["Authorization"] == "Basic dTpw"
        assert store.version == version


async def test_wrong_credentials_are_refused_and_the_remedy_named() -> None:
    async with stub_influx("v2.9.1") as stub:
        store = stubbed(stub)
        stub.answers = [unauthorized()]
        with pytest.raises(StoreRefused, match=r"401: unauthorized access; check store\.token"):
            await store.write(Batch(readings(3), 1))
        await store.close()
        stub.ping = unauthorized()  # InfluxDB 3 asks for a token here already
        with pytest.raises(StoreRefused, match="401"):
            await stubbed(stub).open()


async def test_a_missing_bucket_is_refused_and_the_remedy_named() -> None:
    async with stub_influx("v2.9.1") as stub:
        store = stubbed(stub)
        stub.answers = [no_bucket()]
        with pytest.raises(StoreRefused, match=r'bucket "toba" not found.*influx setup'):
            await store.write(Batch(readings(3), 1))
        await store.close()


async def test_a_batch_that_is_too_large_is_sent_in_parts_and_in_order() -> None:
    async with stub_influx("v2.9.1") as stub:
        stub.limit_bytes = 1000
        store = stubbed(stub)
        assert (await store.write(Batch(readings(100), 1))).rejected == {}
        await store.close()
    stored = [sent.body for sent in stub.writes if len(sent.body) <= 1000]
    times = [int(line.split()[-1]) for body in stored for line in body.split(b"\n")]
    assert times == [NOON + n for n in range(100)]


async def test_a_single_reading_that_is_too_large_is_rejected() -> None:
    async with stub_influx("v2.9.1") as stub:
        stub.limit_bytes = 200
        huge = Reading(SERIES[0], NOON, {"text": "x" * 300})
        store = stubbed(stub)
        written = await store.write(Batch([*readings(4), huge, *readings(4)], 1))
        await store.close()
    assert list(written.rejected) == [4]
    assert "too large" in written.rejected[4]


@pytest.mark.parametrize("answer", [too_many, unavailable])
async def test_an_overloaded_server_says_when_to_come_back(answer: object) -> None:
    async with stub_influx("v2.9.1") as stub:
        store = stubbed(stub)
        stub.answers = [
            answer("17"),
            answer(""),
            answer("Wed, 21 Oct 2015 07:28:00 GMT"),
            answer("soon"),
        ]  # type: ignore[operator]
        waits = []
        for _ in range(4):
            with pytest.raises(StoreDown) as caught:
                await store.write(Batch(readings(3), 1))
            waits.append(caught.value.retry_after_s)
        await store.close()
    assert waits == [17.0, None, 0.0, None]


@pytest.mark.parametrize("version", ["v2.9.1", "3.10.0"])
async def test_refused_points_are_found_and_all_others_stored(version: str) -> None:
    bad = (0, 13, 14, 200, 399)
    async with stub_influx(version) as stub:
        stub.poison = b"poison"
        store = stubbed(stub)
        written = await store.write(Batch(readings(400, bad), 1))
        await store.close()
    assert tuple(written.rejected) == bad
    assert all("v" in reason and "string" in reason for reason in written.rejected.values())
    clean = {
        line
        for sent in stub.writes
        if b"poison" not in sent.body
        for line in sent.body.split(b"\n")
    }
    assert len(clean) == 395
    assert len(stub.writes) <= 4


async def test_version_3_names_a_hundred_lines_at_a_time_and_all_are_found() -> None:
    bad = tuple(range(0, 900, 3))
    async with stub_influx("3.10.0") as stub:
        stub.poison = b"poison"
        store = stubbed(stub)
        written = await store.write(Batch(readings(900, bad), 1))
        await store.close()
    assert tuple(written.rejected) == bad
    assert len(stub.writes) == 4


async def test_a_line_that_cant_be_parsed_is_found_by_halving() -> None:
    async with stub_influx("v2.9.1") as stub:
        store = stubbed(stub)

        def judge(body: bytes) -> StubAnswer:
            return malformed_2("m v=") if b"n=37i" in body else StubAnswer(204)

        stub._judge = judge  # type: ignore[method-assign]
        written = await store.write(Batch(readings(64), 1))
        await store.close()
    assert list(written.rejected) == [37]
    assert written.rejected[37] == "unable to parse 'm v=': missing field value"
    assert len(stub.writes) == 13  # the whole, and two halves of each length down to one


async def test_a_bad_request_that_blames_no_point_parks_nothing() -> None:
    async with stub_influx("v2.9.1") as stub:
        store = stubbed(stub)
        stub.answers = [StubAnswer(400, '{"code":"invalid","message":"org regency is suspended"}')]
        with pytest.raises(StoreRefused, match="org regency is suspended"):
            await store.write(Batch(readings(3), 1))
        assert len(stub.writes) == 1
        await store.close()


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_server_in_trouble_is_tried_again_later(status: int) -> None:
    async with stub_influx("v2.9.1") as stub:
        store = stubbed(stub)
        stub.answers = [StubAnswer(status, "<html><h1>oh</h1> no</html>")]
        with pytest.raises(StoreDown, match=f"{status}: oh no"):
            await store.write(Batch(readings(3), 1))
        await store.close()


async def test_what_is_no_influxdb_is_refused() -> None:
    async with stub_influx("") as stub:
        with pytest.raises(StoreRefused, match="names no version"):
            await stubbed(stub).open()


async def test_a_server_that_is_not_there_is_down() -> None:
    store = InfluxStore(f"http://127.0.0.1:{free_port()}", "toba")
    with pytest.raises(StoreDown, match="can't be reached"):
        await store.open()
    with pytest.raises(StoreDown, match="can't be reached"):
        await store.write(Batch(readings(1), 1))


async def test_a_server_that_hangs_is_down(hanging: str) -> None:
    for way in ("write", "client"):
        store = InfluxStore(hanging, "toba", timeout_s=0.3, way=way, token="x")  # type: ignore[arg-type]
        with pytest.raises(StoreDown, match=r"no answer for 0\.3 s"):
            await store.write(Batch(readings(1), 1))
        await store.close()


@pytest.fixture
def hanging() -> Iterator[str]:
    """A port that takes connections and never answers a write; /ping is answered."""
    leave = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.send_header("X-Influxdb-Version", "v2.9.1")
            self.end_headers()

        def do_POST(self) -> None:
            leave.wait(30)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        leave.set()
        server.shutdown()
        server.server_close()
        thread.join()


async def test_the_database_is_made_on_a_real_server_and_spared_the_second_time(
    tmp_path: Path,
) -> None:
    with influxd(tmp_path) as url:
        store = InfluxStore(url, "Dinas 'Kominfo', Toba")
        await store.write(Batch(readings(3), 1))
        await store.close()
        again = InfluxStore(url, "Dinas 'Kominfo', Toba", create_database=False)
        [found] = await again.query(EVERYTHING)
        assert len(found.rows) == 3
        assert again.version.startswith("1.6.7")
        await again.close()
        with pytest.raises(StoreRefused, match=r"no database 'other'.*influx setup"):
            await InfluxStore(url, "other", create_database=False).open()
        with pytest.raises(StoreRefused, match=r"invalid name; check store\.database"):
            await InfluxStore(url, "a/b").open()


async def test_a_database_that_was_dropped_is_named(tmp_path: Path) -> None:
    with influxd(tmp_path) as url:
        store = InfluxStore(url, "toba")
        await store.write(Batch(readings(3), 1))
        ask(url, "DROP DATABASE toba")
        with pytest.raises(StoreRefused, match=r'database not found: \\?"toba'):
            await store.write(Batch(readings(3), 1))
        with pytest.raises(StoreRefused, match="database not found"):
            await store.query(EVERYTHING)
        await store.close()


async def test_a_server_that_went_away_and_came_back_is_used_again(tmp_path: Path) -> None:
    port = free_port()
    with influxd(tmp_path, port=port) as url:
        store = InfluxStore(url, "toba")
        await store.write(Batch(readings(3), 1))
    with pytest.raises(StoreDown):
        await store.write(Batch(readings(9), 2))
    with pytest.raises(StoreDown):
        await store.query(EVERYTHING)
    with influxd(tmp_path, port=port):
        await store.write(Batch(readings(9), 2))
        [found] = await store.query(EVERYTHING)
        assert len(found.rows) == 9
        await store.close()


async def test_a_real_server_checks_name_and_password(guarded: str) -> None:
    store = InfluxStore(guarded, "toba", username="admin", password="p:ä")
    await store.write(Batch(readings(3), 1))
    await store.close()
    for user, password in (("admin", "wrong"), ("", ""), ("nobody", "x")):
        wrong = InfluxStore(guarded, "toba", username=user, password=password)
        with pytest.raises(StoreRefused, match="401"):
            await wrong.open()
    ask(guarded, "GRANT READ ON toba TO reader", "admin", "p:ä")
    reader = InfluxStore(guarded, "toba", username="reader", password="r")
    assert len((await reader.query(EVERYTHING))[0].rows) == 3
    with pytest.raises(StoreRefused, match="403"):
        await reader.write(Batch(readings(3), 1))
    await reader.close()


async def test_a_real_server_keeps_the_good_points_of_a_large_batch(tmp_path: Path) -> None:
    bad = tuple(range(5, 2000, 97))
    with influxd(tmp_path) as url:
        store = InfluxStore(url, "toba")
        await store.write(Batch(readings(1), 1))
        written = await store.write(Batch(readings(2000, bad), 2))
        [found] = await store.query(EVERYTHING)
        await store.close()
    assert tuple(written.rejected) == bad
    assert all("field type conflict" in reason for reason in written.rejected.values())
    assert len(found.rows) == 2000 - len(bad)


async def test_points_older_than_the_retention_are_rejected_with_the_servers_words(
    tmp_path: Path,
) -> None:
    recent = now_ns() - 60_000_000_000
    with influxd(tmp_path) as url:
        store = InfluxStore(url, "toba")
        await store.open()
        ask(url, "ALTER RETENTION POLICY autogen ON toba DURATION 1d SHARD DURATION 1h")
        series = Series.of("m", "d1")
        batch = [Reading(series, t, {"v": 1.0}) for t in (recent, NOON, recent + 1)]
        written = await store.write(Batch(batch, 1))
        assert list(written.rejected) == [1]
        assert "retention" in written.rejected[1]
        [found] = await store.query(Query("m", (Column("v"),), 0, 2**62))
        assert len(found.rows) == 2
        await store.close()


async def test_the_clients_transport_is_understood_by_a_real_server(tmp_path: Path) -> None:
    """VictoriaMetrics takes `/api/v2/write`; it keeps floats and milliseconds only."""
    start_ms = now_ns() // 1_000_000 - 60_000
    series = Series.of("environment", "aq1", sensor="pm, luar")
    batch = [
        Reading(series, (start_ms + n * 1000) * 1_000_000, {"pm25": n / 8, "n": n})
        for n in range(50)
    ]
    with victoria_metrics(tmp_path) as url:
        store = InfluxStore(
            url, "toba", Labels({"site": "balige"}), way="client", token="x", org="regency"
        )
        assert (await store.write(Batch(batch, 1))).rejected == {}
        await store.close()
        fetch(f"{url}/internal/force_flush")
        found = [
            json.loads(line)
            for line in fetch(f"{url}/api/v1/export?match[]=environment_pm25").splitlines()
        ]
    [one] = found
    assert one["metric"]["device"] == "aq1"
    assert one["metric"]["sensor"] == "pm, luar"
    assert one["metric"]["site"] == "balige"
    assert one["timestamps"] == [start_ms + n * 1000 for n in range(50)]
    assert one["values"] == [n / 8 for n in range(50)]


@pytest.mark.parametrize(
    ("url", "far"),
    [
        ("http://127.0.0.1:8086", False),
        ("http://localhost:8086", False),
        ("http://[::1]:8086", False),
        ("http://influxdb:8086", True),
        ("https://10.0.0.7", True),
    ],
)
def test_only_a_server_on_another_machine_gets_compressed_bodies(url: str, far: bool) -> None:
    assert is_far(url) is far
