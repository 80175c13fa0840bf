"""Device profiles: what a file may say, how mistakes are named, which profile a device gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from collectors.snmp import catalogue
from collectors.snmp.catalogue import Catalogue, identity_of
from collectors.snmp.codec import Value
from collectors.snmp.config import SnmpConfig, SnmpSection
from collectors.snmp.oids import dotted, oid
from hub import configuration
from hub.api import Misconfigured

FOLDER = Path(__file__).parents[1] / "collectors" / "snmp"
NAMES = sorted(path.stem for path in (FOLDER / "profiles").glob("*.yaml"))

LINUX, CISCO = "1.3.6.1.4.1.8072.3.2.10", "1.3.6.1.4.1.9.1.617"
UNIFI_MODEL = "1.3.6.1.4.1.41112.1.6.3.3.0"


def chosen(object_id: str, descr: str, **answers: bytes) -> tuple[str, str]:
    given: dict[bytes, Value] = {oid(name): value for name, value in answers.items()}
    found = catalogue.read().choose(identity_of(object_id, descr.encode(), given))
    return found.profile.name, found.why


@pytest.mark.parametrize(
    ("object_id", "descr", "name"),
    [
        ("1.3.6.1.4.1.14988.1", "RouterOS RB750Gr3", "mikrotik"),
        (LINUX, "Linux r1 6.1.0", "net_snmp"),
        (LINUX, "Linux OpenWrt 5.4.137", "openwrt"),
        ("1.3.6.1.4.1.41112.1.5", "EdgeOS v2.0.9", "edgeos"),
        ("1.3.6.1.4.1.41112.1.4", "Linux 2.6.32 airOS", "airos"),
        ("1.3.6.1.4.1.2011.2.23.276", "S5720 Huawei Versatile Routing Platform", "huawei"),
        (CISCO, "Cisco IOS Software", "cisco"),
        ("1.3.6.1.4.1.4881.1.1.10.1.41", "Ruijie Switch", "ruijie"),
        ("1.3.6.1.4.1.11863.5.28", "JetStream", "tplink"),
        ("1.3.6.1.4.1.318.1.3.27", "APC Web/SNMP Management Card", "apc"),
        ("1.3.6.1.4.1.705.1", "EATON 93E 80", "eaton"),
        ("1.3.6.1.4.1.50001", "Hikvision company products", "hikvision"),
        ("1.3.6.1.4.1.1004849.3.2.10", "DH-NVR4108HS", "dahua"),
    ],
)
def test_a_device_is_known_by_its_sysobjectid_and_sysdescr(
    object_id: str, descr: str, name: str
) -> None:
    found, why = chosen(object_id, descr)
    assert found == name
    assert object_id in why


def test_the_longest_prefix_wins_and_a_confirmation_breaks_a_tie() -> None:
    assert chosen("1.3.6.1.4.1.41112.1.5", "EdgeOS v2")[0] == "edgeos"
    assert chosen(LINUX, "OpenWrt")[0] == "openwrt"


def test_a_prefix_ends_between_arcs_never_inside_one() -> None:
    assert chosen("1.3.6.1.4.1.99.1", "Cisco?")[0] == "generic"


def test_what_sysdescr_does_not_confirm_is_generic_and_says_why() -> None:
    name, why = chosen("1.3.6.1.4.1.14988.1", "SwOS 2.13")
    assert name == "generic"
    assert why.startswith("no profile knows sysObjectID 1.3.6.1.4.1.14988.1; mikrotik: ")
    assert "'SwOS 2.13' has no 'RouterOS'" in why


def test_an_access_point_behind_net_snmps_identity_is_known_by_an_instance_of_its_own() -> None:
    name, why = chosen(LINUX, "UAP-nanoHD", **{UNIFI_MODEL: b"UAP-nanoHD"})
    assert (name, UNIFI_MODEL in why) == ("unifi", True)


def test_a_camera_without_a_system_group_is_known_by_an_instance_of_its_own() -> None:
    assert chosen("", "", **{"1.3.6.1.4.1.39165.1.1.0": b"DS-2CD2185FWD-I"})[0] == "hikvision"
    assert chosen("", "")[0] == "generic"


@pytest.mark.parametrize("name", NAMES)
def test_every_built_in_profile_says_where_its_numbers_are_from(name: str) -> None:
    profile = catalogue.read().devices[name]
    assert profile.title
    assert not profile.chain[1:] or "generic" in profile.chain


def test_no_profile_touches_what_does_something_when_it_is_read_or_written() -> None:
    """RouterOS: a GET of 14988.1.1.18.1.1.2 runs a script, 7.1 reboots; TP-Link's EAP reboots."""
    for profile in catalogue.read().devices.values():
        asked = [n for numbers in profile.values.values() for n in numbers]
        asked += [n for table in profile.tables.values() for n in table.values]
        for number in asked:
            for column in number.columns:
                name = dotted(column)
                assert not name.startswith("1.3.6.1.4.1.14988.1.1.18."), name
                assert not re.match(r"1\.3\.6\.1\.4\.1\.14988\.1\.1\.7\.[12](\.|$)", name), name


def test_a_nearer_profile_goes_before_what_it_inherits() -> None:
    eaton = catalogue.read().devices["eaton"]
    assert eaton.chain[:3] == ("eaton", "ups", "generic")
    first, second = eaton.values["device.battery_min"]
    assert dotted(first.columns[0]).startswith("1.3.6.1.4.1.534.")
    assert dotted(second.columns[0]).startswith("1.3.6.1.2.1.33.")


# ---------------------------------------------------------------- a user's own folder


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def wrong(folder: Path) -> list[str]:
    with pytest.raises(Misconfigured) as caught:
        catalogue.read(folder)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


GOOD = """\
title: Acme
source: ACME-MIB
inherits: [generic]
match: [{sys_object_id: 1.3.6.1.4.1.99999}]
"""


def test_the_profile_that_the_readme_shows_is_one(tmp_path: Path) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n# profiles/acme.yaml\n(.*?)```", readme, re.DOTALL)
    found = catalogue.read(write(tmp_path, acme=text))
    assert found.choose(identity_of("1.3.6.1.4.1.99999.1", b"Acme 7", {})).profile.name == "acme"
    modems = found.devices["acme"].tables["modems"]
    assert dotted(modems.rows) == "1.3.6.1.4.1.99999.2.5.1.4"


def test_the_readme_lists_every_profile(tmp_path: Path) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(\w+)`", readme))
    assert set(NAMES) - {"host_resources", "entity_sensor", "power_ethernet"} <= listed


def test_a_file_with_the_name_of_a_built_in_one_replaces_it(tmp_path: Path) -> None:
    text = GOOD.replace("title: Acme", "title: Ours").replace("99999", "14988")
    assert catalogue.read(write(tmp_path, mikrotik=text)).devices["mikrotik"].title == "Ours"
    assert catalogue.read().devices["mikrotik"].title == "MikroTik RouterOS"


def test_every_mistake_is_named_with_file_line_key_and_remedy(tmp_path: Path) -> None:
    text = GOOD + (
        "values:\n"
        "  - {field: device.temprature_c, oid: 1.3.6.1.4.1.99999.1.0}\n"
        "  - {field: device.cpu_pct, oid: .4.0}\n"
        "  - {field: device.mem_pct, oid: 1.3.6.1.4.1.99999.2.0, scale: 10}\n"
        "tables:\n"
        "  fans:\n"
        "    rows: 1.3.6.1.4.1.99999.3\n"
        "    label: [{oid: 1.3.6.1.4.1.99999.4, pattern: '('}]\n"
        "    values: [{field: device.cpu_pct, oid: 1.3.6.1.4.1.99999.3}]\n"
    )
    said = "\n".join(wrong(write(tmp_path, acme=text)))
    assert "acme.yaml:6: values[0].field: no such field: 'device.temprature_c' (there are " in said
    assert "acme.yaml:7: values[1].oid: is no object identifier: '.4.0'" in said
    assert "acme.yaml:8: values[2].scale: no such key" in said
    assert "acme.yaml:12: tables.fans.label[0].pattern: is no regular expression" in said


def test_a_parent_that_is_not_there_and_a_circle_are_named(tmp_path: Path) -> None:
    lost = GOOD.replace("[generic]", "[genric]")
    (said,) = wrong(write(tmp_path / "a", acme=lost))
    assert said.startswith("acme.yaml:3: inherits: no profile 'genric'")
    one, two = (GOOD.replace("[generic]", f"[{name}]") for name in ("two", "one"))
    folder = write(tmp_path / "b", one=one, two=two)
    assert wrong(folder) == [
        "one.yaml: inherits: one inherits itself",
        "two.yaml: inherits: two inherits itself",
    ]


@pytest.mark.parametrize(
    ("number", "why"),
    [
        ("{field: device.cpu_pct}", "needs one of oid, percent and ram"),
        ("{oid: 1.3.6.1.4.1.99999.3}", "needs a field, a fold or both"),
        ("{field: device.cpu_pct, oid: 1.3.6.1.4.1.99999.3}", "is one per device"),
        (
            "{field: hardware.used_pct, percent: {used: 1.3.6.1.4.1.99999.3}}",
            "name two of used, total and free",
        ),
        (
            "{oid: 1.3.6.1.4.1.99999.3, fold: {device.mem_pct: memory}}",
            "the fold memory is made of ram",
        ),
    ],
)
def test_a_number_that_means_nothing_is_refused(tmp_path: Path, number: str, why: str) -> None:
    table = f"tables: {{t: {{rows: 1.3.6.1.4.1.99999.3, values: [{number}]}}}}\n"
    (said,) = wrong(write(tmp_path, acme=GOOD + table))
    assert why in said


def test_a_live_table_only_folds_the_column_that_it_walks(tmp_path: Path) -> None:
    text = GOOD + (
        "tables: {t: {rows: 1.3.6.1.4.1.99999.3, live: true, "
        "values: [{field: hardware.clients, oid: 1.3.6.1.4.1.99999.3}]}}\n"
    )
    (said,) = wrong(write(tmp_path, acme=text))
    assert "a live table folds the column that it walks" in said


def test_check_finds_a_mistake_in_the_folder_of_the_settings(tmp_path: Path) -> None:
    write(tmp_path / "mine", acme=GOOD.replace("title: Acme\n", ""))
    settings = tmp_path / "toba-hub.yaml"
    settings.write_text("inventory: []\ncollectors: {snmp: {profiles: mine}}\n")
    with pytest.raises(Misconfigured) as caught:
        configuration.load(settings)
    assert f"{tmp_path}/mine/acme.yaml:1: title: is missing" in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="is no folder of device profiles"):
        SnmpConfig(profiles=tmp_path / "none")


def test_a_device_may_name_a_profile_and_a_wrong_name_is_found_by_check(tmp_path: Path) -> None:
    config = SnmpConfig(profiles=write(tmp_path, acme=GOOD))
    context = {"config": config}
    assert SnmpSection.model_validate({"profile": "acme"}, context=context).profile == "acme"
    with pytest.raises(ValidationError, match="no device profile 'acmee'"):
        SnmpSection.model_validate({"profile": "acmee"}, context=context)


def test_an_empty_catalogue_of_ones_own_still_has_the_built_in_ones(tmp_path: Path) -> None:
    assert isinstance(catalogue.read(tmp_path), Catalogue)
    assert set(catalogue.read(tmp_path).devices) == set(NAMES)
