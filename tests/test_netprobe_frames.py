"""Frames in bytes and what is kept of them: against scapy's own, and whatever a network sends."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from collectors.netprobe import arp, bpf, dhcp, rtp
from collectors.netprobe.arp import Claim
from collectors.netprobe.dhcp import Offer
from collectors.netprobe.ear import Facts
from collectors.netprobe.hearing import MOST_MACS, MOST_SERVERS, Hearing
from collectors.netprobe.helper import Frames
from collectors.netprobe.looks import Look, Looks, Seen
from collectors.netprobe.rtp import ENOUGH, Flow, Packet
from collectors.netprobe.sweeps import DISCOVER, Sweep, Sweeps

MAC, OTHER = "02:00:00:00:00:07", "02:00:00:00:00:08"
FACTS = Facts(MAC, "10.12.1.5", "10.12.1.0/24")


def ip(text: str) -> int:
    return int(ipaddress.IPv4Address(text))


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


# ---------------------------------------------------------------- ARP


def test_a_question_is_what_scapy_would_ask_and_a_probe_names_nobody() -> None:
    template = Frames().request(FACTS)
    asked = arp.asking(template, ip("10.12.1.77"))
    theirs = Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(
        op=1, hwsrc=MAC, psrc="10.12.1.5", pdst="10.12.1.77"
    )
    assert asked == bytes(theirs)
    probe = Ether(arp.probing(asked))
    assert (probe[ARP].psrc, probe[ARP].pdst, probe[ARP].hwsrc) == ("0.0.0.0", "10.12.1.77", MAC)


@pytest.mark.parametrize("operation", [1, 2])
def test_whoever_speaks_arp_says_what_it_has(operation: int) -> None:
    frame = bytes(Ether() / ARP(op=operation, hwsrc=OTHER, psrc="10.12.1.9", pdst="10.12.1.5"))
    assert arp.claim(frame) == Claim(ip("10.12.1.9"), mac(OTHER))
    assert arp.claim(frame + bytes(18)) == arp.claim(frame)
    assert arp.claim(frame[:41]) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"psrc": "0.0.0.0"},
        {"psrc": "127.0.0.1"},
        {"psrc": "239.1.2.3"},
        {"psrc": "255.255.255.255"},
        {"hwsrc": "ff:ff:ff:ff:ff:ff"},
        {"hwsrc": "00:00:00:00:00:00"},
        {"hwsrc": "01:00:5e:00:00:01"},
        {"op": 3},
        {"hwtype": 6},
        {"ptype": 0x86DD},
        {"hwlen": 8},
        {"plen": 16},
    ],
)
def test_what_cannot_be_claimed_is_no_claim(wrong: dict[str, object]) -> None:
    frame = ARP(**{"op": 2, "hwsrc": OTHER, "psrc": "10.12.1.9", **wrong})
    assert arp.claim(bytes(Ether(type=0x0806) / frame)) is None


# ---------------------------------------------------------------- DHCP


def word(kind: str, server: str = "10.12.1.1", **more: object) -> bytes:
    options = [("message-type", kind), ("lease_time", 600), ("server_id", server), "end"]
    said = {"op": 2, "yiaddr": "10.12.1.99", **more}
    return bytes(
        Ether(src=OTHER, dst="ff:ff:ff:ff:ff:ff")
        / IP(src=server, dst="255.255.255.255")
        / UDP(sport=67, dport=68)
        / BOOTP(**said)
        / DHCP(options=options)
    )


@pytest.mark.parametrize("kind", ["offer", "ack", "nak"])
def test_a_servers_word_names_it(kind: str) -> None:
    found = dhcp.offer(word(kind))
    assert found == Offer(ip("10.12.1.1"), mac(OTHER), ip("10.12.1.99"))


def test_a_server_that_does_not_name_itself_is_where_the_packet_came_from() -> None:
    frame = word("offer", "10.12.1.1")
    assert dhcp.offer(frame.replace(b"\x36\x04", b"\x0c\x04")) == dhcp.offer(frame)


def test_clients_and_other_traffic_are_no_servers() -> None:
    assert dhcp.offer(Frames().discover(FACTS)) is None
    assert dhcp.offer(word("offer", op=1)) is None
    assert dhcp.offer(word("discover")) is None
    other = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=53) / Raw(bytes(300))
    assert dhcp.offer(bytes(other)) is None


def test_a_question_to_all_dhcp_servers_is_one() -> None:
    asked = Ether(Frames().discover(FACTS))
    assert (asked[IP].dst, asked[UDP].dport, asked[BOOTP].flags) == ("255.255.255.255", 67, "B")
    assert asked[BOOTP].chaddr[:6] == mac(MAC)
    assert ("message-type", 1) in asked[DHCP].options


# ---------------------------------------------------------------- RTP


def head(number: int, ssrc: int = 7, kind: int = 96) -> bytes:
    return struct.pack("!BBHII", 0x80, kind, number % 65536, 1000, ssrc) + bytes(20)


def datagram(body: bytes, source: str = "10.12.1.201") -> bytes:
    return bytes(
        Ether() / IP(src=source, dst="10.12.1.9") / UDP(sport=5000, dport=6000) / Raw(body)
    )


def piece(body: bytes) -> bytes:
    return bytes(
        Ether() / IP(src="10.12.1.201", dst="10.12.1.9") / TCP(sport=554, dport=40000) / Raw(body)
    )


def framed(body: bytes) -> bytes:
    return struct.pack("!cBH", b"$", 0, len(body)) + body


def test_rtp_is_found_in_datagrams_and_interleaved_wherever_a_piece_begins() -> None:
    assert rtp.source(datagram(head(3))) == ip("10.12.1.201")
    assert list(rtp.packets(datagram(head(3)))) == [Packet(7, 3)]
    stream = b"tail of another $ packet" + framed(head(4)) + framed(head(5))
    assert list(rtp.packets(piece(stream))) == [Packet(7, 4), Packet(7, 5)]
    assert list(rtp.packets(piece(stream)[:-40])) == [Packet(7, 4)]


def test_reports_about_a_stream_are_no_stream() -> None:
    assert list(rtp.packets(datagram(head(3, kind=200)))) == []
    assert list(rtp.packets(datagram(b"\x00" * 40))) == []
    assert list(rtp.packets(piece(b"RTSP/1.0 200 OK\r\nCost: $5\r\n\r\n"))) == []


def test_a_row_of_packets_is_a_stream_also_when_some_were_not_seen() -> None:
    flow = Flow()
    seen = [flow.heard(datagram(head(number))) for number in (65530, 65533, 65535, 4, 60)]
    assert seen == [False] * (ENOUGH - 1) + [True]


def test_one_packet_again_and_again_and_a_jumble_are_none() -> None:
    flow = Flow()
    assert not any(flow.heard(datagram(head(5))) for _ in range(50))
    assert not any(flow.heard(datagram(head(n * 7919, ssrc=n % 3))) for n in range(200))
    assert not any(flow.heard(datagram(head(n, ssrc=n))) for n in range(200))
    assert len(flow._rows) <= 8


def test_a_look_ends_when_a_stream_was_seen_or_its_time_is_over() -> None:
    looks = Looks()
    looks.add(Look(1, "eth1", ip("10.12.1.201"), 5.0), 100.0)
    looks.add(Look(2, "eth1", ip("10.12.1.202"), 5.0), 101.0)
    assert looks.sources("eth1") == [ip("10.12.1.201"), ip("10.12.1.202")]
    assert looks.wait_s(102.0) == 3.0
    for number in range(ENOUGH):
        looks.heard("eth1", datagram(head(number)))
    looks.heard("eth1", datagram(b"something else", "10.12.1.202"))
    looks.heard("eth1", datagram(head(1), "10.12.1.203"))
    assert looks.finished(102.0) == [Seen(1, True, ENOUGH)]
    assert looks.sources("eth1") == [ip("10.12.1.202")]
    assert looks.finished(106.0) == [Seen(2, False, 1)]
    assert looks.wait_s(106.0) is None


def test_a_second_look_at_a_sender_has_its_own_time() -> None:
    looks = Looks()
    for target, now in ((1, 100.0), (2, 103.0)):
        looks.add(Look(target, "eth1", ip("10.12.1.201"), 5.0), now)
    assert looks.finished(105.0) == [Seen(1, False, 0)]
    for number in range(ENOUGH):
        looks.heard("eth1", datagram(head(number)))
    assert looks.finished(105.0) == [Seen(2, True, ENOUGH)]


# ---------------------------------------------------------------- bounds


def test_tables_stay_small_under_a_storm_and_keep_the_newest() -> None:
    hearing = Hearing()
    hearing.expect(range(100, 200))
    for number in range(20_000):
        hearing.claim(Claim(number % 5000, number.to_bytes(6)), number)
        hearing.offer(Offer(number, number.to_bytes(6), 1), number)
    assert len(hearing.hosts(range(5000), 20_000, 0)) == 100 * MOST_MACS
    assert {host.address for host in hearing.hosts(range(5000), 20_000, 0)} == set(range(100, 200))
    servers = hearing.servers(20_000, 0)
    assert len(servers) == MOST_SERVERS
    assert min(server.server for server in servers) == 20_000 - MOST_SERVERS
    assert hearing.claimed(150, 15_000)
    assert not hearing.claimed(150, 20_000)


def test_what_was_heard_long_ago_is_not_told() -> None:
    hearing = Hearing()
    hearing.expect([1])
    hearing.claim(Claim(1, b"old"), 10.0)
    hearing.claim(Claim(1, b"new"), 20.0)
    assert [(h.mac, h.age_s) for h in hearing.hosts([1], 25.0, 15.0)] == [(b"new", 5.0)]


def test_a_sweep_asks_twice_and_the_second_time_only_who_was_silent() -> None:
    sweeps = Sweeps()
    sweeps.add(Sweep(9, "eth0", (1, 2), 10.0, 60.0, True), 100.0)
    rounds = []
    now: float | None = 100.0
    while now is not None:
        rounds += [(now, q.address, q.unless_since) for q in sweeps.due(now, 10)]
        assert not (done := sweeps.finished(now)) or [one.target for one in done] == [9]
        wait = sweeps.wait_s(now)
        now = None if wait is None else now + wait
    never = float("inf")
    first = [(address, since) for at, address, since in rounds if at < 105]
    second = [(address, since) for at, address, since in rounds if at >= 105]
    assert first == [(DISCOVER, never), (1, never), (2, never)]
    assert second == [(DISCOVER, never), (1, 100.0), (2, 100.0)]


# ---------------------------------------------------------------- whatever comes


SEEDS = [
    bytes(Ether() / ARP(op=2, hwsrc=OTHER, psrc="10.12.1.9")),
    word("offer"),
    word("ack") + b"\x35\xff",
    datagram(head(3)),
    piece(framed(head(4)) + framed(head(5))),
]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A good frame, cut, stretched or with bytes of it changed; or anything."""
    frame = bytearray(draw(st.sampled_from(SEEDS) | st.binary(max_size=200)))
    for _ in range(draw(st.integers(0, 8))):
        if frame:
            frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.integers(0, len(frame)))]) + draw(st.binary(max_size=20))


@given(st.lists(broken(), max_size=8))
def test_no_frame_breaks_the_reading(frames: list[bytes]) -> None:
    hearing, looks = Hearing(), Looks()
    hearing.expect([ip("10.12.1.9")])
    looks.add(Look(1, "eth1", ip("10.12.1.201"), 5.0), 0.0)
    for frame in frames:
        claim, offer = arp.claim(frame), dhcp.offer(frame)
        if claim is not None:
            hearing.claim(claim, 0.0)
            assert 0 < claim.address < 1 << 32
            assert len(claim.mac) == 6
        if offer is not None:
            hearing.offer(offer, 0.0)
            assert 0 < offer.server < 1 << 32
            assert len(offer.mac) == 6
        looks.heard("eth1", frame)
        assert all(0 <= packet.ssrc < 1 << 32 for packet in rtp.packets(frame))
    assert len(hearing.hosts([ip("10.12.1.9")], 0.0, 0.0)) <= MOST_MACS


def kept(program: bpf.Program, frame: bytes) -> int:
    """What a filter returns: the machine of the BPF paper, as far as ours go."""
    at, accumulator, index = 0, 0, 0
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        if code == bpf.RETURN:
            return k
        if code == bpf.IF_EQUAL:
            at += if_true if accumulator == k else if_false
        elif code == bpf.IF_BITS:
            at += if_true if accumulator & k else if_false
        else:
            size = {bpf.LOAD_BYTE: 1, bpf.LOAD_WORD: 4, bpf.HEADER_LENGTH: 1}.get(code, 2)
            start = k + (index if code == bpf.LOAD_HALF_AT_X else 0)
            if start + size > len(frame):
                return 0
            value = int.from_bytes(frame[start : start + size])
            if code == bpf.HEADER_LENGTH:
                index = (value & 15) * 4
            else:
                accumulator = value


@given(broken())
def test_the_kernels_filter_keeps_every_offer_that_the_reading_knows(frame: bytes) -> None:
    if dhcp.offer(frame) is not None:
        assert kept(bpf.udp_to(dhcp.CLIENT), frame) > 0


def test_filters_let_through_what_they_are_for_and_nothing_else() -> None:
    offers, cameras = bpf.udp_to(68), bpf.sent_by([ip(f"10.12.1.{n}") for n in range(150, 250)])
    assert [kept(offers, f) > 0 for f in (word("offer"), datagram(head(1)), bytes(60))] == [
        True, False, False,
    ]  # fmt: skip
    assert kept(cameras, datagram(head(1))) == kept(cameras, piece(head(1))) == bpf.SNAP
    assert kept(cameras, datagram(head(1), "10.12.1.10")) == 0
    assert kept(cameras, word("offer")) == 0
    assert kept(bpf.sent_by([]), datagram(head(1))) == 0
    assert len(bpf.sent_by(range(5000))) < 4096
