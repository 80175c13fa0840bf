"""The report as CSV: one row an object, columns that stay as they are."""

from __future__ import annotations

import csv
import io
from zoneinfo import ZoneInfo

from hub.clock import NS, to_datetime
from hub.report.model import Report, Row, percent

COLUMNS = (
    "month",
    "sort",
    "id",
    "name",
    "opd",
    "site",
    "availability_pct",
    "target_pct",
    "met",
    "previous_pct",
    "up_s",
    "down_s",
    "unknown_s",
    "maintenance_s",
    "upstream_s",
    "absent_s",
    "outages",
    "longest_s",
    "longest_since",
    "mttr_s",
    "mtbf_s",
    "recording_gap_s",
    "recording_gap_since",
)
"""What is not known is empty; seconds are whole; `…_since` is ISO 8601 with its offset."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(report: Report) -> str:
    """All rows, offices first, the worst of each sort first."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")  # RFC 4180
    table.writerow(COLUMNS)
    table.writerows(_cells(report, row) for row in report.rows)
    return text.getvalue()


def _cells(report: Report, row: Row) -> list[object]:
    f = row.figures
    since = _time(f.longest_since_ns, report) if f.outages else ""
    began, ended = row.gap or (0, 0)
    shares = [_two(percent(f)), f"{row.target:g}", "" if row.met is None else int(row.met)]
    parts = (f.up_ns, f.down_ns, f.unknown_ns, f.maintenance_ns, f.upstream_ns, f.absent_ns)
    return [
        str(report.month),
        row.sort,
        *(_text(one) for one in (row.id, row.name, row.opd, row.site)),
        *shares,
        _two(percent(row.before)),
        *(round(part / NS) for part in parts),
        f.outages,
        round(f.longest_ns / NS),
        since,
        _seconds(f.mttr_ns),
        _seconds(f.mtbf_ns),
        _seconds(None if row.gap is None else ended - began),
        _time(began, report) if ended > began else "",
    ]


def _time(time_ns: int, report: Report) -> str:
    return to_datetime(time_ns, ZoneInfo(report.zone)).isoformat(timespec="seconds")


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _seconds(length_ns: int | None) -> object:
    return "" if length_ns is None else round(length_ns / NS)


def _text(text: str) -> str:
    """What a device calls itself must not become a spreadsheet's formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
