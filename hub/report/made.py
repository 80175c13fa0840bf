"""Makes a month's report of what the ledger kept, by today's inventory.

What a thing depends on is the inventory's `depends_on`, and for a link its own router, too: while
that is down nobody can tell how its port is. Things that fail together are noticed one after the
other, in any order: what happens within `NOTICED` of an upstream outage is still caused by it, as
the rules see it. An office is reached by its routers; without any, by
each of its devices, as on the board.

Planned work is on what its matcher names by device, kind, site, opd, collector, or by the port of
a link. One that names rules, severities or alerts only mutes these and takes no time out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from hub import presence, timesheet
from hub.clock import NS
from hub.inventory import Device, Inventory
from hub.ledger import Ledger
from hub.presence import Span, Work
from hub.reading import Series
from hub.report import sla
from hub.report.model import SORTS, Planned, Report, Row, Sort, Total
from hub.report.month import Month
from hub.report.sla import Evidence, Figures, Piece, Stretch
from rules.matching import Matcher
from rules.topology import Topology

OF_PLACES = frozenset(("device", "kind", "site", "opd", "collector"))
JUST_NOW = 300 * NS
NOTICED = 120 * NS
OF_LINKS = OF_PLACES | {"ifname", "port"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is asked of."""

    regency: str
    zone: ZoneInfo
    targets: Mapping[str, float]
    """Percent, by sort."""
    inventory: Inventory


def default_month(ledger: Ledger, zone: ZoneInfo, now_ns: int) -> Month:
    """Last month; this one where the hub did not listen before."""
    this = Month.of(now_ns, zone)
    first_ns, _ = timesheet.heard_ns(ledger.db)
    return this.before() if 0 < first_ns < this.span(zone)[0] else this


def make(asked: Asked, ledger: Ledger, month: Month, now_ns: int) -> Report:
    """The report of one month. Raises sqlite3.Error."""
    start, stop = month.span(asked.zone)
    _, heard_ns = timesheet.heard_ns(ledger.db)
    # Of a hub that runs, what is kept ends some seconds ago: no time of which nothing is known.
    latest = heard_ns if 0 <= now_ns - heard_ns < JUST_NOW else now_ns
    end = min(stop, max(start, latest))
    span = start, end
    earlier = month.before().span(asked.zone)
    midnights = tuple(month.midnights(asked.zone))
    now = _Counted(asked, ledger, span)
    then = _Counted(asked, ledger, earlier)
    rows = []
    for sort, id, pieces in now.all():
        about = now.about(sort, id)
        days = (
            sla.figures(sla.cut(pieces, (day, min(following, end))))
            for day, following in zip(midnights, (*midnights[1:], stop), strict=True)
        )
        before = sla.figures(then.pieces.get((sort, id), []))
        rows.append(replace(about, figures=sla.figures(pieces), before=before, days=tuple(days)))
    rows = [row for row in rows if row.figures.absent_ns < end - start or end == start]
    rows.sort(key=_worst_first)
    return Report(
        regency=asked.regency,
        zone=str(asked.zone),
        month=month,
        asked=span,
        whole=end == stop,
        made_ns=now_ns,
        deaf=tuple(_without(span, now.heard)),
        midnights=midnights,
        rows=tuple(rows),
        totals=tuple(_total(sort, rows, asked.targets) for sort in SORTS),
        planned=tuple(Planned(w.since_ns, w.until_ns, _words(w), w.who, w.why) for w in now.works),
        gone=tuple(now.gone()),
    )


def _worst_first(row: Row) -> tuple[int, bool, float, int, str]:
    share = row.figures.availability
    known = share is not None
    return SORTS.index(row.sort), not known, share or 0.0, -row.figures.outages, row.id


def _total(sort: Sort, rows: Sequence[Row], targets: Mapping[str, float]) -> Total:
    mine = [row for row in rows if row.sort == sort]
    return Total(
        sort=sort,
        number=len(mine),
        target=targets[sort],
        met=sum(row.met is True for row in mine),
        missed=sum(row.met is False for row in mine),
        figures=sla.total(row.figures for row in mine),
        before=sla.total(row.before for row in mine),
    )


class _Counted:
    """Everything of the inventory over one span of time."""

    def __init__(self, asked: Asked, ledger: Ledger, span: Stretch) -> None:
        self._asked, self._span = asked, span
        self.works = timesheet.works(ledger.db, *span)
        self._spans: dict[str, list[Span]] = {}
        self._series: dict[str, list[str]] = {}
        for one in timesheet.spans(ledger.db, *span):
            if one.series not in self._spans and one.series != presence.HUB:
                self._series.setdefault(Series.parse(one.series).device, []).append(one.series)
            self._spans.setdefault(one.series, []).append(one)
        self.heard = [(s.since_ns, s.until_ns) for s in self._spans.get(presence.HUB, [])]
        devices = asked.inventory.devices
        self._topology = Topology({d.id: d.depends_on for d in devices.values()})
        self._down = {
            id: sla.down_stretches(self._evidence(device, self._probes(id)), span)
            for id, device in devices.items()
        }
        self.pieces: dict[tuple[Sort, str], list[Piece]] = {}
        for device in devices.values():
            self._count(device)
        for opd in asked.inventory.opds:
            self._count_office(opd)

    def all(self) -> list[tuple[Sort, str, list[Piece]]]:
        return [(sort, id, pieces) for (sort, id), pieces in self.pieces.items()]

    def gone(self) -> list[str]:
        """Devices of which something was heard and that the inventory lacks."""
        known = self._asked.inventory.devices
        return sorted(
            id
            for id, series in self._series.items()
            if id not in known and presence.watched(id) in series
        )

    def about(self, sort: Sort, id: str) -> Row:
        """A row without its figures."""
        inventory, nothing = self._asked.inventory, Figures()
        device = inventory.devices.get(id.partition("/")[0]) if sort != "opd" else None
        opd = inventory.opds.get(device.opd if device else id if sort == "opd" else "")
        site_id = device.site if device else opd.site if opd else ""
        site = inventory.sites.get(site_id)
        name = device.title if device else opd.name if opd else id
        if sort == "link":
            name = f"{name} {id.partition('/')[2]}"
        return Row(
            sort=sort,
            id=id,
            name=name,
            opd=opd.name if opd else "",
            site=site.name if site else site_id,
            target=self._asked.targets[sort],
            figures=nothing,
            before=nothing,
            days=(),
            gap=self._gap(id) if sort == "camera" else None,
        )

    # -- inside ---------------------------------------------------------------------

    def _probes(self, device: str) -> list[str]:
        """The series that say whether it is up. A camera that answers pings and shows nothing is
        down: pings count only where nobody asks it more."""
        known = self._series.get(device, [])
        shows = [key for key in known if key.startswith("camera,")]
        return shows or [key for key in known if key.startswith("device,")]

    def _gap(self, camera: str) -> Stretch | None:
        """Its longest recording gap, by its own word and whatever the reason."""
        said = self._spans.get(presence.recording(camera))
        if said is None:
            return None
        gaps = [(one.since_ns, one.until_ns) for one in said if one.state == presence.DOWN]
        watched = self._spans.get(presence.watched(camera), [])
        return sla.longest(gaps, [(one.since_ns, one.until_ns) for one in watched], self._span)

    def _ports(self, device: Device) -> list[str]:
        """The names of its uplinks: those that were heard, and those that were to be."""
        heard = [
            Series.parse(key).tag("ifname")
            for key in self._series.get(device.id, [])
            if key.startswith("interface,")
        ]
        marked = [section.get("uplinks") for section in device.collect.values()]
        named = [str(port) for ports in marked if isinstance(ports, list) for port in ports]
        return sorted({*heard, *named})

    def _count(self, device: Device) -> None:
        upstream = self._blocked(self._topology.ancestors(device.id))
        probes = self._probes(device.id)
        sort: Sort = "camera" if device.kind == "camera" else "device"
        if probes or device.kind in ("camera", "router"):
            evidence = replace(self._evidence(device, probes), upstream=upstream)
            self.pieces[sort, device.id] = sla.fates(evidence, self._span)
        for port in self._ports(device):
            key = Series.of("interface", device.id, ifname=port).key
            mine = self._down[device.id]
            evidence = self._evidence(device, [key], port)
            # What was read of the port before says nothing while its router is down.
            told = [stretch for one in evidence.up for stretch in _without(one, mine)]
            through = [*upstream, *_widened(mine)]
            evidence = replace(evidence, up=told, upstream=through)
            self.pieces["link", f"{device.id}/{port}"] = sla.fates(evidence, self._span)

    def _count_office(self, opd: str) -> None:
        mine = [d for d in self._asked.inventory.devices.values() if d.opd == opd]
        ways = [d for d in mine if d.kind == "router"] or mine
        found = [
            self.pieces[sort, device.id]
            for device in ways
            for sort in ("device", "camera")
            if (sort, device.id) in self.pieces
        ]
        if found:
            self.pieces["opd", opd] = sla.together(found, self._span)

    def _evidence(self, device: Device, series: Sequence[str], port: str = "") -> Evidence:
        said = [one for key in series for one in self._spans.get(key, [])]
        watched = self._spans.get(presence.watched(device.id), [])
        return Evidence(
            watched=[(one.since_ns, one.until_ns) for one in watched],
            heard=self.heard,
            maintenance=[
                (work.since_ns, work.until_ns) for work in self.works if _is_on(work, device, port)
            ],
            up=[(s.since_ns, s.until_ns) for s in said if s.state == presence.UP],
            down=[(s.since_ns, s.until_ns) for s in said if s.state == presence.DOWN],
            shut=[(s.since_ns, s.until_ns) for s in said if s.state == presence.SHUT],
        )

    def _blocked(self, ancestors: Sequence[str]) -> list[Stretch]:
        return [one for id in ancestors for one in _widened(self._down.get(id, []))]


def _is_on(work: Work, device: Device, port: str) -> bool:
    """Is that planned work on this device, or on this port of it?"""
    matcher = Matcher({key: list(patterns) for key, patterns in work.matcher.items()})
    if not set(work.matcher) <= (OF_LINKS if port else OF_PLACES):
        return False
    attributes: dict[str, str | tuple[str, ...]] = {
        "device": device.id,
        "kind": device.kind,
        "site": device.site,
        "opd": device.opd,
        "collector": tuple(device.collect),
        "ifname": port,
        "port": "uplink",
    }
    return matcher.matches(attributes)


def _widened(stretches: Sequence[Stretch]) -> list[Stretch]:
    return [(since - NOTICED, until + NOTICED) for since, until in stretches]


def _words(work: Work) -> str:
    return " ".join(f"{key}={'|'.join(patterns)}" for key, patterns in work.matcher.items())


def _without(span: Stretch, others: Sequence[Stretch]) -> list[Stretch]:
    """What of the span lies in none of these."""
    found, here = [], span[0]
    for since, until in sorted(others):
        if since > here and here < span[1]:
            found.append((here, min(since, span[1])))
        here = max(here, until)
    return [*found, (here, span[1])] if here < span[1] else found
