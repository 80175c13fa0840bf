"""Short constructors for the panels our dashboards are made of, with the looks they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from grafana.influxql import Given, datasource
from grafana.sdk import bargauge, common, dashboard, mc, md, stat, statetimeline
from grafana.sdk import table as tables
from grafana.sdk import timeseries as series

GREEN, BLUE, YELLOW, ORANGE, RED, DARK, GREY = (
    "green",
    "blue",
    "yellow",
    "orange",
    "red",
    "#3a3a3a",
    "#8e8e8e",
)

Steps = Sequence[tuple[float | None, str]]
"""Colours from a value upwards; the first has None: everything below."""
Words = dict[str, tuple[str, str]]
"""What a stored value is called, and its colour."""

P = TypeVar("P", stat.Panel, series.Panel, statetimeline.Panel, tables.Panel, bargauge.Panel)

GAP_MS = 300_000
"""A line breaks where nothing came for five minutes: five polls of the slowest usual tier."""

UP: Words = {"0": ("Mati", RED), "1": ("Hidup", GREEN)}
CAMERA_STATE: Words = {
    "0": ("Luring", RED),
    "1": ("Terganggu", ORANGE),
    "2": ("Daring", GREEN),
    "3": ("Pemeliharaan", BLUE),
}
ALERT_STATE: Words = {
    "ok": ("Normal", GREEN),
    "pending": ("Menunggu", YELLOW),
    "firing": ("Aktif", RED),
    "acknowledged": ("Ditangani", BLUE),
    "resolved": ("Selesai", GREEN),
}
SEVERITY: Words = {"0": ("Info", BLUE), "1": ("Peringatan", ORANGE), "2": ("Kritis", RED)}

# Percent used, and the other way round: percent available.
LOAD: Steps = [(None, GREEN), (80, YELLOW), (95, RED)]
HEAT: Steps = [(None, GREEN), (65, YELLOW), (70, RED)]
AVAILABLE: Steps = [(None, RED), (95, YELLOW), (99, GREEN)]
NONE_IS_GOOD: Steps = [(None, GREEN), (1, RED)]
PLAIN: Steps = [(None, BLUE)]


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(md.ThresholdsMode.ABSOLUTE)
        .steps([md.Threshold(value=value, color=color) for value, color in steps])
    )


def words(names: Words) -> list[md.ValueMapping]:
    results = {
        value: md.ValueMappingResult(text=text, color=color, index=place)
        for place, (value, (text, color)) in enumerate(names.items())
    }
    return [md.ValueMap(options=results)]


def stats(
    title: str,
    why: str,
    queries: Sequence[Given],
    *,
    unit: str = "none",
    steps: Steps = PLAIN,
    since: str = "",
    calc: str = "lastNotNull",
    names: Words | None = None,
    decimals: int | None = None,
) -> stat.Panel:
    """Big numbers. `since` fixes how far back the panel looks, whatever range is chosen."""
    panel = (
        _dress(stat.Panel(), title, why, queries, unit, steps, names, decimals)
        .reduce_options(common.ReduceDataOptions().calcs([calc]).values(False))
        .color_mode(mc.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(mc.BigValueGraphMode.NONE)
        .text_mode(mc.BigValueTextMode.AUTO)
        .no_value("–")
    )
    return panel.time_from(since) if since else panel


def lines(
    title: str,
    why: str,
    queries: Sequence[Given],
    *,
    unit: str,
    steps: Steps = PLAIN,
    low: float | None = 0,
    bars: bool = False,
    interval: str = "1m",
    gap_ms: int = GAP_MS,
    negative: str = "",
    decimals: int | None = None,
) -> series.Panel:
    """Values over time. Steps beyond the first become lines across the panel.

    `interval` is the narrowest bucket (the poll period). Series that match the expression
    `negative` are drawn downwards.
    """
    panel = (
        _dress(series.Panel(), title, why, queries, unit, steps, None, decimals)
        .interval(interval)
        .legend(_legend(mc.LegendDisplayMode.TABLE).calcs(["min", "mean", "max", "lastNotNull"]))
        .tooltip(
            common.VizTooltipOptions()
            .mode(mc.TooltipDisplayMode.MULTI)
            .sort(mc.SortOrder.DESCENDING)
        )
        .color_scheme(dashboard.FieldColor().mode(md.FieldColorModeId.PALETTE_CLASSIC))
        .line_width(1.5)
    )
    if bars:
        panel = panel.draw_style(mc.GraphDrawStyle.BARS).fill_opacity(80)
    else:
        panel = panel.fill_opacity(8).show_points(mc.VisibilityMode.AUTO).span_nulls(gap_ms)
    if low is not None:
        panel = panel.axis_soft_min(low)
    if len(steps) > 1:
        panel = panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(mc.GraphThresholdsStyleMode.DASHED)
        )
    if negative:
        panel = panel.override_by_regexp(
            negative, [md.DynamicConfigValue(id_val="custom.transform", value="negative-Y")]
        )
    return panel


def timeline(
    title: str, why: str, queries: Sequence[Given], names: Words, *, interval: str = "1m"
) -> statetimeline.Panel:
    """One bar for each series, coloured by its state over time."""
    return (
        _dress(statetimeline.Panel(), title, why, queries, "none", [(None, GREY)], names, None)
        .interval(interval)
        .merge_values(True)
        .span_nulls(GAP_MS)
        .show_value(mc.VisibilityMode.NEVER)
        .row_height(0.85)
        .per_page(25)
        .fill_opacity(85)
        .line_width(0)
        .legend(_legend(mc.LegendDisplayMode.LIST))
    )


def bars(
    title: str,
    why: str,
    queries: Sequence[Given],
    *,
    unit: str,
    steps: Steps,
    low: float = 0,
    high: float | None = None,
    since: str = "",
    decimals: int | None = None,
) -> bargauge.Panel:
    """One horizontal bar for each series, its last value in the colour of its step."""
    panel = (
        _dress(bargauge.Panel(), title, why, queries, unit, steps, None, decimals)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .orientation(mc.VizOrientation.HORIZONTAL)
        .display_mode(mc.BarGaugeDisplayMode.BASIC)
        .min(low)
    )
    if high is not None:
        panel = panel.max(high)
    return panel.time_from(since) if since else panel


def table(
    title: str,
    why: str,
    query: Given,
    *,
    columns: Sequence[tuple[str, str]],
    hidden: Sequence[str] = ("Time",),
    only: tuple[str, int] | None = None,
    since: str = "",
) -> tables.Panel:
    """Rows. `columns` are (name in the answer, heading) in order; `only` keeps rows where that
    column has that value."""
    panel = _dress(tables.Panel(), title, why, [query], "none", PLAIN, None, None)
    if only:
        name, value = only
        matcher = {"id": "equal", "options": {"value": value}}
        panel = panel.with_transformation(
            md.DataTransformerConfig(
                id_val="filterByValue",
                options={
                    "type": "include",
                    "match": "all",
                    "filters": [{"fieldName": name, "config": matcher}],
                },
            )
        )
    panel = panel.with_transformation(
        md.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dict.fromkeys(hidden, True),
                "indexByName": {name: place for place, (name, _) in enumerate(columns)},
                "renameByName": dict(columns),
            },
        )
    )
    return panel.time_from(since) if since else panel


def column(
    panel: tables.Panel,
    heading: str,
    *,
    unit: str = "",
    names: Words | None = None,
    link: tuple[str, str] | None = None,
) -> tables.Panel:
    """How one column of a table looks: its unit, its words in colour, where a click leads."""
    looks: list[md.DynamicConfigValue] = []
    if unit:
        looks.append(md.DynamicConfigValue(id_val="unit", value=unit))
    if names:
        mappings = [mapping.to_json() for mapping in words(names)]
        looks.append(md.DynamicConfigValue(id_val="mappings", value=mappings))
        looks.append(
            md.DynamicConfigValue(
                id_val="custom.cellOptions", value={"type": "color-background", "mode": "basic"}
            )
        )
    if link:
        title, url = link
        looks.append(md.DynamicConfigValue(id_val="links", value=[{"title": title, "url": url}]))
    return panel.override_by_name(heading, looks)


def _legend(mode: mc.LegendDisplayMode) -> common.VizLegendOptions:
    shown = common.VizLegendOptions().show_legend(True).display_mode(mode)
    return shown.placement(mc.LegendPlacement.BOTTOM)


def _dress(
    panel: P,
    title: str,
    why: str,
    queries: Sequence[Given],
    unit: str,
    steps: Steps,
    names: Words | None,
    decimals: int | None,
) -> P:
    """What every panel must have."""
    panel = (
        panel.title(title)
        .description(why)
        .datasource(datasource())
        .unit(unit)
        .thresholds(thresholds(steps))
        .color_scheme(dashboard.FieldColor().mode(md.FieldColorModeId.THRESHOLDS))
        .targets(list(queries))
    )
    if names:
        panel = panel.mappings(words(names))
    if decimals is not None:
        panel = panel.decimals(decimals)
    return panel
