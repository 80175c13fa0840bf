"""The BER codec against random octets, against itself, and against pysnmp's."""

from __future__ import annotations

import math
import struct
from contextlib import suppress
from ipaddress import IPv4Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyasn1.codec.ber import encoder
from pysnmp.proto import rfc1902
from pysnmp.proto.api import v2c

from collectors.snmp import codec
from collectors.snmp.codec import Absent, Malformed, Message, decode, integer, request, tlv
from collectors.snmp.oids import BadOid, arcs, cell, dotted, from_arcs, index_of, oid

UPTIME = oid("1.3.6.1.2.1.1.3.0")
ASKED = decode(request(codec.GET, b"public", [UPTIME]).datagram(0x01020304))

arc_numbers = st.integers(0, 0xFFFFFFFF)
oids = st.builds(
    lambda second, rest: (1, second, *rest),
    st.integers(0, 39),
    st.lists(arc_numbers, min_size=1, max_size=20),
)


def reply_with(value: bytes) -> bytes:
    return codec.response(ASKED, [(UPTIME, value)])


def value_of(encoded: bytes) -> object:
    return decode(reply_with(encoded)).varbinds[0][1]


# ---------------------------------------------------------------- identifiers


@given(oids)
def test_an_identifier_survives_encoding(numbers: tuple[int, ...]) -> None:
    assert arcs(from_arcs(numbers)) == numbers
    assert oid(dotted(from_arcs(numbers))) == from_arcs(numbers)


@given(oids, oids)
def test_a_subtree_is_a_prefix_of_the_octets(one: tuple[int, ...], two: tuple[int, ...]) -> None:
    inside = two[: len(one)] == one
    assert from_arcs(two).startswith(from_arcs(one)) == inside


@given(arc_numbers)
def test_a_cell_gives_its_index_back(index: int) -> None:
    column = oid("1.3.6.1.2.1.31.1.1.1.1")
    assert index_of(column, cell(column, index)) == index
    assert index_of(column, cell(column, index) + b"\x05") is None
    assert index_of(oid("1.3.6.1.2.1.2.2.1.2"), cell(column, index)) is None


@pytest.mark.parametrize("octets", ["", "2b80", "2b8001", "2b9080808000", "ff"])
def test_octets_that_are_no_identifier_are_refused(octets: str) -> None:
    with pytest.raises(BadOid):
        arcs(bytes.fromhex(octets))


@pytest.mark.parametrize("text", ["", "1", "1.3.x", "1.40.1", "3.1.1", "1.3.4294967296", "1.-3"])
def test_text_that_is_no_identifier_is_refused(text: str) -> None:
    with pytest.raises(BadOid):
        oid(text)


# ---------------------------------------------------------------- values


@given(st.integers(-(1 << 31), (1 << 31) - 1))
def test_integers_keep_their_sign(number: int) -> None:
    assert value_of(integer(number)) == number


@given(st.sampled_from([codec.COUNTER32, codec.GAUGE32, codec.TIME_TICKS]), arc_numbers)
def test_unsigned_numbers_are_never_negative(tag: int, number: int) -> None:
    assert value_of(integer(number, tag)) == number
    if number >= 1 << 24:
        # Agents that forget the leading zero octet mean the same.
        assert value_of(tlv(tag, number.to_bytes(4, "big"))) == number


@given(st.integers(0, (1 << 64) - 1))
def test_64_bit_counters_are_whole(number: int) -> None:
    assert value_of(integer(number, codec.COUNTER64)) == number


@given(st.binary(max_size=1400))
def test_octet_strings_come_as_they_are(octets: bytes) -> None:
    assert value_of(tlv(codec.OCTETS, octets)) == octets


def test_every_other_type_is_known() -> None:
    assert value_of(tlv(codec.IP_ADDRESS, bytes((10, 12, 1, 7)))) == IPv4Address("10.12.1.7")
    assert value_of(tlv(codec.OBJECT_ID, UPTIME)) == "1.3.6.1.2.1.1.3.0"
    assert value_of(codec.NULL) is None
    for absent in (Absent.NO_SUCH_OBJECT, Absent.NO_SUCH_INSTANCE, Absent.END_OF_MIB_VIEW):
        assert value_of(codec.absent(absent)) is absent
    load = value_of(tlv(codec.OPAQUE, b"\x9f\x78\x04" + struct.pack(">f", 0.12)))
    assert isinstance(load, float)
    assert math.isclose(load, 0.12, rel_tol=1e-6)
    assert value_of(tlv(codec.OPAQUE, b"\x30\x00")) == b"\x30\x00"


@pytest.mark.parametrize(
    "encoded",
    [
        "0200",  # an INTEGER without octets
        "4100",
        "41050100000000",  # Counter32 over 2^32-1
        "4609ffffffffffffffffff",  # Counter64 over 2^64-1
        "4003010203",  # three octets of IP address
        "060280ff",
        "0501ff",  # a NULL with content
        "1f0100",  # a type that SNMP doesn't have
    ],
)
def test_one_odd_value_does_not_cost_the_reply(encoded: str) -> None:
    message = decode(
        codec.response(ASKED, [(UPTIME, bytes.fromhex(encoded)), (UPTIME, integer(7))])
    )
    assert message.varbinds[0][1] is Absent.UNREADABLE
    assert message.varbinds[1][1] == 7


# ---------------------------------------------------------------- messages


def test_a_request_differs_from_poll_to_poll_only_in_its_id() -> None:
    prepared = request(codec.GET, b"public", [UPTIME, oid("1.3.6.1.2.1.1.5.0")])
    one, two = prepared.datagram(0x01000000), prepared.datagram(0x7FFFFFFF)
    assert (decode(one).request_id, decode(two).request_id) == (0x01000000, 0x7FFFFFFF)
    assert decode(one)[:3] == (codec.V2C, b"public", codec.GET)
    assert decode(one).varbinds == [(UPTIME, None), (oid("1.3.6.1.2.1.1.5.0"), None)]
    assert sum(a != b for a, b in zip(one, two, strict=True)) == 4


def test_a_bulk_request_carries_its_numbers() -> None:
    prepared = request(codec.GET_BULK, b"x", [UPTIME], non_repeaters=1, max_repetitions=300)
    message = decode(prepared.datagram(0x01020304))
    assert (message.pdu, message.error_status, message.error_index) == (codec.GET_BULK, 1, 300)


def pysnmp_reply() -> bytes:
    """A response that pysnmp encoded, with all types."""
    pdu = v2c.ResponsePDU()
    v2c.apiPDU.set_defaults(pdu)
    v2c.apiPDU.set_request_id(pdu, 0x01020304)
    values = [
        rfc1902.Integer32(-5),
        rfc1902.OctetString(b"ether1"),
        rfc1902.ObjectName("1.3.6.1.4.1.14988.1"),
        rfc1902.IpAddress("10.12.1.7"),
        rfc1902.Counter32(4294967295),
        rfc1902.Gauge32(1000),
        rfc1902.TimeTicks(4294967295),
        rfc1902.Counter64(18446744073709551615),
        v2c.NoSuchInstance(""),
        v2c.EndOfMibView(""),
    ]
    names = [f"1.3.6.1.2.1.2.2.1.{i}.4294967295" for i in range(1, len(values) + 1)]
    v2c.apiPDU.set_varbinds(pdu, list(zip(names, values, strict=True)))
    message = v2c.Message()
    v2c.apiMessage.set_defaults(message)
    v2c.apiMessage.set_community(message, "public")
    v2c.apiMessage.set_pdu(message, pdu)
    return bytes(encoder.encode(message))


def test_what_pysnmp_encodes_is_read_the_same() -> None:
    message = decode(pysnmp_reply())
    assert message[:6] == (codec.V2C, b"public", codec.RESPONSE, 0x01020304, 0, 0)
    assert [value for _, value in message.varbinds] == [
        -5,
        b"ether1",
        "1.3.6.1.4.1.14988.1",
        IPv4Address("10.12.1.7"),
        4294967295,
        1000,
        4294967295,
        18446744073709551615,
        Absent.NO_SUCH_INSTANCE,
        Absent.END_OF_MIB_VIEW,
    ]
    assert dotted(message.varbinds[0][0]) == "1.3.6.1.2.1.2.2.1.1.4294967295"


def test_what_we_encode_is_pysnmps_to_the_octet() -> None:
    ours = codec.response(
        decode(pysnmp_reply()),
        [
            (oid("1.3.6.1.2.1.2.2.1.1.4294967295"), integer(-5)),
            (oid("1.3.6.1.2.1.2.2.1.2.4294967295"), tlv(codec.OCTETS, b"ether1")),
            (
                oid("1.3.6.1.2.1.2.2.1.3.4294967295"),
                tlv(codec.OBJECT_ID, oid("1.3.6.1.4.1.14988.1")),
            ),
            (oid("1.3.6.1.2.1.2.2.1.4.4294967295"), tlv(codec.IP_ADDRESS, b"\x0a\x0c\x01\x07")),
            (oid("1.3.6.1.2.1.2.2.1.5.4294967295"), integer(4294967295, codec.COUNTER32)),
            (oid("1.3.6.1.2.1.2.2.1.6.4294967295"), integer(1000, codec.GAUGE32)),
            (oid("1.3.6.1.2.1.2.2.1.7.4294967295"), integer(4294967295, codec.TIME_TICKS)),
            (oid("1.3.6.1.2.1.2.2.1.8.4294967295"), integer((1 << 64) - 1, codec.COUNTER64)),
            (oid("1.3.6.1.2.1.2.2.1.9.4294967295"), codec.absent(Absent.NO_SUCH_INSTANCE)),
            (oid("1.3.6.1.2.1.2.2.1.10.4294967295"), codec.absent(Absent.END_OF_MIB_VIEW)),
        ],
    )
    assert ours == pysnmp_reply()


# ---------------------------------------------------------------- what is no message


@given(st.binary(max_size=300))
@example(b"")
@example(b"\x30")
@example(b"\x30\x80\x02\x01\x01\x00\x00")
@example(b"\x30\x84\xff\xff\xff\xff")
def test_random_octets_are_malformed_and_nothing_worse(data: bytes) -> None:
    with suppress(Malformed):
        assert isinstance(decode(data), Message)


@given(st.data())
def test_a_damaged_reply_is_malformed_or_still_a_message(data: st.DataObject) -> None:
    good = bytearray(pysnmp_reply())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Malformed):
        assert all(name for name, _ in decode(bytes(good)).varbinds)


@pytest.mark.parametrize("missing", range(1, len(pysnmp_reply())))
def test_a_truncated_reply_is_malformed(missing: int) -> None:
    with pytest.raises(Malformed):
        decode(pysnmp_reply()[:-missing])


def test_octets_after_the_message_are_malformed() -> None:
    with pytest.raises(Malformed, match="follow"):
        decode(pysnmp_reply() + b"\0")


def test_a_length_in_more_octets_than_needed_is_read() -> None:
    inner = reply_with(integer(7))[2:]
    assert decode(b"\x30\x82\x00" + bytes((len(inner),)) + inner).varbinds == [(UPTIME, 7)]


def test_version_3_is_not_read_here() -> None:
    with pytest.raises(Malformed, match="version 3"):
        decode(tlv(0x30, integer(3) + tlv(0x30, b"")))
