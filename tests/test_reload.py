"""Rules, devices and channels are changed while the hub runs: what means the same goes on, what is
wrong changes nothing, and the journal knows what was in force when."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from hub import reload, rulebook, ruleset
from hub.clock import NS, now_ns
from hub.configuration import Configuration
from hub.ingest import Ingest
from hub.inventory_file import from_data
from hub.journal import Kind, Reader
from hub.problems import Misconfigured
from hub.reading import Reading, Series
from hub.store.base import Batch
from hub.store.duckdb import DuckStore
from tests.hub_support import INVENTORY, Hub, mqtt, wait_for
from tests.mosquitto_support import Mosquitto, broker
from tests.reload_support import DIRTY, files, write

HOT = """
  - name: hot
    title: {id: "{name} panas", en: "{name} is hot"}
    when: {measurement: environment, field: temperature, above: 30}
    severity: warning
"""
DUSTY_HOUR = """
  - name: dusty_hour
    title: {id: "{name} berdebu", en: "{name} is dusty"}
    when: {measurement: environment, field: pm25, mean: 1h, above: 40}
    severity: warning
"""
OTHERS = {name: {"enabled": False} for name in ("snmp", "camera", "netprobe")}


# -- what is compared and what is written down ------------------------------------------


def test_a_record_gives_back_the_rules_and_devices_that_it_was_made_of(tmp_path: Path) -> None:
    conf = files(tmp_path, DIRTY, HOT)
    made = ruleset.of(conf)
    found = ruleset.unpack(made.payload)
    assert list(found.rules) == conf.rules
    assert list(found.things) == list(made.things)
    assert ruleset.unpack(ruleset.unchanged(made.sha256), found) is found


def test_what_the_settings_change_and_leave_out_is_in_the_record(tmp_path: Path) -> None:
    given = {"library": False, "files": ["rules.yaml"], "set": {"dirty.when.above": 50}}
    conf = files(tmp_path, DIRTY, HOT, rules={**given, "disable": ["hot"]})
    [rule] = ruleset.unpack(ruleset.of(conf).payload).rules
    assert (rule.name, rule.when.threshold) == ("dirty", 50)
    both = ruleset.of(files(tmp_path, DIRTY, HOT, rules=given))
    before = ruleset.unpack(ruleset.of(conf).payload)
    assert [rule.name for rule in ruleset.unpack(both.payload, before).rules] == ["dirty", "hot"]


def test_only_rules_that_changed_are_read_again(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("rules:" + HOT)
    given = {"library": False, "files": ["rules.yaml", "more.yaml"]}
    before = ruleset.of(files(tmp_path, DIRTY, DUSTY_HOUR, rules=given))
    after = ruleset.of(files(tmp_path, DIRTY.replace("40", "45"), DUSTY_HOUR, rules=given))
    found = ruleset.unpack(after.payload, before)
    assert [rule.name for rule in found.rules] == ["dirty", "dusty_hour", "hot"]
    assert found.rules[0].when.threshold == 45
    assert found.rules[1] is before.rules[1]
    assert found.rules[2] is before.rules[2]


def test_a_rule_that_is_wrong_and_left_out_keeps_no_other_from_being_in_force(
    tmp_path: Path,
) -> None:
    given = {"library": False, "files": ["rules.yaml"], "disable": ["hot"]}
    conf = files(tmp_path, DIRTY, HOT.replace("above", "abuve"), rules=given)
    [rule] = ruleset.unpack(ruleset.of(conf).payload).rules
    assert rule.name == "dirty"


def test_what_was_changed_is_said_and_so_is_what_needs_a_restart(tmp_path: Path) -> None:
    before = files(tmp_path, DIRTY)
    channels = {"log": {"type": "log"}}
    after = files(tmp_path, DIRTY.replace("40", "45"), HOT, channels=channels, web={"port": 8081})
    changes = reload.compare(before, after)
    assert (changes.rules.added, changes.rules.changed) == (["hot"], ["dirty"])
    assert changes.channels.added == ["log"]
    assert changes.restart == ["web.port"]
    assert reload.Changes.read(changes.plain()) == changes
    assert not reload.compare(after, after)
    assert "needs a restart to count: web.port" in changes.lines()


def test_a_setting_that_is_put_back_needs_no_restart_and_one_that_stays_goes_on_to(
    tmp_path: Path,
) -> None:
    running = files(tmp_path, DIRTY)
    moved = files(tmp_path, DIRTY, web={"port": 8081})
    again = files(tmp_path, DIRTY, HOT, web={"port": 8081})
    assert reload.compare(running, moved, running.settings).restart == ["web.port"]
    assert reload.compare(moved, again, running.settings).restart == ["web.port"]
    assert reload.compare(moved, running, running.settings).restart == []


@pytest.mark.parametrize(("had", "left", "refused"), [(9, 4, True), (9, 5, False), (4, 0, False)])
def test_an_inventory_that_looks_cut_off_is_not_taken_at_its_word(
    tmp_path: Path, had: int, left: int, refused: bool
) -> None:
    def conf(count: int) -> Configuration:
        devices = [{"id": f"s-{n}", "kind": "sensor", "site": "balige"} for n in range(count)]
        found = from_data({"sites": INVENTORY["sites"], "devices": devices})
        return replace(files(tmp_path, DIRTY), inventory=found)

    before = conf(had)
    found = reload.loss(reload.compare(before, conf(left)), before)
    assert (found is not None) is refused
    if found is not None:
        assert "5 of 9 devices would be removed (s-4, " in found.message


# -- a hub that runs -----------------------------------------------------------------------


class Scene:
    """A hub with one sensor that is told what to say."""

    def __init__(self, folder: Path, server: Mosquitto) -> None:
        settings = mqtt(server.port)
        settings["collectors"] |= OTHERS
        settings["rules"] = {"library": False, "files": ["rules.yaml"]}
        self.folder, self.server = folder, server
        self.hub = Hub(folder, settings, INVENTORY)
        write(folder, DIRTY)

    def say(self, device: str, **values: float) -> None:
        body = json.dumps({"m": values})
        self.server.publish(f"toba/v1/dlh/balige/{device}/telemetry", body)

    def reload(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hub", "reload", "-s", str(self.hub.path), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def alerts(self) -> dict[str, str]:
        return {one["key"]: one["state"] for one in self.hub.get("/api/v1/alerts")}

    def configurations(self) -> int:
        """CONFIG records in the journal."""
        reader = Reader(self.hub.data / "journal", 0)
        try:
            batches = iter(reader.read, [])
            return sum(record.kind == Kind.CONFIG for batch in batches for record in batch)
        finally:
            reader.close()


@contextmanager
def playing(folder: Path, before: Callable[[Path], None] = lambda data: None) -> Iterator[Scene]:
    """A hub that runs; `before` may put something into its data folder first."""
    with broker(folder / "broker") as server:
        made = Scene(folder / "hub", server)
        before(made.hub.data)
        made.hub.start()
        try:
            wait_for("the subscription", lambda: "broker is up" in made.hub.log())
            yield made
        finally:
            made.hub.stop()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with playing(tmp_path) as made:
        yield made


def test_a_hub_takes_over_what_changed_and_keeps_what_did_not(scene: Scene) -> None:
    scene.say("aq1", pm25=90, temperature=35)
    wait_for("the alert", lambda: scene.alerts() == {"dirty:aq1": "firing"})
    write(scene.folder, DIRTY.replace("{name} is", "Air at {name} is"), HOT)
    more = {
        "id": "aq9",
        "name": "Baru",
        "kind": "sensor",
        "site": "balige",
        "collect": {"mqtt": {}},
    }
    devices = [*INVENTORY["devices"], more]
    inventory = yaml.safe_dump({**INVENTORY, "devices": devices})
    (scene.folder / "inventory.yaml").write_text(inventory)

    done = scene.reload()
    assert done.returncode == 0, done.stderr
    assert "rules: 1 added (hot), 1 changed (dirty)" in done.stdout
    assert "devices: 1 added (aq9)" in done.stdout
    wait_for("the new device on the board", lambda: scene.hub.get("/api/v1/devices/aq9"))
    scene.say("aq9", pm25=90, temperature=20)
    scene.say("aq1", pm25=91, temperature=36)
    three = {"dirty:aq1", "hot:aq1", "dirty:aq9"}
    wait_for("new rule and new device", lambda: set(scene.alerts()) == three)
    history = scene.hub.get("/api/v1/history")
    steps = [one["after"] for one in history if one["key"] == "dirty:aq1"]
    assert steps == ["firing"], "an alert whose rule was only worded anew must not move"

    write(scene.folder, HOT)
    scene.hub.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
    wait_for("the removed rule's alerts to end", lambda: set(scene.alerts()) == {"hot:aq1"})
    last = next(o for o in scene.hub.get("/api/v1/history") if o["key"] == "dirty:aq1")
    assert (last["after"], last["why"]) == ("resolved", "the rule was removed")


def test_a_bad_file_is_refused_whole_and_said_where_people_look(scene: Scene) -> None:
    scene.say("aq1", pm25=90)
    wait_for("the alert", lambda: scene.alerts() == {"dirty:aq1": "firing"})
    before = scene.configurations()
    write(scene.folder, HOT, DIRTY.replace("above: 40", "above: much"))
    done = scene.reload()
    assert done.returncode != 0
    assert "rules.yaml:9: rules[1].when.above" in done.stderr
    assert "all goes on as before" in done.stderr
    health = wait_for(
        "the board to say it",
        lambda: [r for r in scene.hub.get("/api/v1/health")["reasons"] if "refused" in r],
    )
    assert "rules.yaml:9: rules[1].when.above" in health[0]
    assert scene.hub.healthy(), "a refused reload is no illness"
    assert "reload refused" in scene.hub.log()
    assert scene.configurations() == before
    scene.say("aq1", pm25=20)
    wait_for("the old rule to go on", lambda: scene.alerts() == {})

    write(scene.folder, DIRTY)
    assert scene.reload().returncode == 0
    wait_for(
        "the complaint to be over",
        lambda: not [r for r in scene.hub.get("/api/v1/health")["reasons"] if "refused" in r],
    )

    (scene.folder / "inventory.yaml").write_text("")
    done = scene.reload()
    assert done.returncode == 78
    assert "5 of 5 devices would be removed" in done.stderr
    assert len(scene.hub.get("/api/v1/devices")) == 5
    done = scene.reload("--remove-many")
    assert (done.returncode, "devices: 5 removed" in done.stdout) == (0, True), done


def test_a_restart_goes_on_with_the_rules_of_the_journal(scene: Scene) -> None:
    write(scene.folder, DIRTY, HOT)
    assert scene.reload().returncode == 0
    number = scene.configurations()
    scene.hub.stop()
    scene.hub.start()
    assert scene.configurations() == number, "what is in force is not noted again"
    scene.say("aq1", temperature=35)
    wait_for("the rule of before the restart", lambda: "hot:aq1" in scene.alerts())


def hour_of_dust(data: Path) -> None:
    """A store that knows of an hour and a half of bad air."""
    now, series = now_ns(), Series.of("environment", "aq1", sensor="pm")
    readings = [Reading(series, now - n * 60 * NS, {"pm25": 90.0}) for n in range(90, 0, -1)]

    async def fill() -> None:
        store = DuckStore(data / "readings.duckdb")
        await store.write(Batch(readings, 0))
        await store.close()

    asyncio.run(fill())


def test_a_new_rule_judges_from_the_past_hour_of_the_store_and_says_so(tmp_path: Path) -> None:
    key = "dusty_hour:aq1:sensor=pm"
    with playing(tmp_path, hour_of_dust) as scene:

        def told() -> list[tuple[str, str, float]]:
            history = scene.hub.get("/api/v1/history")
            return [
                (one["after"], one["why"], one["value"]) for one in history if one["key"] == key
            ]

        write(scene.folder, DIRTY, DUSTY_HOUR)
        done = scene.reload()
        assert done.returncode == 0, done.stderr
        assert "refilled from the store: dusty_hour" in done.stdout
        wait_for("the alert", lambda: scene.alerts() == {key: "firing"})
        assert told() == [("firing", "refilled from the store", 90.0)]
        scene.hub.stop()
        (scene.hub.data / "serve.db").unlink()  # all is folded anew
        scene.hub.start()
        wait_for("the alert once more", lambda: scene.alerts() == {key: "firing"})
        assert told() == [("firing", "refilled from the store", 90.0)]


async def test_without_an_answer_of_the_store_new_rules_begin_empty_and_that_is_said(
    tmp_path: Path,
) -> None:
    off = {name: {"enabled": False} for name in ("mqtt", *OTHERS)}
    before = files(tmp_path, DIRTY, collectors=off)
    ingest = Ingest(before)
    try:
        after = files(tmp_path, DIRTY, DUSTY_HOUR, collectors=off)
        changes = reload.compare(before, after)
        stored, changes = await ingest.in_force._past(after, ruleset.of(after), changes)
    finally:
        ingest.journal.close()
    assert stored == b""
    assert "not refilled from the store, begin empty: the serve process does not answer" in str(
        changes.lines()
    )
    assert reload.Changes.read(changes.plain()) == changes


def test_rules_of_a_record_that_this_version_refuses_are_no_end() -> None:
    with pytest.raises(ValueError, match="not in its record"):
        ruleset.unpack(ruleset.unchanged("abc"))
    with pytest.raises(Misconfigured):
        rulebook.reread({"rules": [{"name": "x"}]}, "x.yaml", None, {})


def test_a_running_hub_explains_an_alert_to_the_command_line_and_the_api(scene: Scene) -> None:
    scene.say("aq1", pm25=90)
    wait_for("the alert", lambda: scene.alerts() == {"dirty:aq1": "firing"})
    command = [sys.executable, "-m", "hub", "rules", "explain", "-s", str(scene.hub.path)]

    def ask(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *more], capture_output=True, text=True, timeout=60, check=False
        )

    said = ask("aq1", "--lang", "en")
    assert said.returncode == 0, said.stderr
    assert "dirty:aq1  firing\n" in said.stdout
    assert "PM2.5 90 (limit: above 40)" in said.stdout
    [found] = json.loads(ask("aq1", "dirty", "--json").stdout)
    assert (found["value"], found["threshold"], found["holds"]) == (90, 40, True)
    [same] = scene.hub.get("/api/v1/devices/aq1/explain?rule=dirty")
    assert same["key"] == "dirty:aq1"
    nobody = ask("nobody")
    assert nobody.returncode != 0
    assert "the inventory has no device 'nobody'" in nobody.stderr


def test_a_running_hub_lends_its_history_to_a_backtest(scene: Scene) -> None:
    scene.say("aq1", pm25=90)
    wait_for("the alert", lambda: scene.alerts() == {"dirty:aq1": "firing"})
    wait_for("the store", lambda: scene.hub.get("/api/v1/health")["backlog"]["forward"] < 5)
    command = [sys.executable, "-m", "hub", "rules", "backtest", "-s", str(scene.hub.path)]
    more = ["--since", "1h", "--set", "dirty.when.above=95", "--json"]
    done = subprocess.run(
        [*command, *more], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["before"]["dirty"]["fired"], said["after"]["dirty"]["fired"]) == (1, 0)
    assert not list(scene.hub.data.glob(".backtest-*"))
