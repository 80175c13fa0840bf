"""Alerts that follow from another are counted and shown with it."""

from __future__ import annotations

from hub.web.showing import Showing
from tests.web_support import FakeBackend


def scene() -> FakeBackend:
    """The core is gone; it explains a router, which explains a camera."""
    backend = FakeBackend()
    backend.observe("environment", "aq-1", {"pm25": 5.0}, sensor="a")
    backend.observe("camera", "cam-1", {"up": 1})
    backend.fire("router_down", "r-core", "critical", means="down")
    backend.fire("router_down", "r-dishub", "critical", means="down", cause="router_down/r-core")
    backend.fire("camera_silent", "cam-1", cause="router_down/r-dishub")
    return backend


def test_only_troubles_of_their_own_count_as_active() -> None:
    backend = scene()
    backend.fire("pm25", "aq-1")
    assert Showing(backend).counts().alerts == {
        "critical": 1, "warning": 1, "info": 0, "acknowledged": 0, "pending": 0, "explained": 2,
    }  # fmt: skip


def test_a_chain_of_causes_ends_at_its_first_alert_which_names_all_it_takes_along() -> None:
    alerts, _ = Showing(scene()).alerts()
    assert [(one.key, one.root) for one in alerts] == [
        ("router_down/r-core", ""),
        ("router_down/r-dishub", "router_down/r-core"),
        ("camera_silent/cam-1", "router_down/r-core"),
    ]
    # The camera still sends, but its alert says that the core explains it; r-dlh is silent.
    assert alerts[0].drags == ["cam-1", "r-dishub", "r-dlh"]
    assert alerts[1].drags == []


def test_what_follows_from_an_alert_that_is_not_told_stands_by_itself() -> None:
    backend = FakeBackend()
    backend.fire("router_down", "r-core", state="pending", means="down")
    backend.fire("camera_silent", "cam-1", cause="router_down/r-core")
    backend.fire("camera_silent", "aq-1", cause="gone")
    assert {one.key: one.root for one in Showing(backend).alerts()[0]} == {
        "router_down/r-core": "", "camera_silent/cam-1": "", "camera_silent/aq-1": "",
    }  # fmt: skip


def test_a_circle_of_causes_hides_no_alert() -> None:
    backend = FakeBackend()
    backend.fire("a", "r-dlh", cause="b/r-dishub")
    backend.fire("b", "r-dishub", cause="a/r-dlh")
    assert any(not one.root for one in Showing(backend).alerts()[0])


def test_roots_are_sent_before_what_follows_from_them_however_many_there_are() -> None:
    backend = scene()
    for number in range(400):
        backend.fire("silent", f"cam-{number}", "critical", cause="router_down/r-core")
    backend.fire("rain", "aq-1", "info")
    alerts, left_out = Showing(backend).alerts()
    assert [one.root for one in alerts[:3]] == ["", "", "router_down/r-core"]
    assert len(alerts) + left_out == len(backend.current)
