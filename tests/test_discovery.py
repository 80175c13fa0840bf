"""What a search's answers become: ids, twins, changes, the file. Pure."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub import inventory, inventory_file, registry
from hub.api import BadItem, Found
from hub.discovery import (
    TO_FILL,
    Changes,
    Known,
    Thing,
    Words,
    compare,
    document,
    hosts,
    slug,
    things,
)


def found(tail: int, name: str = "", model: str = "RouterOS", **more: object) -> Found:
    return Found(f"10.12.0.{tail}", name, "router", model, **more)  # type: ignore[arg-type]


def made(*founds: Found, known: tuple[Known, ...] = ()) -> list[Thing]:
    return things({"snmp": founds}, known)


def entry(thing: Thing) -> Known:
    """As the file keeps it."""
    return Known(thing.id, thing.found.address, Words.of(thing.says.note))


# ---------------------------------------------------------------- addresses


def test_blocks_become_addresses_each_once() -> None:
    assert hosts(["10.12.0.0/30", "10.12.0.2", "fd00::/127"]) == [
        "10.12.0.1",
        "10.12.0.2",
        "fd00::",
        "fd00::1",
    ]


def test_a_block_with_host_bits_is_taken_as_the_network_it_lies_in() -> None:
    assert hosts(["10.12.0.77/30"]) == ["10.12.0.77", "10.12.0.78"]


@pytest.mark.parametrize("blocks", [["10.0.0.0/15"], ["10.0.0.0/16", "10.1.0.0/32"], ["fd00::/64"]])
def test_more_than_a_slash_16_is_refused_before_any_address_is_made(blocks: list[str]) -> None:
    with pytest.raises(BadItem, match="add --yes"):
        hosts(blocks)


def test_whoever_insists_may_ask_more() -> None:
    assert len(hosts(["10.0.0.0/15"], most=None)) == 2**17 - 2


def test_what_is_no_block_is_named() -> None:
    with pytest.raises(BadItem, match=r"'10\.12\.0\.0/33' is no address block"):
        hosts(["10.12.0.0/33"])


# ---------------------------------------------------------------- ids


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("r-dlh", "r-dlh"),
        ("Router DLH (lantai 2)", "router-dlh-lantai-2"),
        ("r1.tobakab.go.id", "r1.tobakab.go.id"),
        ("--", ""),
        ("路由器", ""),
    ],
)
def test_an_id_is_the_name_as_ids_are_written(name: str, id: str) -> None:
    assert slug(name) == id


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 254), st.text(max_size=80)), max_size=20))
def test_ids_are_unique_and_valid_whatever_devices_are_called(pairs: list[tuple[int, str]]) -> None:
    ids = [thing.id for thing in made(*(found(tail, name) for tail, name in dict(pairs).items()))]
    assert len(set(ids)) == len(ids) == len(dict(pairs))
    for id in ids:
        inventory.Device(id=id, kind="router", site="balige")


def test_a_name_that_several_have_gets_the_address_behind_it() -> None:
    ids = [t.id for t in made(found(1, "MikroTik"), found(2, "MikroTik"), found(3, "r-dlh"))]
    assert ids == ["mikrotik-10-12-0-1", "mikrotik-10-12-0-2", "r-dlh"]


def test_a_device_without_a_name_is_called_by_its_kind_and_address() -> None:
    assert made(found(1))[0].id == "router-10-12-0-1"


def test_ids_do_not_depend_on_the_order_of_answers() -> None:
    one, two = found(9, "MikroTik"), found(10, "MikroTik")
    assert [t.id for t in made(one, two)] == [t.id for t in made(two, one)]


def test_a_known_address_keeps_its_id_and_nobody_else_gets_it() -> None:
    known = (Known("r-dlh", "10.12.0.1"),)
    assert [t.id for t in made(found(1, "x"), found(2, "r-dlh"), known=known)] == [
        "r-dlh",
        "r-dlh-10-12-0-2",
    ]


# ---------------------------------------------------------------- twins


BOTH = frozenset({"10.12.0.1", "10.12.0.2", "127.0.0.1"})


def test_one_device_at_two_addresses_is_one_device() -> None:
    (only,) = made(found(2, "r", addresses=BOTH), found(1, "r", addresses=BOTH))
    assert (only.found.address, only.others) == ("10.12.0.1", ("10.12.0.2",))


def test_of_two_addresses_the_known_one_stays() -> None:
    known = (Known("r", "10.12.0.2"),)
    (only,) = made(found(1, "r", addresses=BOTH), found(2, "r", addresses=BOTH), known=known)
    assert (only.id, only.found.address, only.others) == ("r", "10.12.0.2", ("10.12.0.1",))


def test_two_devices_with_the_same_inside_address_stay_two() -> None:
    inside = "192.168.88.1"
    one = found(1, "MikroTik", addresses=frozenset({inside, "10.12.0.1"}))
    two = found(2, "MikroTik", addresses=frozenset({inside, "10.12.0.2"}))
    assert len(made(one, two)) == 2


def test_two_collectors_at_one_address_make_one_entry() -> None:
    (only,) = things(
        {"snmp": [found(1, "cam", section={"community": "x"})], "other": [Found("10.12.0.1")]}, ()
    )
    assert only.collect == {"snmp": {"community": "x"}, "other": {}}
    assert (only.found.name, only.found.kind) == ("cam", "router")


# ---------------------------------------------------------------- what changed


ASKED = {f"10.12.0.{n}" for n in range(1, 255)}


def test_nothing_changed() -> None:
    known = [entry(t) for t in made(found(1, "a"), found(2, "b"))]
    changes = compare(made(found(1, "a"), found(2, "b"), known=tuple(known)), known, ASKED, ())
    assert changes.same == known
    assert changes == Changes(same=known)


def test_new_gone_moved_renamed_and_altered_are_told_apart() -> None:
    before = made(found(1, "a"), found(2, "b"), found(3, "c"), found(4, "d"))
    known = tuple(entry(t) for t in before)
    now = made(
        found(1, "a2"), found(2, "b", "RouterOS 7"), found(30, "c"), found(5, "e"), known=known
    )
    changes = compare(now, known, ASKED, ())
    assert [t.id for t in changes.new] == ["e"]
    assert [k.id for k in changes.gone] == ["d"]
    assert [(c.known.id, c.was, c.now) for c in changes.moved] == [("c", "10.12.0.3", "10.12.0.30")]
    assert [(c.known.id, c.was, c.now) for c in changes.renamed] == [("a", "a", "a2")]
    assert [(c.known.id, c.was, c.now) for c in changes.altered] == [
        ("b", "RouterOS", "RouterOS 7")
    ]


def test_of_an_address_that_was_not_asked_nothing_is_concluded() -> None:
    known = [Known("far", "10.99.0.1", Words("far", "RouterOS"))]
    changes = compare((), known, ASKED, ())
    assert not changes.gone
    assert not changes.same


def test_who_refuses_is_not_gone() -> None:
    refused = Found("10.12.0.1", refusal="the agent knows no user 'x'")
    changes = compare((), [Known("r", "10.12.0.1")], ASKED, [refused])
    assert not changes.gone
    assert changes.refused == [refused]


def test_a_name_that_several_have_does_not_tell_who_moved() -> None:
    known = [Known(f"m{n}", f"10.12.0.{n}", Words("MikroTik", "RouterOS")) for n in (1, 2)]
    changes = compare(made(found(8, "MikroTik"), found(9, "MikroTik")), known, ASKED, ())
    assert not changes.moved
    assert [k.id for k in changes.gone] == ["m1", "m2"]
    assert len(changes.new) == 2


def test_an_entry_that_a_person_wrote_may_be_called_as_he_likes() -> None:
    changes = compare(made(found(1, "MikroTik")), [Known("r-dlh", "10.12.0.1")], ASKED, ())
    assert [k.id for k in changes.same] == ["r-dlh"]


def test_one_that_a_person_wrote_moved_when_its_id_is_the_devices_name() -> None:
    changes = compare(made(found(7, "R-DLH")), [Known("r-dlh", "10.12.0.1")], ASKED, ())
    assert [(c.known.id, c.now) for c in changes.moved] == [("r-dlh", "10.12.0.7")]


# ---------------------------------------------------------------- the file


ODD = [
    found(1, "r-dlh", section={"community": "2024"}, place="Balige\nlantai 2"),
    found(
        2,
        "- nama: #1 'aneh' \"sekali\"",
        model="Linux: {x}\tNaïve\x00 \x1b",
        section={"port": 1161},
    ),
    found(3, "null", model="", addresses=frozenset()),
    found(4, "yes"),
]


def test_the_file_passes_check_whatever_devices_say(tmp_path: Path) -> None:
    file = tmp_path / "found.yaml"
    file.write_text(document(made(*ODD), "head\nof it", TO_FILL, "", with_site=True), "utf-8")
    read = inventory_file.read([file], registry.find())
    assert {d.address for d in read.devices.values()} == {f"10.12.0.{n}" for n in range(1, 5)}
    assert {d.site for d in read.devices.values()} == {TO_FILL}
    assert read.devices["r-dlh"].collect == {"snmp": {"community": "2024"}}


def test_where_a_person_must_write_is_marked_with_what_the_device_says_of_its_place() -> None:
    text = document(made(*ODD), "", TO_FILL, "", with_site=True)
    assert text.count("# TO FILL") == len(ODD)
    assert "site: to-fill   # TO FILL; it says it stands in: Balige lantai 2\n" in text


def test_a_site_that_was_given_leaves_nothing_to_fill() -> None:
    text = document(made(*ODD), "", "balige", "dlh", with_site=False)
    assert "TO FILL" not in text
    plain = yaml.safe_load(text)
    assert set(plain) == {"devices"}
    assert {(d["site"], d["opd"]) for d in plain["devices"]} == {("balige", "dlh")}


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
@example("", "0\x850")
def test_what_the_file_keeps_of_a_device_is_read_as_no_change(name: str, model: str) -> None:
    before = made(found(1, name, model))
    plain = yaml.safe_load(document(before, "", "balige", "", with_site=False))["devices"][0]
    known = [Known(plain["id"], plain["address"], Words.of(plain["note"]))]
    changes = compare(made(found(1, name, model), known=tuple(known)), known, ASKED, ())
    assert changes.same == known
