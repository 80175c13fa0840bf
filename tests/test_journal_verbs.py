"""`toba-hub journal status|verify|export` on a journal with every kind of trouble."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from click.testing import Result
from typer.testing import CliRunner

from hub.cli.main import cli
from hub.journal import Class, Journal, Kind, Reader
from hub.journal.files import Cursor, segments
from hub.journal.survey import status, verify

NS = 1_000_000_000
BEGIN = 1_700_000_000
MIB = 1024 * 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """400 records a second apart, half of them polled, the oldest of those dropped."""
    (tmp_path / "inventory.yaml").write_text("devices: []\n")
    (tmp_path / "toba-hub.yaml").write_text("journal: {polled_mib: 1}\n")
    folder = tmp_path / "data" / "journal"
    journal = Journal(
        folder,
        now_ns=1,
        segment_bytes=4096,
        quotas={int(Class.POLLED): 12_000},
        cursors=("engine", "forward"),
    )
    kinds = [(Kind.READINGS, Class.ACKNOWLEDGED), (Kind.READINGS, Class.POLLED)]
    for number in range(1, 401):
        kind, klass = kinds[number % 2]
        if number % 100 == 0:
            kind, klass = Kind.ACT, Class.ACT
        payload = msgspec.msgpack.encode({"n": number, "filling": "x" * 60})
        journal.append([((BEGIN + number) * NS, int(kind), int(klass), payload)])
    Cursor(folder, "engine").set(400)
    Cursor(folder, "forward").set(350)
    Cursor(folder, "engine").set(390)
    Cursor(folder, "forward").set(0)
    journal.keep_house()
    journal.close()
    return folder


def run(folder: Path, *words: str) -> Result:
    settings = str(folder.parent.parent / "toba-hub.yaml")
    return CliRunner().invoke(cli, ["journal", *words, "-s", settings], env={"COLUMNS": "200"})


def lines(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_status_tells_classes_quotas_thinned_segments_and_how_late_readers_are(
    folder: Path,
) -> None:
    said = run(folder, "status")
    assert said.exit_code == 0
    assert "ids 1 to 400" in said.stdout
    assert "segments were thinned" in said.stdout
    (found,) = lines(run(folder, "status", "--json"))
    assert found["quotas"] == {"acknowledged": 2048 * MIB, "polled": MIB, "act": 64 * MIB}
    held = found["held"]
    assert isinstance(held, dict)
    sizes = sum(path.stat().st_size for _, path in segments(folder))
    assert found["bytes"] == sizes
    assert sum(held.values()) == sizes - 64 * len(segments(folder))
    assert isinstance(found["thinned"], int)
    assert found["thinned"] > 1
    assert found["cursors"]["engine"] == {"done_id": 390, "records": 10, "seconds": 9.0}  # type: ignore[index]
    assert found["cursors"]["forward"]["records"] == 400  # type: ignore[index]


def test_verify_names_what_was_dropped_and_calls_it_no_damage(folder: Path) -> None:
    said = run(folder, "verify")
    assert said.exit_code == 0, said.output
    assert "dropped" in said.stdout
    assert "of ids 1 to" in said.stdout
    assert "between 2023-11-14 22:13:21" in said.stdout
    assert "good records (196 acknowledged" in said.stdout


def spoil(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_verify_names_damage_by_id_and_time_and_fails(folder: Path) -> None:
    last = segments(folder)[-1][1]
    data = last.read_bytes()
    number = segments(folder)[-1][0] + 1
    spoil(last, data.index(b"filling", data.index(b"filling") + 7))
    spoil(segments(folder)[-2][1], 20)
    said = run(folder, "verify")
    assert said.exit_code == 1
    assert f"LOST id {number}, received at 2023-11-14 22:" in said.stdout
    assert "payload spoiled" in said.stdout
    assert "its header is spoiled" in said.stdout


def test_verify_names_a_cut_tail_that_no_reader_can_see_yet(folder: Path) -> None:
    last = segments(folder)[-1][1]
    with last.open("r+b") as file:
        file.truncate(last.stat().st_size - 10)
    said = run(folder, "verify")
    assert said.exit_code == 1
    assert "LOST id 400, received between 2023-11-14 22:19:59 and 2023-11-14 22:20:00" in (
        said.stdout
    )
    assert "the mark says that it was durable" in said.stdout


def test_verify_works_beside_a_writer_and_shows_how_far_it_is(folder: Path) -> None:
    journal = Journal(folder, now_ns=1, segment_bytes=4096, cursors=("engine", "forward"))
    seen: list[Sequence[int]] = []

    def freed_meanwhile(*progress: int) -> None:
        if not seen:
            for name in ("engine", "forward"):
                Cursor(folder, name).set(200)
            assert journal.keep_house().freed > 2
            journal.append([(BEGIN * NS, int(Kind.TICK), int(Class.ACT), b"")])
        seen.append(progress)

    found = verify(folder, freed_meanwhile)
    assert found is not None
    assert found.damage == []
    assert found.odd == []
    assert seen[-1][1:] == (400, 400), "what came later is not its business"
    journal.close()


def test_a_cursor_beyond_the_end_is_odd(folder: Path) -> None:
    Cursor(folder, "engine").set(999)
    said = run(folder, "verify")
    assert said.exit_code == 1
    assert "cursor engine stands at 999" in said.stdout


def test_export_gives_a_part_of_the_log_by_id_kind_and_class(folder: Path) -> None:
    everything = run(folder, "export")
    assert "missing:" in everything.stderr
    assert "dropped, oldest first" in everything.stderr
    acts = lines(run(folder, "export", "--kind", "act"))
    assert [line["id"] for line in acts] == [100, 200, 300, 400]
    assert acts[0]["payload"] == {"n": 100, "filling": "x" * 60}
    assert acts[0]["time"] == "2023-11-14T22:15:00+00:00"
    some = lines(run(folder, "export", "--after", "390", "--until", "395"))
    assert [line["id"] for line in some] == [391, 392, 393, 394, 395]
    polled = lines(run(folder, "export", "--after", "390", "--class", "polled", "--class", "act"))
    assert [line["id"] for line in polled] == [391, 393, 395, 397, 399, 400]
    assert run(folder, "export", "--kind", "nonsense").exit_code == 2


def test_asking_changes_nothing(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for words in (["status"], ["status", "--json"], ["verify"], ["export"]):
        run(folder, *words)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_the_bytes_in_the_status_are_those_of_the_writer(folder: Path) -> None:
    found = status(folder)
    assert found is not None
    journal = Journal(folder, now_ns=1)
    assert tuple(journal.used(klass) for klass in Class) == found.held
    reader = Reader(folder)
    assert sum(len(records) for records in iter(reader.read, [])) < 400
    reader.close()
    journal.close()
