"""What agents' values mean."""

from __future__ import annotations

import pytest

from collectors.snmp.codec import Absent
from collectors.snmp.oids import HR_STORAGE_RAM, IF_NAME, cell
from collectors.snmp.parse import Storage, column, mem_pct, port_names, speed_bps, text

OTHER = "1.3.6.1.2.1.25.2.1.1"


@pytest.mark.parametrize(
    ("high_mbit", "if_speed", "bps"),
    [
        (1000, 1_000_000_000, 1_000_000_000),
        (10_000, 4_294_967_295, 10_000_000_000),  # ifSpeed is pegged
        (None, 4_294_967_295, None),
        (None, 100_000_000, 100_000_000),
        (0, 64_000, 64_000),  # slower than ifHighSpeed can say
        (2, 1_544_000, 1_544_000),  # T1: ifSpeed is finer
        (100_000_000, 100_000_000, 100_000_000),  # bit/s in ifHighSpeed (D-Link)
        (1_000_000_000, None, None),
        (0, 0, None),
        (-5, None, None),
    ],
)
def test_speed_is_what_both_columns_agree_on(
    high_mbit: int | None, if_speed: int | None, bps: int | None
) -> None:
    assert speed_bps(high_mbit, if_speed) == bps


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"ether1", "ether1"),
        ("Kecamatan Balige – é".encode(), "Kecamatan Balige – é"),
        (b"caf\xe9", "café"),
        (b"eth0\0", "eth0"),
        (b"line\r\nbreak ", "line  break"),
        ("1.3.6.1.4.1.9", "1.3.6.1.4.1.9"),
        (Absent.NO_SUCH_INSTANCE, ""),
        (5, ""),
    ],
)
def test_text_is_made_fit_to_read(value: object, said: str) -> None:
    assert text(value) == said  # type: ignore[arg-type]


def test_ports_are_named_by_if_name_then_if_descr_then_index() -> None:
    names = {1: b"ether1", 2: b"", 3: b"ether1", 4: b"tail\\"}
    descrs = {2: b"Port 2", 3: b"third", 5: b""}
    assert port_names(names, descrs) == {
        1: "ether1",
        2: "Port 2",
        3: "ether1#3",
        4: "tail",
        5: "if5",
    }


def test_a_column_takes_only_instances_with_one_index() -> None:
    rows = [(cell(IF_NAME, 70_000), b"a"), (cell(cell(IF_NAME, 1), 2), b"b")]
    assert column(rows, IF_NAME) == {70_000: b"a"}


def test_memory_leaves_out_what_the_system_gives_back() -> None:
    rows = [
        Storage(HR_STORAGE_RAM, "Physical memory", 1024, 1000, 800),
        Storage(OTHER, "Memory buffers", 1024, 1000, 100),
        Storage(OTHER, "Cached memory", 1024, 1000, 300),
        Storage(OTHER, "Shared memory", 1024, 1000, 900),
    ]
    assert mem_pct(rows) == 40.0
    assert mem_pct(rows[:1]) == 80.0


def test_memory_of_an_agent_that_counts_otherwise_stays_sensible() -> None:
    ram = Storage(HR_STORAGE_RAM, "main memory", 1024, 1000, 200)
    assert mem_pct([ram, Storage(OTHER, "Cached memory", 1024, 1000, 300)]) == 20.0
    assert mem_pct([ram._replace(used=2000)]) == 100.0
    assert mem_pct([ram._replace(size=0)]) is None
    assert mem_pct([]) is None
