"""The probe helper's pure parts: book-keeping under a clock of the test, and ICMP in bytes."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from collectors.netprobe import wire
from collectors.netprobe.config import NetprobeConfig, NetprobeSection
from collectors.netprobe.helper import ICMP, Helper, Raw, as_json, jobs, open_socket
from collectors.netprobe.names import resolve
from collectors.netprobe.probes import Job, Probes, Result
from collectors.netprobe.watch import Ears
from hub.api import NeverWorks, TryAgain

FOLDER = Path(__file__).parents[1] / "collectors" / "netprobe"
SECRET = b"twelve bytes"


def job(target: int = 1, address: str = "10.0.0.1", times: int = 3) -> Job:
    return Job(target, address, times, 0.25, 2.0)


def test_probes_go_out_a_gap_apart_and_the_answers_give_the_round_trips() -> None:
    probes = Probes()
    probes.add(job(), 100.0)
    sent = []
    for now in (100.0, 100.25, 100.5):
        assert probes.wait_s(now) == 0
        (probe,) = probes.due(now, 10)
        sent.append((now, probe))
    for (now, probe), trip_s in zip(sent, (0.5, 0.125, 0.25), strict=True):
        probes.heard(probe.number, "10.0.0.1", now + trip_s)
    assert probes.finished(101) == [Result(1, 3, (500.0, 125.0, 250.0), "")]
    assert probes.wait_s(101) is None


def test_what_is_not_answered_in_time_is_lost_and_late_answers_change_nothing() -> None:
    probes = Probes()
    probes.add(job(times=2), 0.0)
    first, second = *probes.due(0.0, 9), *probes.due(0.25, 9)
    probes.heard(first.number, "10.0.0.1", 0.125)
    assert probes.finished(2.2) == []
    assert probes.wait_s(2.2) == pytest.approx(0.05)
    (result,) = probes.finished(2.25)
    assert (result.sent, result.lost, result.rtt_ms) == (2, 1, (125.0,))
    probes.heard(second.number, "10.0.0.1", 2.5)
    assert probes.finished(9) == []


def test_an_answer_from_a_stranger_is_none() -> None:
    probes = Probes()
    probes.add(job(times=1), 0.0)
    (probe,) = probes.due(0.0, 9)
    probes.heard(probe.number, "10.0.0.2", 0.1)
    probes.heard(probe.number + 1, "10.0.0.1", 0.1)
    assert probes.finished(2.0)[0].lost == 1


def test_a_target_that_is_slow_delays_no_other() -> None:
    probes = Probes()
    probes.add(job(1, "10.0.0.1", 1), 0.0)
    probes.add(job(2, "10.0.0.2", 1), 0.0)
    _, quick = probes.due(0.0, 9)
    probes.heard(quick.number, "10.0.0.2", 0.01)
    assert [result.target for result in probes.finished(0.02)] == [2]


def test_what_the_network_says_about_a_probe_is_told() -> None:
    probes = Probes()
    probes.add(job(times=1), 0.0)
    (probe,) = probes.due(0.0, 9)
    probes.failed(probe.number, "Network is unreachable")
    assert probes.finished(0.0) == [Result(1, 1, (), "Network is unreachable")]


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "send", "hear", "twice", "fail", "wait"]),
                  st.integers(0, 5)),
        max_size=60,
    )
)  # fmt: skip
def test_every_job_ends_once_with_as_many_probes_as_it_had(steps: list[tuple[str, int]]) -> None:
    probes, now, added, ended = Probes(), 0.0, 0, []
    out: list[tuple[int, str]] = []
    for what, number in steps:
        if what == "add":
            probes.add(Job(added, f"10.0.0.{number}", number + 1, 0.1, 1.0), now)
            added += 1
        elif what == "send":
            out += [(p.number, p.address) for p in probes.due(now, number + 1)]
        elif what in ("hear", "twice") and out:
            one = out[number % len(out)]
            for _ in range(2 if what == "twice" else 1):
                probes.heard(*one, now)
        elif what == "fail" and out:
            probes.failed(out[number % len(out)][0], "said so")
        elif what == "wait":
            now += number / 5
        ended += probes.finished(now)
    for _ in range(500):
        wait = probes.wait_s(now)
        if wait is None:
            break
        now += wait
        probes.due(now, 64)
        ended += probes.finished(now)
    assert sorted(result.target for result in ended) == list(range(added))
    assert all(0 <= result.lost <= result.sent for result in ended)


@given(st.integers(0, (1 << 32) - 1))
def test_a_filled_template_is_a_packet_as_scapy_would_build_it(number: int) -> None:
    template = bytes(ICMP(type=8, id=77) / Raw(wire.payload(SECRET, 0)))
    ours = wire.fill(template, number)
    theirs = ICMP(type=8, id=77, seq=number & 0xFFFF) / Raw(wire.payload(SECRET, number))
    assert ours == bytes(theirs)


def reply(number: int, secret: bytes = SECRET) -> bytes:
    return struct.pack("!BBHHH", 0, 0, 0, 1, 1) + wire.payload(secret, number)


def test_only_echo_replies_with_our_secret_are_answers() -> None:
    assert wire.answered(reply(9), SECRET) == 9
    assert wire.answered(reply(9, b"another hub!"), SECRET) is None
    assert wire.answered(b"\x08" + reply(9)[1:], SECRET) is None
    assert wire.answered(reply(9)[:-1], SECRET) is None
    assert wire.answered(b"", SECRET) is None


@given(st.binary(max_size=80))
def test_no_packet_from_the_network_breaks_the_reading(packet: bytes) -> None:
    assert wire.answered(wire.without_ip(packet), SECRET) is None


@settings(max_examples=50)
@given(st.binary(max_size=60), st.binary(max_size=30), st.integers(0, 15))
def test_no_word_of_a_router_breaks_the_reading(before: bytes, after: bytes, code: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        helper = Helper(sock, "raw", Ears(), 0, 1, lambda: 0.0, lambda: 0.0)
        helper._unreachable(b"\x03" + bytes([code]) + before + helper._secret + after, "10.0.0.1")


def test_an_ip_header_with_options_is_taken_off_whole() -> None:
    header = bytes([0x46]) + bytes(23)
    assert wire.without_ip(header + b"rest") == b"rest"
    assert wire.without_ip(b"\x60" + bytes(40)) == b""


@pytest.mark.parametrize(
    "order",
    [
        {"ping": [[1, "::1"]], "count": 3, "gap_ms": 1, "timeout_ms": 1},
        {"ping": [[1, "example.org"]], "count": 3, "gap_ms": 1, "timeout_ms": 1},
        {"ping": [], "count": 0, "gap_ms": 1, "timeout_ms": 1},
        {"ping": [], "count": 3, "gap_ms": -1, "timeout_ms": 1},
        {"ping": [], "count": 3, "gap_ms": 1, "timeout_ms": 10**9},
        {"ping": [[1]], "count": 3, "gap_ms": 1, "timeout_ms": 1},
        {},
    ],
)
def test_an_order_that_cannot_be_is_refused(order: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        jobs(order)


def test_a_result_gives_the_median_and_nothing_for_silence() -> None:
    said = as_json(Result(4, 3, (9.0, 1.0, 2.0), ""))
    assert (said["rtt_ms"], said["jitter_ms"]) == (2.0, 4.5)
    assert as_json(Result(4, 3, (9.0,), ""))["jitter_ms"] is None
    assert as_json(Result(4, 3, (), "No route to host")) == {
        "target": 4, "sent": 3, "lost": 3, "rtt_ms": None, "jitter_ms": None,
        "why": "No route to host",
    }  # fmt: skip


STAMP = (socket.SOL_SOCKET, 35, struct.pack("@ll", 1_000, 250_000_000))


def test_what_a_packet_waited_for_us_is_not_its_round_trip() -> None:
    assert wire.waited_s([STAMP], 1_000.75) == 0.5
    assert wire.waited_s([], 1_000.75) == 0
    assert wire.waited_s([(socket.SOL_SOCKET, 35, b"short")], 1_000.75) == 0


def test_a_clock_that_was_set_makes_no_round_trip_absurd() -> None:
    assert wire.waited_s([STAMP], 999.0) == 0
    assert wire.waited_s([STAMP], 9_999.0) == 0


def test_without_raw_sockets_a_datagram_one_is_taken_and_without_both_it_says_so() -> None:
    asked: list[int] = []

    def refuse_raw(family: int, kind: int, protocol: int) -> socket.socket:
        asked.append(kind)
        if kind == socket.SOCK_RAW:
            raise PermissionError
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    sock, mode = open_socket(refuse_raw)
    sock.close()
    assert (mode, asked) == ("datagram", [socket.SOCK_RAW, socket.SOCK_DGRAM])

    def refuse_all(family: int, kind: int, protocol: int) -> socket.socket:
        raise PermissionError

    with pytest.raises(PermissionError):
        open_socket(refuse_all)


async def test_addresses_are_resolved_and_the_impossible_is_named() -> None:
    assert await resolve("10.0.0.1") == "10.0.0.1"
    assert await resolve("localhost") == "127.0.0.1"
    with pytest.raises(NeverWorks, match="IPv4 only"):
        await resolve("2001:db8::1")
    with pytest.raises(NeverWorks, match="no address"):
        await resolve("")
    with pytest.raises(TryAgain, match=r"no\.such\.host"):
        await resolve("no.such.host.invalid")


def test_the_sample_in_the_readme_is_valid_and_is_the_sample_file() -> None:
    sample = (FOLDER / "sample.yaml").read_text(encoding="utf-8")
    assert sample in (FOLDER / "README.md").read_text(encoding="utf-8")
    said = yaml.safe_load(sample)
    NetprobeConfig.model_validate(said["collectors"]["netprobe"])
    for device in said["devices"]:
        NetprobeSection.model_validate(device["collect"]["netprobe"])


def test_a_mistake_in_the_settings_is_found() -> None:
    with pytest.raises(ValidationError):
        NetprobeConfig.model_validate({"count": 0})
