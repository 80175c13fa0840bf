"""What a collector keeps over a restart."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from hub.api import BadItem, TryAgain
from hub.notebook import MOST_BYTES, Notebook

FACTS: dict[str, Any] = {"gw": {"macs": {"10.1.0.7": "02:00:00:00:00:0a"}, "turns": 3}}


async def test_what_is_kept_last_is_there_after_a_restart_and_of_others_nothing(
    tmp_path: Path,
) -> None:
    assert Notebook(tmp_path, "fake").recall() == {}
    await Notebook(tmp_path, "fake").keep({"old": 1})
    await Notebook(tmp_path, "fake").keep(FACTS)
    assert Notebook(tmp_path, "fake").recall() == FACTS
    assert Notebook(tmp_path, "other").recall() == {}
    assert [path.name for path in tmp_path.iterdir()] == ["kept.fake.json"]


@pytest.mark.parametrize("content", [b'{"gw": {"ma', b"\xff\x00", b"[1, 2]", b""])
async def test_what_can_t_be_read_is_set_aside_and_the_collector_begins_anew(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "kept.fake.json").write_bytes(content)
    notebook = Notebook(tmp_path, "fake")
    assert notebook.recall() == {}
    assert (tmp_path / "kept.fake.spoiled").read_bytes() == content
    await notebook.keep(FACTS)
    assert notebook.recall() == FACTS


async def test_what_can_t_be_written_is_said_and_what_was_kept_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    notebook = Notebook(tmp_path, "fake")
    await notebook.keep(FACTS)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TryAgain, match=r"can't keep .*kept\.fake\.json"):
            await notebook.keep({})
    assert [path.name for path in tmp_path.iterdir()] == ["kept.fake.json"], "nothing is left over"
    with pytest.raises(BadItem, match=f"{MOST_BYTES} are the most"):
        await notebook.keep({"much": "x" * MOST_BYTES})
    assert notebook.recall() == FACTS


async def test_it_is_on_disk_before_it_counts_as_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        done.append("synced")
        sync(handle)

    def replaced(path: Path, target: Path) -> Path:
        done.append("replaced")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    await Notebook(tmp_path, "fake").keep(FACTS)
    assert done == ["synced", "replaced"]
