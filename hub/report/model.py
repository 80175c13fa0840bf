"""What a report says. Times are UTC nanoseconds, lengths nanoseconds; `plain` is for JSON: seconds,
and times in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hub.report.month import Month
from hub.report.sla import Figures, Stretch

Sort = Literal["opd", "link", "device", "camera"]
SORTS: tuple[Sort, ...] = ("opd", "link", "camera", "device")
"""Offices, their uplinks, cameras, and routers and whatever else is asked whether it is up."""


@dataclass(frozen=True, slots=True)
class Row:
    """One office, link, camera or device."""

    sort: Sort
    id: str
    """Of the OPD or device; a link is `device/port`."""
    name: str
    opd: str
    """Name of the office that it belongs to; empty: none."""
    site: str
    """Name of the place."""
    target: float
    """Percent."""
    figures: Figures
    before: Figures
    """Of the month before."""
    days: tuple[Figures, ...]
    """One each day of the month."""
    gap: Stretch | None = None
    """Of a camera: the longest time that it says it recorded nothing, (0, 0) where there was none;
    None: it says nothing of that."""

    @property
    def met(self) -> bool | None:
        return self.figures.meets(self.target)

    @property
    def change(self) -> int | None:
        """Against the month before, hundredths of a percent; None: one of them is not known."""
        now, then = self.figures.hundredths, self.before.hundredths
        return None if now is None or then is None else now - then

    def plain(self) -> dict[str, Any]:
        return {
            "sort": self.sort,
            "id": self.id,
            "name": self.name,
            "opd": self.opd,
            "site": self.site,
            "target": self.target,
            "met": self.met,
            **plain_figures(self.figures),
            "before": percent(self.before),
            **plain_gap(self.gap),
            "days": [plain_figures(day) for day in self.days],
        }


@dataclass(frozen=True, slots=True)
class Total:
    """All rows of one sort; its availability is by time, each weighs what was known of it."""

    sort: Sort
    number: int
    target: float
    met: int
    missed: int
    """The rest is not known."""
    figures: Figures
    before: Figures

    def plain(self) -> dict[str, Any]:
        return {
            "sort": self.sort,
            "number": self.number,
            "target": self.target,
            "met": self.met,
            "missed": self.missed,
            **plain_figures(self.figures),
            "before": percent(self.before),
        }


@dataclass(frozen=True, slots=True)
class Planned:
    """Planned work that was announced for some of the month."""

    since_ns: int
    until_ns: int
    what: str
    who: str
    why: str

    def plain(self) -> dict[str, Any]:
        return {
            "since_ms": self.since_ns // MS,
            "until_ms": self.until_ns // MS,
            "what": self.what,
            "who": self.who,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """One month of one regency."""

    regency: str
    zone: str
    month: Month
    asked: Stretch
    """From the month's first midnight to its end, or to when the hub listened last."""
    whole: bool
    """False: the month goes on, or the hub has not listened since."""
    made_ns: int
    deaf: tuple[Stretch, ...]
    """When the hub did not listen."""
    midnights: tuple[int, ...]
    rows: tuple[Row, ...]
    """By sort; the worst first, what is not known last."""
    totals: tuple[Total, ...]
    planned: tuple[Planned, ...]
    gone: tuple[str, ...]
    """Devices that were watched in the month and are in the inventory no more: left out."""

    def of(self, sort: Sort) -> list[Row]:
        return [row for row in self.rows if row.sort == sort]

    @property
    def deaf_ns(self) -> int:
        return sum(until - since for since, until in self.deaf)

    def plain(self) -> dict[str, Any]:
        start, stop = self.asked
        return {
            "regency": self.regency,
            "zone": self.zone,
            "month": str(self.month),
            "start_ms": start // MS,
            "stop_ms": stop // MS,
            "whole": self.whole,
            "made_ms": self.made_ns // MS,
            "hub_deaf_s": self.deaf_ns / NS,
            "hub_deaf": [{"since_ms": a // MS, "until_ms": b // MS} for a, b in self.deaf],
            "totals": [one.plain() for one in self.totals],
            "rows": [row.plain() for row in self.rows],
            "planned": [one.plain() for one in self.planned],
            "gone": list(self.gone),
        }


NS = 1_000_000_000
MS = 1_000_000


def percent(figures: Figures) -> float | None:
    """Availability to two decimals, cut."""
    return None if figures.hundredths is None else figures.hundredths / 100


def plain_gap(gap: Stretch | None) -> dict[str, Any]:
    """A camera's longest recording gap; nothing of what does not tell."""
    if gap is None:
        return {}
    since, until = gap
    return {
        "recording_gap_s": (until - since) / NS,
        "recording_gap_since_ms": since // MS if until > since else None,
    }


def plain_figures(one: Figures) -> dict[str, Any]:
    """Seconds, and percent to two decimals."""
    return {
        "availability": percent(one),
        "up_s": one.up_ns / NS,
        "down_s": one.down_ns / NS,
        "unknown_s": one.unknown_ns / NS,
        "maintenance_s": one.maintenance_ns / NS,
        "upstream_s": one.upstream_ns / NS,
        "absent_s": one.absent_ns / NS,
        "outages": one.outages,
        "longest_s": one.longest_ns / NS,
        "longest_since_ms": one.longest_since_ns // MS if one.outages else None,
        "mttr_s": None if one.mttr_ns is None else one.mttr_ns / NS,
        "mtbf_s": None if one.mtbf_ns is None else one.mtbf_ns / NS,
    }
