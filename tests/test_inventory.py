"""The inventory: YAML and CSV read as one, every reference held against what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hub import inventory_file, registry
from hub.inventory import Inventory
from hub.problems import Misconfigured, Problem
from hub.reading import Series

BASE: dict[str, Any] = {
    "sites": [{"id": "balige", "name": "Balige"}, {"id": "laguboti", "name": "Laguboti"}],
    "opds": [{"id": "dlh", "name": "DLH", "site": "balige"}],
    "devices": [{"id": "r-core", "kind": "router", "site": "balige", "opd": "dlh"}],
}


def write(folder: Path, name: str, text: str | dict[str, Any]) -> Path:
    path = folder / name
    text = text if isinstance(text, str) else yaml.safe_dump(text)
    path.write_text(text, encoding="utf-8")
    return path


def base(folder: Path) -> Path:
    return write(folder, "inventory.yaml", BASE)


def problems(*paths: Path) -> list[Problem]:
    with pytest.raises(Misconfigured) as caught:
        inventory_file.read(paths, registry.find())
    return caught.value.problems


def test_csv_rows_are_devices_like_any_other(tmp_path: Path) -> None:
    text = (
        "id,name,kind,site,opd,address,depends_on,lat,collect.snmp.community,collect.snmp.uplinks,"
        "collect.netprobe,collect.mqtt\n"
        'r-1,"Router, satu",router,balige,dlh,10.0.0.1,r-core,2.33,umum,"[""ether1""]",x,\n'
        "\n"
        "s-1,,sensor,laguboti,,,r-1;r-core,,,,,x\n"
    )
    found = inventory_file.read(
        [base(tmp_path), write(tmp_path, "more.csv", text)], registry.find()
    )
    one, two = found.devices["r-1"], found.devices["s-1"]
    assert (one.name, one.lat, one.depends_on) == ("Router, satu", 2.33, ["r-core"])
    assert one.collect == {"snmp": {"community": "umum", "uplinks": ["ether1"]}, "netprobe": {}}
    assert two.depends_on == ["r-1", "r-core"]
    assert two.collect == {"mqtt": {}}
    assert two.title == "s-1"
    assert [t.id for t in found.targets("snmp")] == ["r-1"]
    assert found.targets("snmp")[0].section["community"] == "umum"


def test_cells_stay_text_where_the_collector_wants_text(tmp_path: Path) -> None:
    text = (
        "id;kind;site;address;lat;collect.snmp.community;collect.snmp.port\n"
        "r-1;router;balige;10.0.0.1;2,33;2024;1161\n"
        "r-2;router;balige;10.0.0.2;2.5;true;161\n"
    )
    found = inventory_file.read(
        [base(tmp_path), write(tmp_path, "more.csv", text)], registry.find()
    )
    assert found.devices["r-1"].collect["snmp"] == {"community": "2024", "port": 1161}
    assert found.devices["r-1"].lat == 2.33
    assert found.devices["r-2"].collect["snmp"]["community"] == "true"
    (wrong,) = problems(base(tmp_path), write(tmp_path, "more.csv", text.replace("1161", "many")))
    assert wrong.key == "devices[0].collect.snmp.port"


def test_all_mistakes_of_a_device_are_named_at_once_and_none_of_those_that_name_it(
    tmp_path: Path,
) -> None:
    text = {
        "sites": [{"id": "balige", "name": "Balige", "lat": 777}],
        "devices": [
            {
                "id": "R Core",
                "kind": "rooter",
                "site": "balige",
                "opd": "dhl",
                "depends_on": ["r-9"],
                "address": "1.2.3.4.5",
                "collect": {"snmp": {"prot": 1}, "mqtt": None, "snnp": {}},
            },
            {"id": "r-2", "kind": "router", "site": "balige", "depends_on": ["R Core"]},
            {"kind": "router", "site": "blige"},
            3,
        ],
    }
    found = problems(write(tmp_path, "inventory.yaml", text))
    assert sorted(p.key for p in found) == [
        "devices[0].address",
        "devices[0].collect.mqtt",
        "devices[0].collect.snmp.prot",
        "devices[0].collect.snnp",
        "devices[0].depends_on[0]",
        "devices[0].id",
        "devices[0].kind",
        "devices[0].opd",
        "devices[2].id",
        "devices[2].site",
        "devices[3]",
        "sites[0].lat",
    ]


def test_a_spreadsheet_s_semicolons_and_byte_order_mark_are_understood(tmp_path: Path) -> None:
    text = '\ufeffid;name;kind;site;depends_on\nr-1;Router satu;router;balige;"r-core;r-2"\n'
    text += "r-2;Router, dua;router;balige;\n"
    found = inventory_file.read([base(tmp_path), write(tmp_path, "more.csv", text)])
    assert found.devices["r-1"].depends_on == ["r-core", "r-2"]
    assert found.devices["r-2"].name == "Router, dua"


def test_a_mistake_in_a_csv_is_named_with_its_line(tmp_path: Path) -> None:
    text = "id,kind,site,adress\nr-1,router,balige,\nr-2,router,bailge,\nr-3,router,balige,x\n"
    text += "r-4,router,balige,,too,many\n"
    found = problems(base(tmp_path), write(tmp_path, "more.csv", text))
    assert {(Path(p.file).name, p.line) for p in found} == {
        ("more.csv", 3),
        ("more.csv", 4),
        ("more.csv", 5),
    }
    assert "did you mean balige?" in str(found)


@pytest.mark.parametrize(
    ("device", "key", "said"),
    [
        ({"site": "bailge"}, "devices[0].site", "no site 'bailge' (did you mean balige?)"),
        ({"opd": "dhl"}, "devices[0].opd", "no OPD 'dhl' (did you mean dlh?)"),
        ({"depends_on": ["x"]}, "devices[0].depends_on[0]", "no device 'x'"),
        ({"depends_on": ["d"]}, "devices[0].depends_on", "depends on itself: d → d"),
        ({"kind": "Router"}, "devices[0].kind", "'Router' (did you mean router?)"),
        ({"kind": "rooter"}, "devices[0].kind", "did you mean router?"),
        ({"kind": "gadget"}, "devices[0].kind", "'gadget' (known: ap, camera, gateway"),
        ({"address": "10.12.1.777"}, "devices[0].address", "no IP address: '10.12.1.777'"),
        ({"address": "10.12.1"}, "devices[0].address", "no IP address"),
        ({"address": "fe80::1::2"}, "devices[0].address", "no IP address"),
        ({"id": "Ruang 1"}, "devices[0].id", "such as ruang-1"),
        ({"adress": "x"}, "devices[0].adress", "did you mean address?"),
        ({"collect": {"snnp": {}}}, "devices[0].collect.snnp", "did you mean snmp?"),
        ({"collect": {"mqtt": {"topik": 1}}}, "devices[0].collect.mqtt.topik", "no such key"),
        ({"collect": {"mqtt": None}}, "devices[0].collect.mqtt", "is empty (write {})"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_a_remedy(
    tmp_path: Path, device: dict[str, Any], key: str, said: str
) -> None:
    entry = {"id": "d", "kind": "router", "site": "balige", **device}
    found = problems(base(tmp_path), write(tmp_path, "more.yaml", {"devices": [entry]}))
    assert [p.key for p in found] == [key]
    assert said in str(found[0])
    assert found[0].line > 0


def test_an_id_that_stands_twice_names_where_it_stood_first(tmp_path: Path) -> None:
    path = base(tmp_path)
    (found,) = problems(path, write(tmp_path, "b.yaml", {"sites": BASE["sites"][:1]}))
    assert "'balige' stands twice" in str(found)
    assert f"first: {path}:" in found.remedy


def chain(length: int, closed: bool) -> dict[str, Any]:
    devices = [
        {"id": f"d{n}", "kind": "router", "site": "balige", "depends_on": [f"d{n + 1}"]}
        for n in range(length)
    ]
    devices[-1]["depends_on"] = ["d0"] if closed else []
    return {**BASE, "devices": devices}


def test_every_circle_is_found_once_however_long(tmp_path: Path) -> None:
    inventory_file.from_data(chain(3000, closed=False))
    with pytest.raises(Misconfigured) as caught:
        inventory_file.from_data(chain(3000, closed=True))
    assert len(caught.value.problems) == 1
    two = {
        **BASE,
        "devices": [
            {"id": a, "kind": "router", "site": "balige", "depends_on": list(b)}
            for a, b in {"a": "bc", "b": "c", "c": "a", "d": "e", "e": "d", "f": "ad"}.items()
        ],
    }
    with pytest.raises(Misconfigured) as caught:
        inventory_file.from_data(two)
    said = [p.message for p in caught.value.problems]
    assert [m.split(": ")[1] for m in said] == ["a → b → c → a", "d → e → d"] or len(said) == 3


@pytest.mark.parametrize("text", ["- a\n", "devices: 3\n", "devices: [3]\n", "gadgets: []\n"])
def test_a_file_of_another_shape_is_no_traceback(tmp_path: Path, text: str) -> None:
    assert problems(write(tmp_path, "odd.yaml", text))


def test_files_that_can_not_be_read_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"id,name\n\xff\xfe,x\n")
    found = problems(tmp_path / "none.yaml", tmp_path / "none.csv", tmp_path / "binary.csv")
    assert [Path(p.file).name for p in found] == ["none.yaml", "none.csv", "binary.csv"]


def test_labels_are_looked_up_and_never_empty() -> None:
    found = inventory_file.from_data(BASE)
    assert found.labels(Series.of("device", "r-core")) == {
        "site": "balige",
        "opd": "dlh",
        "kind": "router",
    }
    assert found.labels(Series.of("device", "nobody")) == {}
    plain: dict[str, Any] = {"id": "x", "kind": "ap", "site": "balige"}
    without = inventory_file.from_data({**BASE, "devices": [plain]})
    assert without.labels(Series.of("device", "x")) == {"site": "balige", "kind": "ap"}


def test_what_is_dumped_is_read_back_the_same(tmp_path: Path) -> None:
    found = inventory_file.from_data(BASE)
    again = inventory_file.read([write(tmp_path, "again.yaml", found.dump())])
    assert again == found
    assert Inventory().dump() == {"sites": [], "opds": [], "devices": []}


def test_an_inventory_read_again_holds_once_what_did_not_change(tmp_path: Path) -> None:
    head = "id,kind,site,address,collect.snmp.port\nr1,router,balige,10.0.0.1,161\n"
    sites = base(tmp_path)
    before = inventory_file.read(
        [sites, write(tmp_path, "a.csv", head + "r2,router,balige,10.0.0.2,161")]
    )
    after = inventory_file.read(
        [sites, write(tmp_path, "b.csv", head + "r2,router,balige,10.0.0.9,161")]
    )
    after.keep(before)
    assert after.devices["r1"] is before.devices["r1"]
    assert after.sites["balige"] is before.sites["balige"]
    assert after.devices["r2"].address == "10.0.0.9"
    assert after.devices["r1"].collect is before.devices["r2"].collect


def test_sections_that_only_look_alike_stay_apart(tmp_path: Path) -> None:
    rows = "id,kind,site,address,collect.snmp.community\nr1,router,balige,10.0.0.1,0x10\n"
    table = write(tmp_path, "a.csv", rows + 'r2,router,balige,10.0.0.2,"""0x10"""')
    devices = inventory_file.read([base(tmp_path), table], registry.find()).devices
    assert devices["r1"].collect == devices["r2"].collect == {"snmp": {"community": "0x10"}}
    rows = "id,kind,site,address,collect.snmp.community\nr1,router,balige,10.0.0.1,1e2\n"
    table = write(tmp_path, "b.csv", rows + "r2,router,balige,10.0.0.2,100.0")
    devices = inventory_file.read([base(tmp_path), table], registry.find()).devices
    assert devices["r1"].collect == {"snmp": {"community": "1e2"}}
    assert devices["r2"].collect == {"snmp": {"community": "100.0"}}


def test_an_address_is_whose_stands_first_and_devices_without_one_have_none(tmp_path: Path) -> None:
    devices = [
        {"id": "a", "kind": "other", "site": "balige", "address": "10.0.0.1"},
        {"id": "b", "kind": "other", "site": "balige", "address": "10.0.0.1"},
        {"id": "c", "kind": "other", "site": "balige", "address": "nvr.local"},
        {"id": "d", "kind": "other", "site": "balige"},
    ]
    found = inventory_file.from_data({"sites": BASE["sites"], "devices": devices})
    assert found.addresses() == {"10.0.0.1": "a", "nvr.local": "c"}
