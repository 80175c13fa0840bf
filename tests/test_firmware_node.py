"""The sensor node's core, which also runs on the boards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_stubs.micropython import drivers, node_core
from firmware_stubs.micropython.node_core import Node, Ring

TS = 1_790_000_000


def said(node: Node, ts: int = TS) -> dict[str, object]:
    found: dict[str, object] = json.loads(node.report({"pm25": 12.5, "t": 23.1}, ts, True, 60))
    return found


def test_a_report_has_the_shape_of_the_convention() -> None:
    node = Node("aq-balige", fw="1.2.3", reset="wdt")
    payload = node.report({"pm25": 12.5}, TS, False, 3600, rssi=-71, vbat=3.9, heap=81920)
    assert json.loads(payload) == {
        "v": 1, "id": "aq-balige", "ts": TS, "seq": 0, "fw": "1.2.3", "up": 3600,
        "tsync": False, "rst": "wdt", "rssi": -71, "vbat": 3.9, "heap": 81920,
        "m": {"pm25": 12.5},
    }  # fmt: skip


def test_messages_are_numbered_without_gaps_and_wrap_at_32_bits() -> None:
    node = Node("aq-balige", first_seq=0xFFFFFFFE)
    assert [said(node)["seq"] for _ in range(4)] == [0xFFFFFFFE, 0xFFFFFFFF, 0, 1]


def test_a_node_asks_for_a_block_of_numbers_before_it_uses_one() -> None:
    node = Node("aq-balige", first_seq=128)
    assert node.needs_reserve()
    node.reserve(192)
    for _ in range(64):
        assert not node.needs_reserve()
        said(node)
    assert node.needs_reserve()


def test_what_was_kept_comes_again_oldest_first_with_its_own_time_marked_as_late() -> None:
    node = Node("aq-balige")
    for second in range(3):
        node.keep(node.report({"pm25": 1.0 + second}, TS + second, True, second))
    replayed = []
    while kept := node.oldest():
        replayed.append(json.loads(kept))
        node.forget()
    assert [(message["ts"], message["seq"], message["buf"]) for message in replayed] == [
        (TS, 0, True), (TS + 1, 1, True), (TS + 2, 2, True)
    ]  # fmt: skip
    assert "buf" not in said(node)


@given(st.integers(1, 6), st.lists(st.sampled_from(["add", "forget"]), max_size=60))
def test_a_ring_is_a_list_that_loses_its_oldest(capacity: int, acts: list[str]) -> None:
    ring, model, lost = Ring(capacity), [], 0
    for number, act in enumerate(acts):
        if act == "add":
            ring.add(f"{{{number}}}")
            model.append(f"{{{number}}}")
            if len(model) > capacity:
                model.pop(0)
                lost += 1
        elif model:
            assert ring.oldest() == model.pop(0)
            ring.forget()
        assert (len(ring), ring.dropped) == (len(model), lost)
        assert ring.oldest() == (model[0] if model else "")


def test_a_ring_outlives_a_restart_and_a_line_that_power_cut_in_two(tmp_path: Path) -> None:
    path = tmp_path / "outbox.jsonl"
    ring = Ring(3, str(path))
    for number in range(20):
        ring.add(f'{{"seq": {number}}}')
    assert len(path.read_text().splitlines()) <= 6, "the file must not grow for ever"
    with path.open("a") as file:
        file.write('{"seq": 99, "m"')
    restarted = Ring(3, str(path))
    assert [json.loads(line)["seq"] for line in restarted._lines] == [17, 18, 19]
    while restarted.oldest():
        restarted.forget()
    assert not path.exists()


def test_both_epochs_of_micropython_become_unix_time() -> None:
    assert node_core.unix_time(843_315_200, 2000) == TS
    assert node_core.unix_time(TS, 1970) == TS


def pms(pm25: int, pm10: int) -> bytes:
    frame = b"BM\x00\x1c" + bytes(8) + pm25.to_bytes(2, "big") + pm10.to_bytes(2, "big") + bytes(14)
    return frame + (sum(frame) & 0xFFFF).to_bytes(2, "big")


def test_a_pms5003_frame_gives_particles() -> None:
    assert drivers.pms5003(pms(35, 64)) == {"pm25": 35.0, "pm10": 64.0}


@given(st.integers(0, 31), st.integers(1, 255))
def test_a_damaged_pms5003_frame_is_refused(place: int, flip: int) -> None:
    frame = bytearray(pms(35, 64))
    frame[place] ^= flip
    with pytest.raises(drivers.FrameError):
        drivers.pms5003(bytes(frame))


def test_the_crc_is_the_one_of_the_sht3x_data_sheet() -> None:
    assert drivers.crc8(b"\xbe\xef") == 0x92


def test_an_sht3x_answer_gives_temperature_and_humidity_and_damage_is_refused() -> None:
    answer = b"\x66\x66\x93\x80\x00\xa2"
    assert drivers.sht3x(answer) == {"t": 25.0, "rh": 50.0}
    for place in range(6):
        damaged = bytearray(answer)
        damaged[place] ^= 0x10
        with pytest.raises(drivers.FrameError):
            drivers.sht3x(bytes(damaged))
    with pytest.raises(drivers.FrameError):
        drivers.sht3x(answer[:5])
