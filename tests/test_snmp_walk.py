"""Walks that prove their end, and requests that fit the agent."""

from __future__ import annotations

import pytest

from collectors.snmp import codec
from collectors.snmp.client import NoAnswer, Reply
from collectors.snmp.codec import Absent
from collectors.snmp.manners import Size
from collectors.snmp.oids import IF_NAME, SYS_UPTIME, arcs, dotted, oid
from collectors.snmp.reader import Plan, Reader
from collectors.snmp.walk import Trail, walk
from tests.snmp_support import FakeSession

COLUMN = dotted(IF_NAME)
AFTER = "1.3.6.1.2.1.31.1.1.1.2.1"
PORTS = {f"{COLUMN}.{i}": f"ether{i}".encode() for i in range(1, 49)}
UPTIME = {dotted(SYS_UPTIME): 4711}


def agent(**spoil: object) -> FakeSession:
    return FakeSession({**UPTIME, **PORTS, AFTER: 1}, **spoil)  # type: ignore[arg-type]


async def test_a_walk_ends_where_the_next_subtree_begins() -> None:
    found = await walk(agent(), IF_NAME, Size(10, 40))
    assert found.complete
    assert [value for _, value in found.rows] == list(PORTS.values())


async def test_a_walk_ends_at_the_end_of_the_mib_view() -> None:
    found = await walk(FakeSession(PORTS), IF_NAME, Size(10, 40))
    assert (found.complete, len(found.rows)) == (True, 48)


async def test_a_subtree_that_is_not_there_is_a_complete_walk_of_no_rows() -> None:
    assert await walk(agent(), oid("1.3.6.1.2.1.25.3.3.1.2"), Size(10, 40)) == ([], True, "")


async def test_a_short_reply_is_not_the_end() -> None:
    session = agent(spoil=lambda m, n, r: r._replace(varbinds=r.varbinds[:3]))
    found = await walk(session, IF_NAME, Size(10, 40))
    assert (found.complete, len(found.rows)) == (True, 48)


async def test_too_big_with_no_bindings_halves_the_page_and_is_remembered() -> None:
    def spoil(method: str, asked: int, reply: Reply) -> Reply:
        return Reply(codec.TOO_BIG, 0, [], 0.0) if asked > 3 else reply

    size = Size(10, 40)
    session = agent(spoil=spoil)
    assert len((await walk(session, IF_NAME, size)).rows) == 48
    first = len(session.asked)
    assert len((await walk(session, IF_NAME, size)).rows) == 48
    assert all(asked <= 3 for _, asked in session.asked[first:])


async def test_too_big_in_the_middle_loses_no_row() -> None:
    def spoil(method: str, asked: int, reply: Reply) -> Reply:
        deep = any(arcs(name)[-1] > 20 for name, _ in reply.varbinds)
        return Reply(codec.TOO_BIG, 0, [], 0.0) if deep and asked > 2 else reply

    found = await walk(agent(spoil=spoil), IF_NAME, Size(10, 40))
    assert (found.complete, len(found.rows)) == (True, 48)


async def test_an_agent_that_says_gen_err_at_one_row_gives_an_unproved_walk() -> None:
    def spoil(method: str, asked: int, reply: Reply) -> Reply:
        touched = any(arcs(name)[-1] == 21 for name, _ in reply.varbinds)
        return Reply(codec.GEN_ERR, 1, reply.varbinds, 0.0) if touched else reply

    found = await walk(agent(spoil=spoil), IF_NAME, Size(10, 40))
    assert not found.complete
    assert found.reason == "genErr after row 20, asking for one row"
    assert len(found.rows) == 20


async def test_empty_replies_end_unproved() -> None:
    session = agent(spoil=lambda m, n, r: r._replace(varbinds=[]))
    found = await walk(session, IF_NAME, Size(10, 40))
    assert (found.complete, found.reason) == (False, "empty reply after row 0, asking for one row")


async def test_identifiers_that_do_not_increase_end_the_walk() -> None:
    session = agent(spoil=lambda m, n, r: r._replace(varbinds=[(oid(f"{COLUMN}.1"), b"ether1")]))
    found = await walk(session, IF_NAME, Size(10, 40))
    assert (found.complete, found.reason) == (False, "identifier not increasing after row 1")


async def test_an_agent_that_jumps_back_before_the_subtree_has_proved_nothing() -> None:
    session = agent(spoil=lambda m, n, r: r._replace(varbinds=[(SYS_UPTIME, 1)]))
    assert not (await walk(session, IF_NAME, Size(10, 40))).complete


async def test_a_walk_of_too_many_rows_is_cut() -> None:
    found = await walk(agent(), IF_NAME, Size(10, 40), max_rows=30)
    assert (found.complete, found.reason, len(found.rows)) == (False, "more than 30 rows", 30)


async def test_an_index_over_2_to_the_31_is_no_negative_number() -> None:
    high = {f"{COLUMN}.{i}": b"x" for i in (1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)}
    found = await walk(FakeSession(high), IF_NAME, Size(2, 2))
    assert (found.complete, len(found.rows)) == (True, 4)


async def test_an_index_over_2_to_the_32_is_refused() -> None:
    trail = Trail(IF_NAME)
    trail.take([(IF_NAME + b"\x90\x80\x80\x80\x00", b"x")])
    assert trail.result is not None
    assert "over 2^32-1" in trail.result.reason


async def test_a_page_that_gets_no_answer_from_a_living_agent_is_halved() -> None:
    session = agent(spoil=lambda m, n, r: None if n > 4 else r)
    found = await walk(session, IF_NAME, Size(10, 40))
    assert (found.complete, len(found.rows)) == (True, 48)
    assert ("get", 1) in session.asked


async def test_a_dead_agent_is_asked_one_cheap_question_and_left_alone() -> None:
    session = agent(spoil=lambda m, n, r: None)
    with pytest.raises(NoAnswer):
        await walk(session, IF_NAME, Size(10, 40))
    assert session.asked == [("bulk", 10), ("get", 1)]


async def test_pages_grow_while_all_goes_well() -> None:
    session = agent()
    await walk(session, IF_NAME, Size(4, 20))
    assert [asked for _, asked in session.asked] == [4, 8, 16, 20, 20]


# ---------------------------------------------------------------- gets


PLAN_ROWS = {i: (oid(f"{COLUMN}.{i}"), oid(f"{COLUMN}.{i}")) for i in range(1, 49)}


async def read_all(session: FakeSession, max_names: int = 50) -> tuple[Reader, dict[int, object]]:
    reader = Reader(session, 40, max_names)
    found: dict[int, object] = {}
    async for page in reader.read(Plan(PLAN_ROWS, PLAN_ROWS.values())):
        assert page.ticks == 4711
        for row, values in page.rows:
            assert row not in found
            found[row] = values[0]
    return reader, found


ALL = {i: f"ether{i}".encode() for i in range(1, 49)}


async def test_every_row_is_read_with_the_uptime_of_its_own_pdu() -> None:
    session = agent()
    _, found = await read_all(session)
    assert found == ALL
    assert [asked for _, asked in session.asked] == [21, 43, 35]


@pytest.mark.parametrize(
    "fault",
    [
        lambda reply: Reply(codec.TOO_BIG, 0, [], 0.0),
        lambda reply: Reply(codec.GEN_ERR, 3, reply.varbinds, 0.0),
        lambda reply: reply._replace(varbinds=[]),
        lambda reply: reply._replace(varbinds=reply.varbinds[:-1]),
        lambda reply: None,
    ],
    ids=["tooBig", "genErr", "empty", "short", "silence"],
)
async def test_a_get_that_is_too_much_is_halved_and_loses_nothing(fault: object) -> None:
    def spoil(method: str, asked: int, reply: Reply) -> Reply | None:
        return fault(reply) if asked > 9 else reply  # type: ignore[operator]

    session = agent(spoil=spoil)
    reader, found = await read_all(session)
    assert found == ALL
    assert reader.skipped == []


async def test_a_row_that_the_agent_cannot_answer_is_skipped_with_a_reason() -> None:
    def spoil(method: str, asked: int, reply: Reply) -> Reply:
        touched = (oid(f"{COLUMN}.7"), b"ether7") in reply.varbinds
        return Reply(codec.GEN_ERR, 2, reply.varbinds, 0.0) if touched else reply

    reader, found = await read_all(agent(spoil=spoil))
    assert found == {i: name for i, name in ALL.items() if i != 7}
    assert reader.skipped == 2 * [f"genErr at {COLUMN}.7"]  # each of its two names, asked alone


WIDE = [oid(f"{COLUMN}.{i}") for i in range(1, 8)]


async def read_wide(spoil: object, rows: int = 1) -> tuple[FakeSession, Reader, list[object]]:
    """Rows of seven names."""
    session = agent(spoil=spoil)
    reader = Reader(session, 40, 50)
    found: list[object] = []
    async for page in reader.read(Plan(range(rows), [tuple(WIDE)] * rows)):
        assert page.ticks == 4711
        for _, values in page.rows:
            found += values
    return session, reader, found


@pytest.mark.parametrize("most", [2, 3, 4, 5, 7, 8])
async def test_a_row_that_is_too_much_is_split_and_the_size_is_remembered(most: int) -> None:
    def spoil(method: str, asked: int, reply: Reply) -> Reply:
        return Reply(codec.TOO_BIG, 0, [], 0.0) if asked > most else reply

    session, reader, found = await read_wide(spoil, rows=3)
    assert found == 3 * [f"ether{i}".encode() for i in range(1, 8)]
    assert reader.skipped == []
    good = [asked for _, asked in session.asked if asked <= most]
    assert [asked for _, asked in session.asked][-len(good) :] == good, "it forgot what failed"


async def test_one_name_that_the_agent_refuses_costs_its_row_that_name_alone() -> None:
    def spoil(method: str, asked: int, reply: Reply) -> Reply:
        touched = any(name == WIDE[4] for name, _ in reply.varbinds)
        return Reply(codec.GEN_ERR, 2, reply.varbinds, 0.0) if touched else reply

    _, reader, found = await read_wide(spoil)
    assert found.pop(4) is Absent.UNREADABLE
    assert found == [f"ether{i}".encode() for i in (1, 2, 3, 4, 6, 7)]
    assert reader.skipped == [f"genErr at {COLUMN}.5"]


async def test_what_came_before_a_restart_between_two_parts_of_a_row_is_not_taken() -> None:
    uptimes = iter([100_000, 100_100, 3, 103, 203, 303])

    def spoil(method: str, asked: int, reply: Reply) -> Reply:
        if asked > 2:
            return Reply(codec.TOO_BIG, 0, [], 0.0)
        (name, _), *rest = reply.varbinds
        return reply._replace(varbinds=[(name, next(uptimes)), *rest])

    reader = Reader(agent(spoil=spoil), 40, 50)
    (page,) = [page async for page in reader.read(Plan([1], [tuple(WIDE[:5])]))]
    assert page.rows == [(1, 2 * [Absent.UNREADABLE] + [b"ether3", b"ether4", b"ether5"])]
    assert (page.ticks, page.lags[2:]) == (203, [200, 100, 0])


async def test_values_under_other_names_than_asked_are_not_taken() -> None:
    def spoil(method: str, asked: int, reply: Reply) -> Reply:
        first, *rest = reply.varbinds
        return reply._replace(varbinds=[first, *reversed(rest)])

    _, found = await read_all(agent(spoil=spoil))
    assert Absent.UNREADABLE in found.values()
    assert all(value in (Absent.UNREADABLE, ALL[row]) for row, value in found.items())
