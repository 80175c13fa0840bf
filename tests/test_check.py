"""`toba-hub check`: every mistake at once, each with file, line and key, and no network."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from hub import configuration, oversights, registry, yamlfile
from hub.problems import Misconfigured, Problem, folded

SETTINGS = """\
regency: toba
inventory: [inventory.yaml, more.csv]
web:
  port: 99999
  prot: 1
store: {kind: duckdb}
rules: {library: false, files: [rules.yaml, broken.yaml]}
collectors:
  mqtt:
    brokers:
      - {name: main, port: 1883, protcol: 5}
channels:
  meja: {type: log}
teams:
  dlh: {name: DLH, channels: [mejja]}
"""

INVENTORY = """\
sites:
  - {id: balige, name: Balige}
devices:
  - id: r-core
    kind: router
    site: balige
    depends_on: [r-cor]
  - id: aq1
    kind: sensor
    site: bailge
    collect:
      mqtt: {topik: aq1}
"""

CSV = "id,kind,site,depends_on\nr-a,router,balige,r-b\nr-b,router,balige,r-a\n"

RULES = """\
rules:
  - name: hot
    title: {id: Panas, en: Hot}
    when: {measurement: environment, field: temprature, above: 30}
    severity: warning
"""

BROKEN = "rules:\n  - name: x\n    when: {measurement: environment\n  - name: y\n"

PLANTED = [
    ("toba-hub.yaml", 4, "web.port"),
    ("toba-hub.yaml", 5, "web.prot"),
    ("toba-hub.yaml", 11, "collectors.mqtt.brokers[0].protcol"),
    ("toba-hub.yaml", 15, "teams.dlh.channels[0]"),
    ("inventory.yaml", 7, "devices[0].depends_on[0]"),
    ("inventory.yaml", 10, "devices[1].site"),
    ("inventory.yaml", 12, "devices[1].collect.mqtt.topik"),
    ("more.csv", 2, "devices[0].depends_on"),
    ("rules.yaml", 4, "rules[0].when.field"),
    ("broken.yaml", 4, ""),
]


def plant(folder: Path) -> Path:
    texts = {
        "toba-hub.yaml": SETTINGS,
        "inventory.yaml": INVENTORY,
        "more.csv": CSV,
        "rules.yaml": RULES,
        "broken.yaml": BROKEN,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "toba-hub.yaml"


def problems(path: Path) -> list[Problem]:
    with pytest.raises(Misconfigured) as caught:
        configuration.load(path)
    return caught.value.problems


def test_ten_planted_mistakes_are_all_named_with_file_line_and_key(tmp_path: Path) -> None:
    found = {(Path(p.file).name, p.line, p.key) for p in problems(plant(tmp_path))}
    assert found == set(PLANTED)


def test_the_command_prints_each_on_a_line_of_its_own_and_fails(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "hub", "check", "-s", str(plant(tmp_path))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    for name, line, key in PLANTED:
        assert any(f"{name}:{line}: {key}".strip() in said for said in done.stderr.splitlines())
    assert "did you mean protocol?" in done.stderr
    assert "did you mean temperature?" in done.stderr.replace("`", "")
    assert "10 problem(s)" in done.stderr


SMALL = {
    "toba-hub.yaml": (
        "store: {kind: duckdb}\ninventory: [inventory.yaml]\n"
        "rules: {library: false, files: [rules.yaml]}\n"
    ),
    "inventory.yaml": (
        "sites: [{id: balige, name: Balige}]\ndevices:\n"
        "  - {id: r-a, kind: router, site: balige, address: 10.1.1.1, collect: {snmp: {}}}\n"
    ),
    "rules.yaml": "# none yet\n",
}


def small(folder: Path, **texts: str) -> Path:
    """A configuration without mistakes, but for what is given."""
    for name, text in {
        **SMALL,
        **{key.replace("_", ".", 1): t for key, t in texts.items()},
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "toba-hub.yaml"


def rule(when: str, where: str = "{kind: router}") -> str:
    return (
        "rules:\n  - name: down\n    title: {id: Mati, en: Down}\n"
        f"    when: {when}\n    where: {where}\n"
    )


def test_a_file_of_rules_may_be_empty(tmp_path: Path) -> None:
    assert configuration.load(small(tmp_path)).rules == []


@pytest.mark.parametrize(
    ("texts", "line", "said"),
    [
        (
            {"inventory_yaml": SMALL["inventory.yaml"].replace(" address: 10.1.1.1,", "")},
            3,
            "devices[0].collect.snmp: the device has no address to ask (write `address:` beside",
        ),
        (
            {"inventory_yaml": SMALL["inventory.yaml"].replace("{}", "{community: ''}")},
            3,
            "devices[0].collect.snmp.community: is empty (the agent's read-only community",
        ),
        (
            {"inventory_yaml": SMALL["inventory.yaml"].replace("{}", "{port: '1,61'}")},
            3,
            "devices[0].collect.snmp.port: must be a whole number, not '1,61' (write 1.61)",
        ),
        (
            {"inventory_yaml": SMALL["inventory.yaml"].replace("10.1.1.1,", "10.1.1.1, name: 7,")},
            3,
            "devices[0].name: must be text, not 7 (put it in quotes)",
        ),
        (
            {
                "inventory_yaml": SMALL["inventory.yaml"].replace(
                    "10.1.1.1,", "10.1.1.1, depends_on: r-a,"
                )
            },
            3,
            "devices[0].depends_on: must be a list, not 'r-a' (write [r-a])",
        ),
        (
            {"inventory_yaml": SMALL["inventory.yaml"] + "  - \n"},
            4,
            "devices[1]: is empty (write {})",
        ),
        (
            {"rules_yaml": rule("{measurement: device, field: cpu_pct, above: 55,4}")},
            4,
            "rules[0].when.4: the key 4 is no text (a decimal has a point: 55.4)",
        ),
        (
            {"rules_yaml": rule("{measurement: device, field: up, above: 5, against: kemarin}")},
            4,
            "rules[0].when.against: nothing to compare with: 'kemarin' (yesterday, or the tags",
        ),
        (
            {
                "toba-hub_yaml": SMALL["toba-hub.yaml"] + "channels: {c: {type: telegram, "
                "chat_id: 1, token: {file: nowhere}}}\n"
            },
            4,
            "channels.c.token.file: nowhere can't be read: No such file or directory",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_plain_mistake_is_named_once_in_plain_words_with_what_to_do(
    tmp_path: Path, texts: dict[str, str], line: int, said: str
) -> None:
    (problem,) = problems(small(tmp_path, **texts))
    assert problem.line == line
    assert said in str(problem)


def test_a_value_that_no_longer_fits_what_the_settings_changed_says_how_to_change_it_too(
    tmp_path: Path,
) -> None:
    rules = rule("{measurement: device, field: cpu_pct, above: 90, clear_below: 80}")
    path = small(tmp_path, rules_yaml=rules)
    text = path.read_text().replace("rules: {", "rules: {set: {down.when.above: 50}, ")
    path.write_text(text)
    (problem,) = problems(path)
    assert problem.remedy == "make it at most 50; change down.when.clear_below too"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (
            "a: 1\nb:\n  - {since: 2026-13-01}\n",
            3,
            "b[0].since: '2026-13-01' is no date or time: month",
        ),
        ("a: 2026-02-30\n", 1, "a: '2026-02-30' is no date or time: day is out of range for month"),
        ("a: 2026-01-01 25:00:00\n", 1, "hour must be in 0..23"),
        ('a: !!int "x"\n', 1, "a: 'x' is no int"),
        ('a: !!timestamp "x"\n', 1, "a: 'x' is no date or time"),
        ("rules: &a\n  - *a\n", 0, "is nested too deeply, or an alias (`*name`) holds itself"),
        ("a: &x {b: *x}\n", 0, "holds itself"),
        ("a: " + "[" * 3000 + "]" * 3000 + "\n", 0, "is nested too deeply"),
        ("a: !!python/object:os.system x\n", 1, "could not determine a constructor"),
        ("a: [\n", 2, "is not valid YAML"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_whatever_yaml_can_not_be_is_a_mistake_and_no_traceback(
    text: str, line: int, said: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        yamlfile.parse(text, "x.yaml")
    (problem,) = caught.value.problems
    assert problem.line == line
    assert said in str(problem)


def test_a_table_saved_in_an_old_encoding_says_where_and_how_to_save_it(tmp_path: Path) -> None:
    path = small(tmp_path)
    path.write_text(path.read_text().replace("[inventory.yaml]", "[inventory.yaml, old.csv]"))
    (tmp_path / "old.csv").write_bytes(
        "id,kind,site\nr-1,router,balige\nr-é,router,x\n".encode("cp1252")
    )
    (problem,) = problems(path)
    assert (problem.line, problem.message, problem.remedy) == (
        3,
        "is not UTF-8",
        'save it as "CSV UTF-8"',
    )


def test_what_only_looks_like_a_mistake_is_named_and_nothing_is_refused(tmp_path: Path) -> None:
    copied = SMALL["inventory.yaml"] + (
        "  - {id: r-b, kind: router, site: balige, address: 10.1.1.1, collect: {snmp: {}}}\n"
        "  - {id: r-c, kind: router, site: balige, address: 10.1.1.1,"
        " collect: {snmp: {port: 1161}}}\n"
    )
    when = "{measurement: device, field: up, below: 1}"
    astray = rule(when, "{site: atlantis, device: [r-a, 'r-x*', '!r-q'], kind: ruter}")
    path = small(tmp_path, inventory_yaml=copied, rules_yaml=astray)
    words = [sys.executable, "-m", "hub", "check", "-s", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    said = " ".join(done.stdout.split())
    assert "inventory.yaml:4: r-b.address: snmp asks 10.1.1.1 the same for r-a (" in said
    assert "rules.yaml:5: rules[0].where.site: no device has the site 'atlantis'" in said
    assert "rules.yaml:5: rules[0].where.device: no device has the device 'r-x*'" in said
    assert (
        "rules.yaml:5: rules[0].where.kind: no device has the kind 'ruter' (did you mean router?)"
        in said
    )
    assert said.count("look ") == 4
    assert "good: 3 devices" in said


def test_a_rule_of_which_each_part_fits_another_device_is_about_nobody(tmp_path: Path) -> None:
    sensor = SMALL["inventory.yaml"] + "  - {id: aq, kind: sensor, site: balige}\n"
    when = "{measurement: device, field: up, below: 1}"
    path = small(
        tmp_path, inventory_yaml=sensor, rules_yaml=rule(when, "{kind: router, device: aq}")
    )
    (found,) = oversights.find(configuration.load(path))
    assert (found.line, found.message) == (5, "no device is all of this")
    path = small(
        tmp_path, inventory_yaml=sensor, rules_yaml=rule(when, "{kind: router, device: r-a}")
    )
    assert oversights.find(configuration.load(path)) == []


def test_a_mistake_in_the_environment_is_blamed_on_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "toba-hub.yaml"
    path.write_text(
        "store: {kind: duckdb}\ninventory: []\nrules: {library: false}\n", encoding="utf-8"
    )
    monkeypatch.setitem(os.environ, "TOBA_WEB__PORT", "lots")
    monkeypatch.setitem(os.environ, "TOBA_WBE__PORT", "1")
    found = {(p.file, p.key) for p in problems(path)}
    assert found == {("environment", "TOBA_WEB__PORT"), ("environment", "TOBA_WBE__PORT")}


@pytest.mark.parametrize(
    ("channel", "key", "said"),
    [
        ("{type: webhok}", "channels.meja.type", "no such type (did you mean webhook?)"),
        ("{url: x}", "channels.meja.type", "is missing"),
        ("{type: webhook, url: 3}", "channels.meja.url", ""),
        ("{type: webhook, url: 'http://x', secrit: x}", "channels.meja.secrit", "secret?"),
    ],
)
def test_a_channel_s_mistake_is_said_without_the_checker_s_own_words(
    tmp_path: Path, channel: str, key: str, said: str
) -> None:
    path = tmp_path / "toba-hub.yaml"
    path.write_text(
        "store: {kind: duckdb}\ninventory: []\nrules: {library: false}\n"
        f"channels:\n  lain: {{type: log}}\n  meja: {channel}\n"
        "teams: {dlh: {name: DLH, channels: [lain, meja]}}\n",
        encoding="utf-8",
    )
    (problem,) = problems(path)
    assert (problem.key, problem.line) == (key, 6)
    assert said in str(problem)
    assert "tag" not in str(problem)


PEOPLE = """\
store: {kind: duckdb}
inventory: []
rules: {library: false}
channels:
  tg: {type: log, group_by: [rule, sight]}
  am: {type: alertmanager, url: "http://am/api/v2"}
people:
  andi: {channels: [tgg]}
  budi: {channels: []}
teams:
  dlh:
    channels: [tg]
    quiet: {from: "21:00", until: soon}
    rota:
      people: [andi, citra]
      handover: someday 08:00
    remind: 2
  bpbd:
    rota:
      people: [andy]
      overrides: [{person: x, from: 2026-12-24 08:00, until: 2026-12-26 08:00}]
    escalation:
      - {after: 15m}
      - {after: 15m, teams: [dhl], channels: [smss]}
maintenance:
  - {name: a, match: {sight: x}, weekly: "sun 02:00", lasts: 2h}
  - {name: b, match: {site: x}, cron: "0 99 * * *", lasts: 2h}
  - {name: a, match: {site: x}, from: 2026-12-24 08:00, until: 2026-12-26 08:00}
  - {name: d, match: {site: x}, from: 2026-12-24 08:00}
"""


def test_mistakes_about_people_and_their_hours_are_named_with_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "toba-hub.yaml"
    path.write_text(PEOPLE, encoding="utf-8")
    found = {(problem.line, problem.key) for problem in problems(path)}
    assert found == {
        (5, "channels.tg.group_by[1]"),
        (6, "channels.am.url"),
        (8, "people.andi.channels[0]"),
        (9, "people.budi.channels"),
        (13, "teams.dlh.quiet.until"),
        (15, "teams.dlh.rota.people[1]"),
        (16, "teams.dlh.rota.handover"),
        (17, "teams.dlh.remind"),
        (20, "teams.bpbd.rota.people[0]"),
        (21, "teams.bpbd.rota.overrides[0].person"),
        (23, "teams.bpbd.escalation[0]"),
        (24, "teams.bpbd.escalation[1].teams[0]"),
        (24, "teams.bpbd.escalation[1].channels[0]"),
        (26, "maintenance[0].match.sight"),
        (27, "maintenance[1].cron"),
        (28, "maintenance[2].name"),
        (29, "maintenance[3]"),
    }


def test_many_mistakes_that_are_one_are_one_line(tmp_path: Path) -> None:
    rows = "".join(f"r-{n},router,balige,x\n" for n in range(60))
    (tmp_path / "more.csv").write_text("id,kind,site,collect.snnp\n" + rows)
    (tmp_path / "inventory.yaml").write_text("sites: [{id: balige, name: Balige}]\n")
    path = tmp_path / "toba-hub.yaml"
    path.write_text("inventory: [inventory.yaml, more.csv]\nrules: {library: false}\n")
    found = problems(path)
    assert len(found) == 60
    (line,) = folded(found)
    assert "no collector 'snnp' is installed (did you mean snmp?)" in line
    assert "59 times more up to line 61" in line
    assert len(folded(found[:3])) == 3


def test_a_secret_is_never_repeated_in_a_complaint(tmp_path: Path) -> None:
    path = tmp_path / "toba-hub.yaml"
    path.write_text(
        "inventory: []\nrules: {library: false}\nstore: {kind: duckdb, token: [hunter2]}\n",
        encoding="utf-8",
    )
    (problem,) = problems(path)
    assert problem.key == "store.token"
    assert "hunter2" not in str(problem)


def test_a_missing_settings_file_says_so_in_one_line(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "hub", "check", "-s", str(tmp_path / "none.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    first, last = done.stderr.splitlines()
    assert "none.yaml: can't be read: No such file or directory (name it by -s FILE" in first
    assert last == "toba-hub: 1 problem(s)"


WITH_A_PLUGIN_THAT_IS_GONE = """\
store: {kind: duckdb}
inventory: [inventory.yaml]
rules: {library: false, files: [rules.yaml]}
collectors: {weather: {station: 3}}
maintenance: [{name: m, match: {gauge: a}, weekly: sun 02:00, lasts: 2h}]
"""


def break_plugin(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Another plugin of that name, which can't be imported."""
    others = [point for point in entry_points(group=registry.GROUP) if point.name != name]
    broken = EntryPoint(name, value, registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [*others, broken])


def test_a_plugin_that_can_t_be_imported_is_named_once_and_nothing_is_blamed_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manifest still tells the library's rules what it measures; other plugins are checked."""
    break_plugin(monkeypatch, "snmp", "collectors.snmp.gone:SnmpCollector")
    path = tmp_path / "toba-hub.yaml"
    inventory = Path(configuration.__file__).parent / "regency" / "toba" / "inventory.yaml"
    path.write_text(f"regency: toba\nstore: {{kind: duckdb}}\ninventory: [{inventory}]\n")
    (problem,) = problems(path)
    assert problem.file == "entry point toba_hub.collectors:snmp"
    assert "collectors.snmp.gone" in problem.message
    path.write_text(path.read_text() + "collectors: {mqtt: {brokers: [{nam: x}]}}\n")
    assert {p.key for p in problems(path)} == {problem.key, "collectors.mqtt.brokers[0].nam"}


def test_what_only_a_broken_plugin_knows_is_not_called_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings, sections of devices, fields and tags: without its manifest, who can say?"""
    break_plugin(monkeypatch, "weather", "weather_gone.collector:Weather")
    path = tmp_path / "toba-hub.yaml"
    path.write_text(WITH_A_PLUGIN_THAT_IS_GONE, encoding="utf-8")
    (tmp_path / "inventory.yaml").write_text(
        "sites: [{id: b, name: B}]\n"
        "devices: [{id: w, kind: sensor, site: b, collect: {weather: {gauge: a}}}]\n"
    )
    (tmp_path / "rules.yaml").write_text(RULES.replace("temprature", "wetness"))
    assert [p.key for p in problems(path)] == ["weather_gone.collector:Weather"]
