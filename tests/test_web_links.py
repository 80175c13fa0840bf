"""What counts as a link, an office that is cut off, and since when."""

from __future__ import annotations

from typing import Any

import pytest

from hub.clock import NS
from hub.inventory_file import from_data
from hub.web.public import PublicView
from hub.web.showing import Showing
from tests.web_support import NOW, FakeBackend


def backend_of(*routers: dict[str, Any]) -> FakeBackend:
    """Routers of one office in one place."""
    return FakeBackend(
        inventory=from_data(
            {
                "sites": [{"id": "balige", "name": "Balige"}],
                "opds": [{"id": "dlh", "name": "DLH", "site": "balige"}],
                "devices": [
                    {"kind": "router", "site": "balige", "opd": "dlh", **one} for one in routers
                ],
            }
        )
    )


MARKED = {"id": "r-1", "collect": {"snmp": {"uplinks": ["ether1", "ether2"]}, "netprobe": {}}}


def links(backend: FakeBackend) -> tuple[int, int]:
    found = Showing(backend).counts().links
    return found.up, found.total


def unknown(backend: FakeBackend) -> int:
    return Showing(backend).counts().links.unknown


def poll(backend: FakeBackend, device: str = "r-1", **ports: int) -> None:
    """An answer of the agent: these ports, up (1) or down (0)."""
    backend.observe("device", device, {"up": 1}, probe="snmp")
    for name, up in ports.items():
        backend.observe("interface", device, {"oper_up": up, "admin_up": 1}, ifname=name)


def test_uplinks_of_a_router_that_never_answered_are_down() -> None:
    backend = backend_of(MARKED, {"id": "r-2"})
    assert links(backend) == (0, 3)
    assert unknown(backend) == 0


def test_a_router_that_marks_no_uplink_is_one_link() -> None:
    backend = backend_of({"id": "r-2"})
    backend.observe("device", "r-2", {"up": 1}, probe="icmp")
    assert links(backend) == (1, 1)


def test_each_marked_uplink_counts_by_itself_and_other_ports_do_not() -> None:
    backend = backend_of(MARKED)
    poll(backend, ether1=1, ether2=0, ether3=0)
    assert links(backend) == (1, 2)


def test_a_port_shut_on_purpose_is_no_link() -> None:
    backend = backend_of(MARKED)
    poll(backend, ether1=1)
    backend.observe("interface", "r-1", {"oper_up": 0, "admin_up": 0}, ifname="ether2")
    assert links(backend) == (1, 1)


def test_of_a_port_that_an_answering_agent_does_not_tell_nobody_knows() -> None:
    backend = backend_of(MARKED)
    poll(backend, ether1=0)
    assert links(backend) == (0, 2)
    assert unknown(backend) == 1


def test_links_are_unknown_when_the_agent_is_silent_though_ping_answers() -> None:
    backend = backend_of(MARKED)
    poll(backend, ether1=1, ether2=1)
    assert links(backend) == (2, 2)
    backend.observe("device", "r-1", {"up": 0}, probe="snmp")
    backend.observe("device", "r-1", {"up": 1}, probe="icmp")
    assert Showing(backend).state("r-1") == "ok"
    assert links(backend) == (0, 2)
    assert unknown(backend) == 2


def test_a_ping_that_is_refused_takes_no_link_down() -> None:
    backend = backend_of(MARKED)
    poll(backend, ether1=1, ether2=1)
    backend.observe("device", "r-1", {"up": 0}, probe="icmp")
    assert links(backend) == (2, 2)


def test_a_port_not_heard_for_three_of_its_gaps_is_not_believed() -> None:
    backend = backend_of(MARKED)
    for _ in range(4):
        backend.time_ns += 60 * NS
        poll(backend, ether1=1, ether2=1)
    for _ in range(19):
        backend.time_ns += 10 * NS
        backend.observe("device", "r-1", {"up": 1}, probe="icmp")
    assert links(backend) == (0, 2)
    assert unknown(backend) == 2


@pytest.mark.parametrize("state", ["firing", "acknowledged"])
async def test_an_office_is_cut_off_while_a_rule_says_down_whatever_ping_says(state: str) -> None:
    backend = backend_of(MARKED)
    poll(backend, ether1=1, ether2=1)
    backend.fire("gone", "r-1", "critical", state=state, means="down", since_ns=NOW - 240 * NS)
    look = Showing(backend)
    counts = look.counts()
    assert (counts.opds.up, counts.opds.total) == (0, 1)
    assert (counts.links.up, counts.links.total) == (0, 2)
    now = look.device("r-1", 0)
    assert (now.state, now.off_since_ms) == ("down", (NOW - 240 * NS) // 1_000_000)
    (office,) = (await PublicView(backend).page()).services
    assert (office.state, office.since_ms) == ("offline", now.off_since_ms)


async def test_an_office_with_a_second_router_that_lives_is_online() -> None:
    backend = backend_of(MARKED, {"id": "r-2"})
    poll(backend, ether1=1, ether2=1)
    backend.observe("device", "r-2", {"up": 1}, probe="icmp")
    backend.fire("gone", "r-1", "critical", means="down")
    (office,) = (await PublicView(backend).page()).services
    assert (office.state, office.since_ms) == ("online", None)


def test_a_pending_alert_cuts_nobody_off() -> None:
    backend = backend_of(MARKED)
    poll(backend, ether1=1, ether2=1)
    backend.fire("gone", "r-1", "critical", state="pending", means="down")
    assert Showing(backend).counts().opds.up == 1
