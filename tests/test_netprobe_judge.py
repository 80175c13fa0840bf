"""What a sweep means, without a network: turns in, findings and numbers out."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.netprobe.config import NetprobeSection
from collectors.netprobe.lan import (
    FORGET,
    MOST_TOLD,
    MOVED_TURNS,
    Claim,
    Expected,
    Heard,
    Judged,
    Lan,
    Memory,
    Server,
)
from hub import configuration
from hub.problems import Misconfigured

A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
LISTED = Expected({"10.1.0.1": "gw", "10.1.0.7": "cam"})


def turn(lan: Lan, *claims: tuple[str, str], expected: Expected = LISTED) -> Judged:
    return lan.judge(Heard([Claim(*claim, 0.1) for claim in claims], [], 0), expected, 5.0)


def words(judged: Judged) -> list[tuple[str, str]]:
    return [(told.name, told.text) for told in judged.told]


def test_an_answer_that_is_lost_now_and_then_ends_nothing() -> None:
    lan = Lan()
    assert words(turn(lan, ("10.1.0.9", A)))[0][0] == "unknown_device"
    for _ in range(FORGET - 1):
        assert turn(lan).told == []
    assert turn(lan, ("10.1.0.9", A)).told == []
    for _ in range(FORGET - 1):
        turn(lan)
    assert words(turn(lan)) == [("unknown_device_over", "10.1.0.9: no longer")]


def test_a_stranger_with_a_known_mac_is_named_after_it() -> None:
    lan = Lan()
    turn(lan, ("10.1.0.7", A))
    ((_, text),) = words(turn(lan, ("10.1.0.9", A)))
    assert text.endswith("; cam (10.1.0.7) has that MAC")


def test_a_proxy_that_answers_for_everybody_is_one_finding() -> None:
    judged = turn(Lan(), *((f"10.1.0.{n}", A) for n in range(20, 220)), ("10.1.0.9", B))
    assert judged.numbers["unknown"] == 2
    assert sorted(text.split(" ")[0] for _, text in words(judged)) == [A, "10.1.0.9"]
    assert any("answers at 200 addresses" in text for _, text in words(judged))


def test_who_takes_over_listed_addresses_too_makes_duplicates_of_them() -> None:
    lan = Lan()
    turn(lan, ("10.1.0.1", A), ("10.1.0.7", B))
    stolen = [(f"10.1.0.{n}", C) for n in range(1, 30)]
    judged = turn(lan, ("10.1.0.1", A), ("10.1.0.7", B), *stolen)
    assert (judged.numbers["unknown"], judged.numbers["duplicates"]) == (1, 2)


def test_of_many_at_once_some_are_told_and_all_are_counted() -> None:
    judged = turn(Lan(), *((f"10.1.1.{n}", f"02:00:00:00:01:{n:02x}") for n in range(1, 101)))
    assert judged.numbers["unknown"] == 100
    assert len(judged.told) == MOST_TOLD + 1
    assert judged.told[-1].text == "and 80 more"


def test_a_device_with_two_macs_of_its_own_is_no_duplicate() -> None:
    expected = Expected({"10.1.0.7": "nvr"}, macs={"nvr": frozenset((A, B))})
    lan = Lan()
    judged = turn(lan, ("10.1.0.7", A), ("10.1.0.7", B), expected=expected)
    assert (judged.numbers["duplicates"], judged.told) == (0, [])
    assert turn(lan, ("10.1.0.7", C), expected=expected).numbers["moved"] == 1


def test_two_macs_heard_one_after_the_other_are_no_duplicate() -> None:
    heard = Heard([Claim("10.1.0.7", A, 60.0), Claim("10.1.0.7", B, 0.5)], [], 0)
    judged = Lan().judge(heard, LISTED, 5.0)
    assert judged.numbers["duplicates"] == 0


def test_a_mac_that_changed_counts_for_an_hour_and_is_then_the_known_one() -> None:
    lan = Lan()
    turn(lan, ("10.1.0.7", A))
    assert turn(lan, ("10.1.0.7", B)).numbers["moved"] == 1
    numbers = [turn(lan, ("10.1.0.7", B)).numbers["moved"] for _ in range(MOVED_TURNS + FORGET)]
    assert numbers[MOVED_TURNS - 2] == 1
    assert numbers[-1] == 0
    assert turn(lan, ("10.1.0.7", A)).numbers["moved"] == 1


def test_what_moved_while_the_hub_was_down_is_found_and_what_moved_before_still_counts() -> None:
    before = Lan()
    turn(before, ("10.1.0.1", A), ("10.1.0.7", A))
    turn(before, ("10.1.0.1", B), ("10.1.0.7", A))
    lan = Lan(Memory.model_validate_json(before.memory().model_dump_json()))
    assert turn(lan).numbers["moved"] == 1  # nobody answers yet
    assert words(turn(lan, ("10.1.0.1", B), ("10.1.0.7", C))) == [
        ("mac_moved", f"cam (10.1.0.7) answers with {C}; before it was {A}")
    ]
    for _ in range(MOVED_TURNS + FORGET):
        turn(lan, ("10.1.0.1", B), ("10.1.0.7", C))
    assert turn(lan).numbers["moved"] == 0
    assert lan.memory() == Memory(macs={"10.1.0.1": B, "10.1.0.7": C})


def test_servers_are_held_against_those_that_may() -> None:
    servers = [Server("10.1.0.1", A, "10.1.0.50", 1.0), Server("10.1.0.8", B, "0.0.0.0", 1.0)]
    heard = Heard([], servers, 0)
    judged = Lan().judge(heard, Expected({}, servers=frozenset({"10.1.0.1"})), 5.0)
    assert (judged.numbers["rogue_dhcp"], judged.numbers["dhcp_servers"]) == (1, 1)
    none = Lan().judge(heard, Expected({}, servers=frozenset()), 5.0)
    assert none.numbers["rogue_dhcp"] == 2
    assert "rogue_dhcp" not in Lan().judge(heard, Expected({}), 5.0).numbers


ADDRESSES = st.integers(1, 30).map(lambda n: f"10.1.0.{n}")
CLAIMS = st.builds(Claim, ADDRESSES, st.sampled_from([A, B, C]), st.floats(0, 120))
SERVERS = st.builds(Server, ADDRESSES, st.sampled_from([A, B]), ADDRESSES, st.floats(0, 120))


@given(
    st.lists(st.tuples(st.lists(CLAIMS, max_size=12), st.lists(SERVERS, max_size=4)), max_size=9)
)
def test_what_begins_is_told_once_and_ends_once(
    turns: list[tuple[list[Claim], list[Server]]],
) -> None:
    expected = Expected(
        {"10.1.0.1": "gw", "10.1.0.7": "cam"},
        macs={"gw": frozenset({A})},
        guests=[IPv4Network("10.1.0.16/29")],
        servers=frozenset({"10.1.0.1"}),
        own="10.1.0.2",
    )
    lan, going = Lan(), dict.fromkeys(KINDS, 0)
    for hosts, servers in [*turns, *[([], [])] * (MOVED_TURNS + FORGET)]:
        judged = lan.judge(Heard(hosts, servers, 0), expected, 5.0)
        for told in judged.told:
            name = told.name.removesuffix("_over")
            going[name] += -1 if told.name.endswith("_over") else 1
        assert [going[kind] for kind in KINDS] == [judged.numbers[n] for n in KINDS.values()]
    # What the inventory says of a MAC holds as long as nobody else was heard.
    assert [going[kind] for kind in KINDS] == [0, 0, 0, 0]


KINDS = {
    "unknown_device": "unknown",
    "duplicate_address": "duplicates",
    "mac_moved": "moved",
    "rogue_dhcp": "rogue_dhcp",
}


SETTINGS = """\
inventory: [inventory.yaml]
collectors: {netprobe: {sweep_s: 0}}
"""
INVENTORY = """\
sites: [{id: balige, name: Balige}]
devices:
  - id: gw
    kind: router
    site: balige
    address: 10.12.1.1
    collect:
      netprobe:
        interface: "a name that is too long"
        sweep: [10.12.1.0/24, 10.12.1.7/24]
        dhcp_servers: [10.12.1]
        mac: 48:8f:5a
  - id: cam
    kind: camera
    site: balige
    address: 10.12.1.7
    collect: {netprobe: {guests: 10.0.0.0/8}}
  - id: r2
    kind: router
    site: balige
    collect: {netprobe: {interface: eth0, sweep: 10.0.0.0/16}}
"""


def test_check_names_every_mistake_with_its_line_and_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "toba-hub.yaml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "inventory.yaml").write_text(INVENTORY, encoding="utf-8")
    with pytest.raises(Misconfigured) as caught:
        configuration.load(tmp_path / "toba-hub.yaml")
    found = [(p.line, p.key.split("netprobe")[-1], p.message) for p in caught.value.problems]
    assert found == [
        (9, ".interface", "is no name of an interface: 'a name that is too long'"),
        (10, ".sweep[1]", "is no IPv4 network: '10.12.1.7/24'"),
        (11, ".dhcp_servers[0]", "is no IPv4 address: '10.12.1'"),
        (12, ".mac[0]", "is no MAC: '48:8f:5a'"),
        (17, "", "guests without interface"),
        (21, "", "sweep has over 1024 addresses"),
        (2, ".sweep_s", "input should be greater than or equal to 0.2, not 0"),
    ]
    assert all(problem.remedy for problem in caught.value.problems[:-1])


@pytest.mark.parametrize(
    ("section", "mac"),
    [({"mac": "48-8F-5A-00-12-7C"}, ["48:8f:5a:00:12:7c"]), ({"mac": [A, B]}, [A, B])],
)
def test_macs_may_be_written_as_devices_print_them(section: dict[str, Any], mac: list[str]) -> None:
    assert NetprobeSection.model_validate(section).mac == mac
