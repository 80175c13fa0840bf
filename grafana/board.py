"""What the dashboards have in common: frame, variables, annotations and the alert panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from grafana.influxql import (
    ALERT_IDENTITY,
    ZONE,
    AnnotationQuery,
    Given,
    ask,
    datasource,
    select,
)
from grafana.names import MAINTENANCE_TAG
from grafana.panels import (
    ALERT_STATE,
    AVAILABLE,
    NONE_IS_GOOD,
    SEVERITY,
    column,
    stats,
    timeline,
)
from grafana.panels import table as rows
from grafana.sdk import bargauge, common, dashboard, mc, md, stat, statetimeline, table, timeseries

Panel = stat.Panel | timeseries.Panel | statetimeline.Panel | table.Panel | bargauge.Panel
Size = tuple[int, int]
"""Width of 24 columns, height."""
Placed = tuple[Panel, Size]

ALL = ".*"
"""The value of "All": also matches devices that lack the tag, and keeps queries short."""

OPEN_ALERTS = "30d"
"""How far back the active alerts are looked for, whatever range the dashboard shows."""


class Section(NamedTuple):
    """A titled row and its panels."""

    title: str
    panels: Sequence[Placed]


def beside(size: Size, *panels: Panel) -> list[Placed]:
    """Panels of one size, from left to right."""
    return [(panel, size) for panel in panels]


def assemble(
    uid: str,
    title: str,
    why: str,
    *,
    tag: str,
    variables: Sequence[dashboard.QueryVariable],
    sections: Sequence[Section],
    alerts_where: str = "",
    since: str = "now-6h",
    refresh: str = "30s",
) -> md.Dashboard:
    """A dashboard: sections one under the other, panels from left to right, numbered in order."""
    board = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(why)
        .tags(["toba", tag])
        .timezone(ZONE)
        .time(since, "now")
        .refresh(refresh)
        .readonly()
        .tooltip(md.DashboardCursorSync.CROSSHAIR)
        .week_start("monday")
        .annotation(_alert_marks(alerts_where))
        .annotation(_maintenance_marks())
        .link(
            dashboard.DashboardLink("Dasbor Toba")
            .type(md.DashboardLinkType.DASHBOARDS)
            .tags(["toba"])
            .keep_time(True)
            .placement(None)  # type: ignore[arg-type]  # SDK default hides links in a menu
        )
    )
    for variable in variables:
        board = board.with_variable(variable)
    return _laid_out(board, sections).build()


def _laid_out(board: dashboard.Dashboard, sections: Sequence[Section]) -> dashboard.Dashboard:
    number, top = 0, 0
    for section in sections:
        number += 1
        board = board.with_row(
            dashboard.Row(section.title).id(number).grid_pos(md.GridPos(h=1, w=24, x=0, y=top))
        )
        top += 1
        left, tallest = 0, 0
        for panel, (width, height) in section.panels:
            if left + width > 24:
                left, top, tallest = 0, top + tallest, 0
            number += 1
            place = md.GridPos(h=height, w=width, x=left, y=top)
            board = board.with_panel(panel.id(number).grid_pos(place))
            left, tallest = left + width, max(tallest, height)
        top += tallest
    return board


def variable(
    name: str,
    label: str,
    why: str,
    query: str,
    *,
    multi: bool = True,
    default: str = "",
) -> dashboard.QueryVariable:
    """A choice filled by the store; `multi` adds "All", which is then the default."""
    chosen = (
        md.VariableOption(selected=True, text=["Semua"], value=["$__all"])
        if multi
        else md.VariableOption(selected=True, text=default, value=default)
    )
    made = (
        dashboard.QueryVariable(name)
        .label(label)
        .description(why)
        .datasource(datasource())
        .query(query)
        .definition(query)
        .refresh(md.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(md.VariableSort.ALPHABETICAL_ASC)
        .multi(multi)
        .include_all(multi)
        .current(chosen)
    )
    return made.all_value(ALL) if multi else made


def values(key: str, measurement: str, where: str = "") -> str:
    """All values of a tag."""
    text = f'SHOW TAG VALUES FROM "{measurement}" WITH KEY = "{key}"'
    return f"{text} WHERE {where}" if where else text


def _newest(*fields: str, among: str = "") -> str:
    """A subquery: how each alert stands, with the `kind` that its device has by now.

    Labels are looked up when data leaves. The last word on the alert of a device that left the
    inventory has none, so a condition on `kind` in here would leave the word before it standing.
    """
    names = ", ".join(f'"{name}" AS "{name}"' for name in (*fields, "kind"))
    what = f'last("active") AS "active", {names}'
    return f"({select(what, 'alert', among, by=ALERT_IDENTITY, ranged=False)})"


def active_alerts(where: str = "", among: str = "") -> stat.Panel:
    """How many alerts are active, of any severity.

    Of all alert panels: `where` is about `kind` and `device`, `among` about other labels.
    """
    return stats(
        "Alarm aktif",
        "Number of alerts that are active now (firing or acknowledged), of all severities.",
        [ask(select('sum("active") AS "Aktif"', _newest(among=among), where))],
        steps=NONE_IS_GOOD,
        since=OPEN_ALERTS,
    ).no_value("0")


def critical_alerts() -> stat.Panel:
    """How many active alerts are critical."""
    return stats(
        "Alarm kritis",
        "Number of active alerts of severity critical.",
        [ask(select('sum("active") AS "Kritis"', _newest("severity"), '"severity" = 2'))],
        steps=NONE_IS_GOOD,
        since=OPEN_ALERTS,
    ).no_value("0")


def availability(
    why: str, measurement: str, where: str = "", *, title: str = "Ketersediaan", decimals: int = 2
) -> stat.Panel:
    """Percent of a measurement's `up` in the chosen range."""
    return stats(
        title,
        why,
        [ask(select('mean("up") * 100', measurement, where))],
        unit="percent",
        steps=AVAILABLE,
        decimals=decimals,
    )


def alarms(where: str = "", among: str = "", *, past: str = "", height: int = 8) -> Section:
    """The active alerts, and below how those of the chosen range went; `past` is about these
    where it isn't `where`."""
    return Section(
        "Alarm",
        [
            *beside((24, height), _alert_table(where, among)),
            *beside((24, height - 1), _alert_timeline(past or where)),
        ],
    )


def _alert_table(where: str = "", among: str = "") -> table.Panel:
    """The active alerts, one row each."""
    fields = ("severity", "state", "since_ms", "value", "text", "site")
    what = ", ".join(f'"{name}"' for name in ("active", *fields))
    panel = rows(
        "Daftar alarm aktif",
        "Every active alert: last state of each alert in the past 30 days, kept where active = 1."
        " Click a device to open its network dashboard.",
        ask(select(what, _newest(*fields, among=among), where, by=ALERT_IDENTITY), table=True),
        columns=[
            ("since_ms", "Sejak"),
            ("severity", "Tingkat"),
            ("state", "Keadaan"),
            ("device", "Perangkat"),
            ("text", "Keterangan"),
            ("value", "Nilai"),
            ("site", "Lokasi"),
            ("rule", "Aturan"),
            ("ifname", "Antarmuka"),
            ("sensor", "Sensor"),
            ("probe", "Penguji"),
        ],
        hidden=["Time", "active", "part"],
        only=("active", 1),
        since=OPEN_ALERTS,
    )
    panel = panel.sort_by([common.TableSortByFieldState().display_name("Tingkat").desc(True)])
    panel = column(panel, "Tingkat", names=SEVERITY)
    panel = column(panel, "Keadaan", names=ALERT_STATE)
    panel = column(panel, "Nilai", unit="short")
    panel = column(panel, "Sejak", unit="dateTimeFromNow")
    return column(
        panel,
        "Perangkat",
        link=("Jaringan perangkat ini", "/d/toba-opd-network?var-device=${__value.raw}"),
    ).no_value("Tidak ada alarm aktif")


def _alert_timeline(where: str = "") -> statetimeline.Panel:
    """Each alert's state over time; an open alert is stored again every minute."""
    text = select(
        'last("state")', "alert", where, by=ALERT_IDENTITY, bucket="$__interval", end="fill(none)"
    )
    return timeline(
        "Riwayat alarm",
        "State of each alert over time: pending, firing, acknowledged, resolved.",
        [ask(text, "$tag_device · $tag_rule $tag_ifname$tag_sensor")],
        ALERT_STATE,
    )


def _alert_marks(where: str) -> dashboard.AnnotationQuery:
    """A mark where an alert fires or is resolved, none where an open alert is repeated."""
    changes = '"changed" = 1 AND ("state" = \'firing\' OR "state" = \'resolved\')'
    where = f"{changes} AND {where}" if where else changes
    query = AnnotationQuery(
        select('"text", "state", "device", "rule"', "alert", where),
        {"textColumn": "text", "tagsColumn": "state,device,rule", "titleColumn": "rule"},
    )
    return (
        dashboard.AnnotationQuery()
        .name("Alarm")
        .datasource(datasource())
        .enable(True)
        .icon_color("red")
        .target(Given(query))
        .placement(None)  # type: ignore[arg-type]  # SDK default hides the switch in a menu
    )


def _maintenance_marks() -> dashboard.AnnotationQuery:
    """Maintenance windows, which `push.annotate` writes into Grafana's own annotations."""
    return (
        dashboard.AnnotationQuery()
        .name("Pemeliharaan")
        .datasource(mc.DataSourceRef(type_val="grafana", uid="-- Grafana --"))
        .enable(True)
        .icon_color("blue")
        .target(
            Given(_NativeMarks([MAINTENANCE_TAG])),
        )
        .placement(None)  # type: ignore[arg-type]
    )


class _NativeMarks(AnnotationQuery):
    def __init__(self, wanted: list[str]) -> None:
        super().__init__("", {})
        self.wanted = wanted

    def to_json(self) -> dict[str, object]:
        return {
            "refId": "Anno",
            "type": "tags",
            "tags": self.wanted,
            "matchAny": True,
            "limit": 100,
        }
