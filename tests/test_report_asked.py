"""The report where people ask for it: at the command line, over the API, in a browser, on paper."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
import re
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from hub.cli.main import cli
from hub.configuration import Configuration
from hub.report import asked
from hub.web.app import create_app
from hub.web.serving import serve
from tests.browser_support import browser
from tests.hub_support import INVENTORY, running, wait_for
from tests.report_support import at, regency
from tests.web_support import FakeBackend

NOW = at("11-02 08:00:00")
SHOTS = os.environ.get("SCREENSHOTS")
"""Set it to a folder to keep the pictures."""


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    return regency(tmp_path_factory.mktemp("regency"))


@pytest.fixture
def backend(conf: Configuration) -> FakeBackend:
    return FakeBackend(months=asked.of(conf, "2026-10", NOW))


def run(settings: Path, *words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(
        cli, ["report", *words, "-s", str(settings)], catch_exceptions=False
    )


def test_a_file_gets_the_form_that_its_name_ends_in(conf: Configuration, tmp_path: Path) -> None:
    for ending, begins in (("html", b"<!doctype"), ("csv", b"month,"), ("pdf", b"%PDF-1.4")):
        file = tmp_path / f"october.{ending}"
        done = run(conf.path, "--month", "2026-10", "-o", str(file))
        assert done.exit_code == 0, done.output
        assert "wrote" in done.output
        assert "2026-10" in done.output
        assert file.read_bytes().startswith(begins)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "october.csv", "october.html", "october.pdf",
    ]  # fmt: skip


def test_without_a_file_the_report_goes_to_standard_output(conf: Configuration) -> None:
    done = run(conf.path, "--month", "2026-10", "--json")
    said = json.loads(done.stdout)
    assert said["month"] == "2026-10"
    assert [one["number"] for one in said["totals"] if one["sort"] == "opd"] == [44]
    rows = list(
        csv.DictReader(io.StringIO(run(conf.path, "--month", "2026-10", "-f", "csv").stdout))
    )
    assert {one["sort"] for one in rows} == {"opd", "link", "camera", "device"}
    shares = [float(one["availability_pct"]) for one in rows if one["sort"] == "opd"]
    assert shares == sorted(shares), "the worst first"


def test_the_language_is_that_of_the_settings_or_the_asked_one(conf: Configuration) -> None:
    assert "Laporan ketersediaan: Oktober 2026" in run(conf.path, "-m", "2026-10").stdout
    english = run(conf.path, "-m", "2026-10", "--lang", "en").stdout
    assert "Availability report: October 2026" in english


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--month", "2026-13"], "'2026-13' is no month; write it as 2026-10"),
        (["--month", "2199-01"], "2199-01 has not begun yet"),
        (["--json", "--format", "csv"], "contradict each other"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(
    conf: Configuration, words: list[str], said: str
) -> None:
    done = run(conf.path, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_where_no_hub_has_run_there_is_nothing_to_report(tmp_path: Path) -> None:
    (tmp_path / "toba-hub.yaml").write_text("{inventory: []}")
    done = run(tmp_path / "toba-hub.yaml")
    assert done.exit_code == 1
    assert "no hub has run" in done.stderr
    assert not (tmp_path / "data").exists(), "asking makes nothing"


async def get(
    backend: FakeBackend, path: str, auth: str = "demo", host: str = "127.0.0.1"
) -> httpx.Response:
    app = create_app(backend, auth=auth)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as web:
        return await web.get(f"/api/v1/report{path}")


async def test_the_api_gives_each_form_with_its_type_and_a_name_for_the_file(
    backend: FakeBackend,
) -> None:
    for form, kind in asked.TYPES.items():
        answer = await get(backend, f"?format={form}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert f"toba-hub-2026-10.{form}" in answer.headers["content-disposition"]
    page = await get(backend, "?lang=en")
    assert "Availability report" in page.text
    assert "script-src" not in page.headers["content-security-policy"]


async def test_the_api_refuses_other_months_forms_and_people(backend: FakeBackend) -> None:
    assert (await get(backend, "", "tokens", "hub.example")).status_code == 401
    assert (await get(backend, "?format=docx")).status_code == 422
    backend.months = None
    answer = await get(backend, "?month=10-2026")
    assert answer.status_code == 422
    assert "write it as 2026-10" in answer.text


@pytest.fixture
async def url(backend: FakeBackend) -> AsyncIterator[str]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(create_app(backend, auth="demo"), port=0, started=port.set_result)
    )
    yield f"http://127.0.0.1:{await port}"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("language", ["id", "en"])
async def test_a_browser_shows_the_page_dressed_and_without_complaint(
    url: str, language: str, tmp_path: Path
) -> None:
    async with asyncio.timeout(120), browser(1280, 1000) as page:
        await page.open(f"{url}/api/v1/report?month=2026-10&lang={language}")
        await page.until("return document.querySelectorAll('figure svg').length === 2")
        cells = await page.run("return document.querySelectorAll('figure svg')[1].innerHTML")
        assert len(re.findall("<rect", cells)) == 44 * 31
        wide = await page.run("return document.documentElement.scrollWidth")
        assert wide <= 1280, "nothing sticks out"
        colour = "return getComputedStyle(document.querySelector('td.missed')).color"
        assert await page.run(colour) == "rgb(176, 31, 31)", "the style sheet is let in"
        clipped = """return [...document.querySelectorAll('figure svg text')].filter(one =>
            one.getBBox().x < 0).map(one => one.textContent)"""
        assert await page.run(clipped) == []
        assert await page.log() == []
        folder = Path(SHOTS) if SHOTS else tmp_path
        await page.screenshot(folder / f"report-{language}.png", whole=True)


def test_a_running_hub_reports_what_it_hears_and_a_resting_one_what_it_heard(
    tmp_path: Path,
) -> None:
    camera = {
        "id": "cam-1", "name": "Kamera Onan", "kind": "camera", "site": "balige", "opd": "dlh",
        "collect": {"camera": {"heartbeat_token": "t0ken-of-cam-1-only"}},
    }  # fmt: skip
    off = {name: {"enabled": False} for name in ("mqtt", "snmp", "netprobe")}
    with running(tmp_path, {"collectors": off}, {**INVENTORY, "devices": [camera]}) as hub:
        beat = f"http://127.0.0.1:{hub.port}/api/v1/heartbeat/t0ken-of-cam-1-only"
        wait_for("a heartbeat taken", lambda: _post(beat))

        def up_s() -> float:
            _post(beat)
            said = json.loads(run(hub.path, "--json").stdout)
            rows = {one["id"]: one for one in said["rows"] if one["sort"] == "camera"}
            return float(rows["cam-1"]["up_s"]) if rows else 0.0

        # State is kept every ten seconds or so.
        assert wait_for("the camera's time", up_s, 60) > 0
        over_web = hub.get("/api/v1/report?format=json")
        assert [one["id"] for one in over_web["rows"] if one["up_s"] > 0] == ["dlh", "cam-1"]
    said = json.loads(run(hub.path, "--json").stdout)
    assert [one["down_s"] for one in said["rows"]] == [0, 0]
    assert all(one["up_s"] > 0 for one in said["rows"])


def _post(url: str) -> bool:
    request = urllib.request.Request(
        url, data=b"{}", headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
