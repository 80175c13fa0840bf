"""The report of a month that was written by hand first: every number below was added up on paper.

October 2026 in Toba, as tests/report_support.py writes it into the journal:

    hub       away on the 10th from 12:00:00 to 13:30:00; devices are asked again 7 s later
    r-core    down on the 20th from 02:00:07 to 03:15:07, and all behind it a minute later
    r-dlh     down from 30 Sep 23:50:07 to 1 Oct 00:10:07, on the 5th 10:00:07-10:47:07 (under a
              silence), on the 10th from 11:55:07 until the hub is back, on the 18th
              20:10:07-21:10:07 (within planned work 20:00-22:00), on the 31st from 23:58:07 on.
              On the 7th it answers pings alone
    ether1    its uplink: broken on the 22nd 09:00:07-09:20:07, shut on the 23rd 09:00:07-10:00:07
    cam-1     behind r-dlh; nothing is heard on the 12th from 06:00:07 to 07:00:07; planned work on
              the 19th 01:00-05:00, ended at 02:30; alone down on the 25th 14:00:07-16:30:07
              Its recordings stop at 02:59:37 on the 24th; at 05:09:07 it says so last
    r-uluan   in the inventory from the 15th 08:00:00 on, heard from 08:00:07
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from hub.clock import NS
from hub.configuration import Configuration
from hub.report import asked, page, table
from hub.report.model import Report, Row
from hub.report.month import Month
from hub.report.sla import Figures
from hub.report.words import WORDS
from tests.report_support import at, known_month

pytestmark = pytest.mark.timeout(900)
"""A month is 90 000 records through journal and engine: minutes on a machine that is busy."""
MONTH = 31 * 86_400
HUB_AWAY = 5407  # 90 minutes, and the seven seconds until somebody is asked
NOW = at("11-02 08:00:00")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def conf(tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    return await known_month(tmp_path_factory.mktemp("october"))


@pytest.fixture(scope="module")
def report(conf: Configuration) -> Report:
    return asked.of(conf, "2026-10", NOW)


def row(report: Report, sort: str, id: str) -> Row:
    (found,) = [one for one in report.rows if one.sort == sort and one.id == id]
    return found


def figures(
    seconds: dict[str, int], outages: int = 0, longest: int = 0, since: str = ""
) -> Figures:
    assert sum(seconds.values()) == MONTH, "the paper is wrong"
    return Figures(
        **{f"{name}_ns": value * NS for name, value in seconds.items()},
        outages=outages,
        longest_ns=longest * NS,
        longest_since_ns=at(since) if since else 0,
    )


CORE = figures(
    {"up": MONTH - 4500 - HUB_AWAY, "down": 4500, "unknown": HUB_AWAY},
    1, 4500, "10-20 02:00:07",
)  # fmt: skip
DLH_DOWN = 607 + 2820 + 293 + 113
DLH = figures(
    {
        "up": MONTH - DLH_DOWN - 4500 - 7200 - HUB_AWAY,
        "down": DLH_DOWN,
        "upstream": 4500,
        "maintenance": 7200,
        "unknown": HUB_AWAY,
    },
    4, 2820, "10-05 10:00:07",
)  # fmt: skip
LINK_UPSTREAM = DLH_DOWN + 4500
LINK = figures(
    {
        "up": MONTH - 1200 - LINK_UPSTREAM - 7200 - 3600 - HUB_AWAY,
        "down": 1200,
        "upstream": LINK_UPSTREAM,
        "maintenance": 7200 + 3600,
        "unknown": HUB_AWAY,
    },
    1, 1200, "10-22 09:00:07",
)  # fmt: skip
CAMERA_UPSTREAM = DLH_DOWN + 4500 + 3600  # its router's planned work is upstream of it
CAMERA = figures(
    {
        "up": MONTH - 9000 - CAMERA_UPSTREAM - 5400 - 3300 - HUB_AWAY,
        "down": 9000,
        "upstream": CAMERA_UPSTREAM,
        "maintenance": 5400,
        "unknown": 3300 + HUB_AWAY,  # the last reading before the hour speaks for 300 s
    },
    1, 9000, "10-25 14:00:07",
)  # fmt: skip
ABSENT = 14 * 86_400 + 8 * 3600
NEW = figures({"up": MONTH - ABSENT - 7 - 4500, "absent": ABSENT, "unknown": 7, "upstream": 4500})


@pytest.mark.parametrize(
    ("sort", "id", "expected"),
    [
        ("device", "r-core", CORE),
        ("device", "r-dlh", DLH),
        ("device", "r-uluan", NEW),
        ("link", "r-dlh/ether1", LINK),
        ("camera", "cam-1", CAMERA),
        ("opd", "kominfo", CORE),
        ("opd", "dlh", DLH),
        ("opd", "camat-uluan", NEW),
    ],
)
def test_each_agrees_with_the_paper_to_the_second(
    report: Report, sort: str, id: str, expected: Figures
) -> None:
    assert row(report, sort, id).figures == expected


def test_nothing_else_is_reported(report: Report) -> None:
    assert len(report.rows) == 8, "a port that is no uplink has no row"
    assert [one.number for one in report.totals] == [3, 1, 1, 3]
    assert report.deaf == ((at("10-10 12:00:00"), at("10-10 13:30:00")),)
    assert report.whole
    assert report.gone == ()


def test_percentages_mttr_and_mtbf_are_those_of_the_paper(report: Report) -> None:
    dlh = row(report, "device", "r-dlh")
    up = MONTH - DLH_DOWN - 4500 - 7200 - HUB_AWAY
    assert up == 2_657_460
    assert dlh.figures.hundredths == 9985  # 2 657 460 / 2 661 293 = 99.8559 %
    assert dlh.figures.mttr_ns == 3833 * NS // 4
    assert dlh.figures.mtbf_ns == up * NS // 4
    assert row(report, "camera", "cam-1").figures.hundredths == 9966  # 2 643 360 / 2 652 360
    assert row(report, "device", "r-uluan").figures.hundredths == 10_000


def test_a_cameras_longest_recording_gap_is_by_its_own_word_and_others_have_none(
    report: Report,
) -> None:
    gap = at("10-24 02:59:37"), at("10-24 05:09:07")
    assert row(report, "camera", "cam-1").gap == gap
    assert {one.gap for one in report.rows if one.sort != "camera"} == {None}
    rows = list(csv.DictReader(io.StringIO(table.write(report))))
    told = {one["id"]: (one["recording_gap_s"], one["recording_gap_since"]) for one in rows}
    assert told["cam-1"] == ("7770", "2026-10-24T02:59:37+07:00")
    assert told["r-core"] == ("", "")
    said = json.loads(asked.written(report, "json", "id"))
    (camera,) = [one for one in said["rows"] if one["id"] == "cam-1"]
    assert (camera["recording_gap_s"], camera["recording_gap_since_ms"]) == (7770, gap[0] // 10**6)
    assert not [one for one in said["rows"] if one["id"] != "cam-1" and "recording_gap_s" in one]
    without = replace(report, rows=tuple(replace(one, gap=None) for one in report.rows))
    for shown in ("2:09:30", "24 Okt 02:59:37"):
        assert shown in page.write(report, "id")
        assert shown not in page.write(without, "id")


def test_the_month_before_has_only_the_hour_in_which_the_hub_ran(report: Report) -> None:
    before = row(report, "device", "r-dlh").before
    assert (before.up_ns, before.down_ns, before.unknown_ns) == (3000 * NS, 593 * NS, 7 * NS)
    assert before.absent_ns == (30 * 86_400 - 3600) * NS
    assert row(report, "device", "r-dlh").change == 9985 - 8349  # 3000 / 3593 = 83.4957 %
    assert row(report, "device", "r-uluan").change is None


def test_the_worst_offices_stand_first(report: Report) -> None:
    # 99.8316 %, 99.8560 %, 100 %
    assert [one.id for one in report.of("opd")] == ["kominfo", "dlh", "camat-uluan"]


def test_targets_are_met_or_missed_by_the_exact_share(conf: Configuration) -> None:
    conf = replace(conf, settings=conf.settings.model_copy(deep=True))
    conf.settings.report.targets.opd = 99.85
    found = asked.of(conf, "2026-10", NOW)
    met = {one.id: one.met for one in found.of("opd")}
    assert met == {"kominfo": False, "dlh": True, "camat-uluan": True}
    (total,) = [one for one in found.totals if one.sort == "opd"]
    assert (total.met, total.missed) == (2, 1)


def test_the_days_add_up_to_the_month_and_an_outage_is_on_its_day(report: Report) -> None:
    for one in report.rows:
        assert len(one.days) == 31
        assert sum(day.down_ns for day in one.days) == one.figures.down_ns
        assert sum(day.up_ns for day in one.days) == one.figures.up_ns
    dlh = row(report, "opd", "dlh").days
    with_outage = {n: day.down_ns // NS for n, day in enumerate(dlh, 1) if day.outages}
    assert with_outage == {1: 607, 5: 2820, 10: 293, 31: 113}
    assert dlh[0].longest_since_ns == at("10-01 00:00:00"), "cut at the month's border"


def test_only_planned_work_on_the_whole_thing_is_taken_out(report: Report) -> None:
    """The one that names a severity mutes alerts of r-core; its numbers stay."""
    assert [(one.who, one.what) for one in report.planned] == [
        ("ani", "device=r-dlh"),
        ("budi", "device=cam-*"),
        ("budi", "device=r-core severity=info"),
    ]
    assert report.planned[1].until_ns == at("10-19 02:30:00")


def test_a_month_that_goes_on_ends_when_the_hub_listened_last(conf: Configuration) -> None:
    so_far = asked.of(conf, "2026-11", at("11-01 01:00:03"))
    assert so_far.asked == (at("11-01 00:00:00"), at("11-01 01:00:00"))
    assert not so_far.whole
    dlh = row(so_far, "device", "r-dlh")
    assert (dlh.figures.down_ns, dlh.figures.outages) == (307 * NS, 1)
    assert dlh.before == DLH
    much_later = asked.of(conf, "2026-11", NOW)
    assert row(much_later, "device", "r-dlh").figures.unknown_ns > 30 * 3600 * NS


def test_without_a_month_it_is_the_last_one_that_the_hub_knows(conf: Configuration) -> None:
    assert asked.of(conf, "", NOW).month == Month(2026, 10)
    with pytest.raises(ValueError, match="has not begun"):
        asked.of(conf, "2026-12", NOW)


def test_csv_has_a_row_an_object_and_the_columns_that_are_promised(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(table.write(report))))
    assert tuple(rows[0]) == table.COLUMNS
    assert len(rows) == len(report.rows)
    (dlh,) = [one for one in rows if (one["sort"], one["id"]) == ("device", "r-dlh")]
    assert dlh["availability_pct"] == "99.85"
    assert (dlh["down_s"], dlh["upstream_s"], dlh["maintenance_s"]) == ("3833", "4500", "7200")
    assert dlh["longest_since"] == "2026-10-05T10:00:07+07:00"
    assert dlh["met"] == "1"


def test_a_name_is_no_formula_in_a_spreadsheet(report: Report) -> None:
    assert table._text('=HYPERLINK("http://x")') == '\'=HYPERLINK("http://x")'
    assert table._text("Router DLH") == "Router DLH"


def test_json_holds_the_same_in_seconds(report: Report) -> None:
    said = json.loads(asked.written(report, "json", "id"))
    (dlh,) = [one for one in said["rows"] if (one["sort"], one["id"]) == ("device", "r-dlh")]
    assert (dlh["down_s"], dlh["availability"], dlh["before"]) == (3833, 99.85, 83.49)
    assert said["hub_deaf_s"] == 5400


@pytest.mark.parametrize("language", ["id", "en"])
def test_the_page_is_well_formed_has_no_scripts_and_no_other_language(
    report: Report, language: str
) -> None:
    text = page.write(report, language)  # type: ignore[arg-type]
    assert "<script" not in text
    assert "style=" not in text, "the style sheet alone may dress it: see CSP"
    body = text.split("\n", 1)[1].replace('<meta charset="utf-8">', "")
    body = re.sub(r'<meta name="viewport"[^>]*>', "", body)
    tree = ElementTree.fromstring(body)
    plain = " ".join(tree.itertext())
    other = "en" if language == "id" else "id"
    for key, said in WORDS.items():
        if said["id"] != said["en"] and "{" not in said[other] and len(said[other]) > 12:
            assert said[other] not in plain, f"{key} in the wrong language"
    for name in ("Router DLH", "Kamera Onan Balige", "Kantor Camat Uluan", "ganti UPS"):
        assert name in plain
    assert ("99,85 %" if language == "id" else "99.85%") in plain
    assert ("5 Okt 10:00:07" if language == "id" else "5 Oct 10:00:07") in plain


def test_both_languages_say_everything() -> None:
    for key, said in WORDS.items():
        assert set(said) == {"id", "en"}, key
        assert all(said.values()), key
        assert re.findall(r"{\w+}", said["id"]) == re.findall(r"{\w+}", said["en"]), key


@pytest.mark.parametrize("language", ["id", "en"])
def test_a_pdf_reader_finds_the_numbers(report: Report, language: str, tmp_path: Path) -> None:
    file = tmp_path / "report.pdf"
    file.write_bytes(asked.written(report, "pdf", language))  # type: ignore[arg-type]
    reader = shutil.which("pdftotext")
    assert reader, "pdftotext is missing: apt-get install poppler-utils"
    done = subprocess.run([reader, "-layout", file, "-"], capture_output=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr == b"", "the reader complains of the file"
    text = done.stdout.decode()
    for wanted in ("Router DLH", "0:47:00", "1:30:00", "2:09:30", "ganti UPS"):
        assert wanted in text
    assert ("99,85 %" if language == "id" else "99.85%") in text
