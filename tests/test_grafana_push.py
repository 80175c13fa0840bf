"""Pushing into an existing Grafana: shows first, does what it showed, says what is wrong."""

from __future__ import annotations

import copy
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from grafana.annotations import annotate, annotate_maintenance
from grafana.build import load
from grafana.client import Grafana, PushError
from grafana.diff import differences
from grafana.push import Source, apply, plan, push, source_health
from rules.transition import Transition
from tests.grafana_stub import PASSWORD, TOKEN, USER, Stub, grafana_stub

SOURCE = Source(url="http://influxdb:8086", password="only for reading")


@pytest.fixture
def stub() -> Iterator[Stub]:
    with grafana_stub() as running:
        yield running
        assert running.violations == []


def connect(stub: Stub) -> Grafana:
    return Grafana(stub.url, token=TOKEN)


def yes(_: object) -> bool:
    return True


def states(grafana: Grafana, **options: Any) -> dict[str, str]:
    return {change.uid: change.state for change in plan(grafana, **options).changes}


def test_an_empty_grafana_gets_the_data_source_the_folder_and_all_dashboards(stub: Stub) -> None:
    done = push(connect(stub), source=SOURCE, confirm=yes)

    assert len(done) == 6
    assert stub.folders["toba-hub"]["title"] == "Toba hub"
    assert stub.sources["influx"]["url"] == "http://influxdb:8086"
    assert stub.sources["influx"]["secureJsonFields"] == {"password": True}
    for board in load().values():
        kept = stub.boards[board["uid"]]
        assert kept["panels"] == board["panels"]
        assert stub.metas[board["uid"]]["folderUid"] == "toba-hub"


def test_nothing_is_changed_before_somebody_said_yes(stub: Stub) -> None:
    shown: list[str] = []

    def no(planned: Any) -> bool:
        shown.extend(planned.lines())
        return False

    assert push(connect(stub), source=SOURCE, confirm=no) == []
    assert {method for method, _ in stub.requests} == {"GET"}
    assert "new      dashboard Pusat Komando (toba-command-center)" in shown


def test_pushing_twice_changes_nothing_and_asks_nothing(stub: Stub) -> None:
    push(connect(stub), source=SOURCE, confirm=yes)

    def never(_: object) -> bool:
        raise AssertionError("was asked though nothing differs")

    assert push(connect(stub), source=SOURCE, confirm=never) == []
    assert set(states(connect(stub), source=SOURCE).values()) == {"same"}


def test_the_difference_names_the_panel_and_what_is_other_in_it(stub: Stub) -> None:
    push(connect(stub), source=SOURCE, confirm=yes)
    board = stub.boards["toba-cameras"]
    panel = next(each for each in board["panels"] if each["title"] == "Laju gambar")
    panel["targets"][0]["query"] = "SELECT 1"
    board["panels"].append({"id": 99, "title": "Milik sendiri", "type": "text"})

    changes = {change.uid: change for change in plan(connect(stub), source=SOURCE).changes}

    assert changes["toba-cameras"].state == "changed"
    assert changes["toba-cameras"].details == (
        'panel "Laju gambar": targets[0].query',
        'panel "Milik sendiri": removed',
    )
    assert changes["toba-environment"].state == "same"


def test_what_grafana_adds_by_itself_is_no_difference() -> None:
    ours = load()["cameras.json"]
    theirs = copy.deepcopy(ours) | {"id": 12, "version": 8, "schemaVersion": 99}
    theirs["panels"][1]["options"]["addedByGrafana"] = True
    theirs["panels"][1]["pluginVersion"] = "12.4.0"
    theirs["templating"]["list"][0]["current"] = {"text": "Balige", "value": "balige"}

    assert differences(ours, theirs) == []


def test_a_save_by_somebody_else_in_between_is_not_overwritten(stub: Stub) -> None:
    grafana = connect(stub)
    push(grafana, source=SOURCE, confirm=yes)
    stub.boards["toba-cameras"]["title"] = "Kamera lama"
    planned = plan(grafana, source=SOURCE)
    stub.boards["toba-cameras"]["version"] += 1

    with pytest.raises(PushError, match=r"412.*changed by someone else.*run push again"):
        apply(grafana, planned)

    assert stub.boards["toba-cameras"]["title"] == "Kamera lama"


def test_a_changed_data_source_is_updated_by_its_uid(stub: Stub) -> None:
    push(connect(stub), source=SOURCE, confirm=yes)
    moved = Source(url="https://influx.example", token="t0ken")

    done = push(connect(stub), source=moved, confirm=yes)

    assert done == ["saved data source https://influx.example"]
    assert ("PUT", "/datasources/uid/influx") in stub.requests
    assert stub.sources["influx"]["jsonData"]["httpHeaderName1"] == "Authorization"
    assert source_health(connect(stub)) == ""


def test_what_is_provisioned_from_files_there_is_left_alone(stub: Stub) -> None:
    push(connect(stub), source=SOURCE, confirm=yes)
    stub.sources["influx"] |= {"readOnly": True, "url": "http://elsewhere"}
    stub.metas["toba-cameras"]["provisioned"] = True
    stub.boards["toba-cameras"]["title"] = "other"

    found = states(connect(stub), source=SOURCE)

    assert (found["influx"], found["toba-cameras"]) == ("locked", "locked")
    assert push(connect(stub), source=SOURCE, confirm=yes) == []


def test_without_a_data_source_there_or_given_nothing_is_pushed(stub: Stub) -> None:
    with pytest.raises(PushError, match=r"no data source with uid influx, .*set store.kind"):
        plan(connect(stub))


def test_user_and_password_and_a_path_below_a_proxy_work() -> None:
    with grafana_stub("/grafana") as stub:
        grafana = Grafana(stub.url, user=USER, password=PASSWORD)
        assert len(push(grafana, source=SOURCE, confirm=yes)) == 6
        assert stub.violations == []


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"message": "Invalid API key"}, "401.*Invalid API key.*make a new one"),
        (403, {"message": "denied"}, "403.*denied.*role Editor"),
        (500, {"message": "boom"}, "500.*boom.*Grafana's log"),
        (502, b"<html>bad gateway</html>", "502.*Grafana's log"),
        (200, b"<html>hello</html>", "not as Grafana's API"),
    ],
)
def test_each_refusal_says_what_to_do(stub: Stub, status: int, body: Any, words: str) -> None:
    stub.answer = lambda method, path: (status, body)

    with pytest.raises(PushError, match=words) as caught:
        plan(connect(stub), source=SOURCE)

    assert TOKEN not in str(caught.value)


def test_a_name_that_is_taken_is_told_apart_from_a_concurrent_save(stub: Stub) -> None:
    taken = {"status": "name-exists", "message": "A dashboard with the same name exists"}
    stub.answer = lambda method, path: (412, taken) if path == "/dashboards/db" else None

    with pytest.raises(PushError, match="rename or delete it"):
        push(connect(stub), source=SOURCE, confirm=yes)


def test_a_grafana_that_is_not_there_is_one_clear_line() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(PushError, match=r"reached .*is Grafana running there") as caught:
            plan(Grafana(url, token=TOKEN), source=SOURCE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("grafana:3000", {"token": "t"}, "not a URL"),
        ("http://me:secret@grafana", {"token": "t"}, "contains a password"),
        ("http://grafana", {}, "service account"),
        ("http://grafana", {"user": "admin"}, "service account"),
    ],
)
def test_a_wrong_address_or_missing_credentials_are_found_before_asking(
    url: str, options: dict[str, str], words: str
) -> None:
    with pytest.raises(PushError, match=words) as caught:
        Grafana(url, **options)
    assert "secret" not in str(caught.value)


def test_secrets_are_in_no_representation(stub: Stub) -> None:
    planned = plan(connect(stub), source=SOURCE)
    assert "only for reading" not in repr(planned) + repr(SOURCE) + "\n".join(planned.lines())


def transition(after: str, minute: int, *, before: str = "pending") -> Transition:
    return Transition(
        id=f"{minute}-0",
        time_ns=minute * 60_000_000_000,
        key="router_down{device=r-dlh}",
        rule="router_down",
        device="r-dlh",
        tags={},
        before=before,
        after=after,
        severity="critical",
        value=None,
        who="",
        why="",
        title={"id": "Router DLH mati", "en": "Router DLH is down"},
        advice={},
        notify=(),
        cause="",
        since_ns=60_000_000_000,
    )


def test_an_alert_becomes_a_mark_and_its_end_makes_a_region_of_it(stub: Stub) -> None:
    grafana = connect(stub)
    first = annotate(grafana, [transition("firing", 2)])
    second = annotate(grafana, [transition("acknowledged", 3), transition("resolved", 9)])

    assert first == second == [1]
    (mark,) = stub.annotations.values()
    assert (mark["time"], mark["timeEnd"]) == (120_000, 540_000)
    assert mark["text"] == "Router DLH mati"
    assert {"alarm", "device:r-dlh", "rule:router_down", "critical"} <= set(mark["tags"])


def test_telling_the_same_transition_again_makes_no_second_mark(stub: Stub) -> None:
    grafana = connect(stub)
    annotate(grafana, [transition("firing", 2), transition("firing", 4, before="firing")])

    assert len(stub.annotations) == 1


def test_maintenance_is_a_region_that_our_dashboards_show(stub: Stub) -> None:
    number = annotate_maintenance(connect(stub), 10**18, 2 * 10**18, "Ganti router", ["r-dlh"])

    mark = stub.annotations[number]
    asked = [
        each["target"]["tags"]
        for board in load().values()
        for each in board["annotations"]["list"]
        if each["datasource"]["uid"] == "-- Grafana --"
    ]
    assert (mark["time"], mark["timeEnd"]) == (10**12, 2 * 10**12)
    assert asked
    assert all(set(tags) <= set(mark["tags"]) for tags in asked)
