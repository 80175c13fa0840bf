"""`toba-hub doctor` looks for real and says what to mend; a broken check hides no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub import configuration, doctor
from hub.api import Check, Collector
from hub.configuration import Configuration
from hub.doctor import Finding, examine
from hub.manifest import Manifest
from hub.registry import Plugin
from hub.settings import MIB
from hub.supervisor import FolderLock
from tests.mosquitto_support import free_port


def configured(folder: Path, **more: Any) -> Configuration:
    path = folder / "toba-hub.yaml"
    settings = {"store": {"kind": "duckdb"}, "inventory": [], "rules": {"library": False}}
    path.write_text(yaml.safe_dump({**settings, **more}), encoding="utf-8")
    conf = configuration.load(path)
    return replace(conf, plugins={})


async def found(conf: Configuration) -> dict[str, Finding]:
    return {finding.what: finding for finding in await examine(conf)}


async def test_a_healthy_place_is_good_all_over_but_for_the_missing_channel(
    tmp_path: Path,
) -> None:
    findings = await found(configured(tmp_path, journal={"acknowledged_mib": 1, "polled_mib": 1}))
    assert {f.what for f in findings.values() if f.level == "bad"} == set()
    assert findings["store"].found.startswith("duckdb")
    assert findings["notifications"].level == "warn"
    assert findings["clock"].level == "good"
    assert "ms in" in findings["fsync"].found
    assert not list((tmp_path / "data").glob("tmp*")), "it leaves nothing behind"


async def test_too_little_space_is_said_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 3 * MIB

    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage)
    finding = (await found(configured(tmp_path)))["free space"]
    assert finding.level == "warn"
    assert "3 MiB" in finding.found
    assert "4096 MiB" in finding.found


async def test_a_folder_that_can_not_be_written_is_bad(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    finding = (await found(configured(tmp_path, data="file")))["data folder"]
    assert finding.level == "bad"
    assert "writable" in finding.remedy


async def test_a_store_and_a_grafana_that_do_not_answer_are_bad(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    conf = configured(tmp_path, store={"kind": "influxdb", "url": nobody}, grafana={"url": nobody})
    findings = await found(conf)
    assert findings["store"].level == "bad"
    assert "wait in the journal" in findings["store"].remedy
    assert findings["grafana"].level == "bad"


async def test_a_hub_that_runs_but_does_not_answer_is_bad_and_its_store_is_left_alone(
    tmp_path: Path,
) -> None:
    conf = configured(tmp_path)
    url = f"http://127.0.0.1:{free_port()}"
    lock = FolderLock.take(conf.settings.data, url)
    findings = await found(conf)
    lock.release()
    assert findings["running hub"].level == "bad"
    assert url in findings["running hub"].found
    assert "store" not in findings, "DuckDB admits one process"


class Broken(Collector):
    @classmethod
    async def diagnose(cls, config: Any, targets: Sequence[Any]) -> Sequence[Check]:
        raise RuntimeError("a bug")


class Fine(Collector):
    @classmethod
    async def diagnose(cls, config: Any, targets: Sequence[Any]) -> Sequence[Check]:
        return [Check("warn", "broker", "no password", "set one")]


async def test_a_collector_whose_checks_fail_hides_no_other(tmp_path: Path) -> None:
    manifest = Manifest.model_validate(
        {"name": "p", "kind": "poll", "owner": "", "summary": {}, "measurements": {}}
    )

    def plugin(cls: type[Collector]) -> Plugin:
        return Plugin("p", cls, manifest, tmp_path)

    conf = configured(tmp_path)
    conf = replace(conf, plugins={"a": plugin(Broken), "b": plugin(Fine)})
    findings = await examine(conf)
    assert Finding("bad", "a", "its own checks failed: RuntimeError('a bug')") in findings
    assert Finding("warn", "b: broker", "no password", "set one") in findings
