"""Every folder under collectors/snmp/testcases: agents' answers and what must come of them.

`input.1.snmprec`, `input.2.snmprec` … are polled one after the other, `seconds` apart;
`expected.lp` is what the last poll emits, without agent_ms.
"""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from collectors.snmp.client import MOST_JITTER
from collectors.snmp.config import SnmpConfig, SnmpSection
from collectors.snmp.oids import SYS_UPTIME
from firmware_stubs.router import RouterStub
from firmware_stubs.snmp_mib import read_snmprec
from hub import manifest
from hub.api import Event, Item, Proposal, Reading
from tests.snmp_support import listening, polling

FOLDER = Path(__file__).parents[1] / "collectors" / "snmp"
CASES = sorted(case.name for case in (FOLDER / "testcases").iterdir())
NOW_NS = 1_790_000_000_000_000_000


def line(item: Item) -> str:
    """An item as line protocol with its quality as a last field."""
    if isinstance(item, Event):
        return f"# event {item.device} {item.name}: {item.text}"
    if isinstance(item, Proposal):
        return f"# proposal {item.kind} {item.device}: {dict(item.facts)}"
    assert isinstance(item, Reading)
    fields = []
    for name, value in sorted(item.fields.items()):
        if name != "agent_ms":
            said = f'"{value}"' if isinstance(value, str) else f"{value:.9g}"
            fields.append(f"{name}={value}i" if isinstance(value, int) else f"{name}={said}")
    return f"{item.series.key} {','.join(fields)},quality={item.quality}i {item.time_ns}"


@pytest.mark.parametrize("name", CASES)
async def test_an_agent_is_read_as_its_folder_says(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = FOLDER / "testcases" / name
    about = tomllib.loads((case / "case.toml").read_text(encoding="utf-8"))
    mibs = [read_snmprec(path) for path in sorted(case.glob("input.*.snmprec"))]
    stub = RouterStub(mibs[0])
    loop = asyncio.get_running_loop()
    async with listening(stub) as port, polling(port, **about["section"]) as poller:
        poller.host.time_ns = NOW_NS
        began = 0
        for step, mib in enumerate(mibs):
            stub.mib = mib
            # The loop's clock stands still but for the seconds between the polls, so that an agent
            # without sysUpTime has exact rates too (and no request ever times out).
            skipped = 1000.0 + step * about["seconds"]
            monkeypatch.setattr(loop, "time", lambda now=skipped: now)
            began = len(poller.emit.items)
            await poller.poll(*about["tiers"])
            monkeypatch.undo()
    found = [line(item) for item in poller.emit.items[began:]]
    assert found == (case / "expected.lp").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", CASES)
def test_a_case_expects_only_what_the_manifest_promises(name: str) -> None:
    promised = manifest.load(FOLDER / "manifest.toml").measurements
    for text in (FOLDER / "testcases" / name / "expected.lp").read_text().splitlines():
        if not text.startswith("#"):
            assert text.partition(",")[0] in promised


def test_a_case_says_why_it_is_there() -> None:
    for name in CASES:
        assert tomllib.loads((FOLDER / "testcases" / name / "case.toml").read_text())["why"], name


def test_uptime_is_where_the_collector_looks() -> None:
    assert SYS_UPTIME in read_snmprec(FOLDER / "testcases" / "who_it_is" / "input.1.snmprec")


@pytest.mark.parametrize("name", ["sample.yaml", "sample.inventory.yaml"])
def test_the_readme_shows_the_samples(name: str) -> None:
    assert (FOLDER / name).read_text() in (FOLDER / "README.md").read_text()


def secrets_read(data: Any) -> Any:
    """`{file: …}` as the hub's settings give it: what the file holds."""
    if not isinstance(data, dict):
        return data
    return "a-secret" if set(data) == {"file"} else {k: secrets_read(v) for k, v in data.items()}


def test_the_samples_are_valid_and_say_the_defaults() -> None:
    settings = secrets_read(yaml.safe_load((FOLDER / "sample.yaml").read_text()))
    config = SnmpConfig.model_validate(settings["collectors"]["snmp"])
    shown = {"tiers", "credentials"}
    assert config.model_dump(exclude=shown) == SnmpConfig().model_dump(exclude=shown)
    tiers = manifest.load(FOLDER / "manifest.toml").tiers
    assert config.tiers["traffic"].period_s == tiers["traffic"].period_s
    devices = yaml.safe_load((FOLDER / "sample.inventory.yaml").read_text())["devices"]
    one, other = (
        SnmpSection.model_validate(device["collect"]["snmp"], context={"config": config})
        for device in devices
    )
    assert one.speed == {"ether1": 20_000_000}
    assert other.asks_as(config).as_user().priv == "aes128"


def test_every_tier_outlasts_its_own_retries() -> None:
    """Else the hub would cut a poll before it could say that the device is down."""
    config = SnmpConfig()
    longest = config.timeout_s * (config.retries + 1) * (1 + MOST_JITTER)
    tiers = manifest.load(FOLDER / "manifest.toml").tiers
    assert tiers.pop("liveness").timeout_s > longest
    assert all(tier.timeout_s > 2 * longest for tier in tiers.values())
