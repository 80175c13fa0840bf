"""The questions dashboards ask, in the InfluxQL that 1.x, 2.x and 3 all know.

`$timeFilter` and `$__interval` are filled in by Grafana; `${name:regex}` is a template variable
made safe for a regular expression.
"""

from __future__ import annotations

from typing import Any

from grafana.names import DATASOURCE_UID
from grafana.sdk import Builder, Dataquery, mc

ZONE = "Asia/Jakarta"
"""Where days begin (WIB). Only day windows need it; Grafana itself shows the dashboard's zone."""

NETWORK = '"kind" =~ /^(router|switch|ap|ups)$/'
"""What belongs to the network; sensor nodes and cameras report `device.up`, too."""

ALERT_IDENTITY = ("device", "rule", "ifname", "sensor", "probe", "part")
"""What tells alerts apart. Never `site`: a device that moved would leave a second, older alert."""


def datasource() -> mc.DataSourceRef:
    return mc.DataSourceRef(type_val="influxdb", uid=DATASOURCE_UID)


class InfluxQL(Dataquery):
    """One query as Grafana's InfluxDB plug-in stores it (the SDK has none for it)."""

    def __init__(self, text: str, ref: str, alias: str, result: str) -> None:
        self.text, self.ref, self.alias, self.result = text, ref, alias, result

    def to_json(self) -> dict[str, Any]:
        target: dict[str, Any] = {
            "refId": self.ref,
            "datasource": datasource().to_json(),
            "rawQuery": True,
            "query": self.text,
            "resultFormat": self.result,
        }
        if self.alias:
            target["alias"] = self.alias
        return target


class AnnotationQuery(Dataquery):
    """Marks on the time axis, one for each answered row."""

    def __init__(self, text: str, columns: dict[str, str]) -> None:
        self.text, self.columns = text, columns

    def to_json(self) -> dict[str, Any]:
        return {
            "refId": "Anno",
            "fromAnnotations": True,
            "queryType": "tags",
            "query": self.text,
            **self.columns,
        }


class Given(Builder[Dataquery]):
    """A finished query in the shape of a builder, which the SDK's panels ask for."""

    def __init__(self, query: Dataquery) -> None:
        self.query = query

    def build(self) -> Dataquery:
        return self.query


def ask(text: str, alias: str = "", *, ref: str = "A", table: bool = False) -> Given:
    """A panel's query. `alias` names its series: `$tag_device`, `$col` …"""
    return Given(InfluxQL(text, ref, alias, "table" if table else "time_series"))


def select(
    what: str,
    source: str,
    where: str = "",
    *,
    by: tuple[str, ...] = (),
    bucket: str = "",
    end: str = "",
    ranged: bool = True,
) -> str:
    """`SELECT what FROM source`: a measurement's name, or a subquery in parentheses.

    The dashboard's time range is added unless `ranged` is false, as in a subquery: bounds of
    the outer query hold for the inner one too, and the stores' manuals say that is faster.
    """
    origin = source if source.startswith("(") else f'"{source}"'
    conditions = " AND ".join(part for part in (where, "$timeFilter" if ranged else "") if part)
    groups = ", ".join([f"time({bucket})"] * bool(bucket) + [f'"{name}"' for name in by])
    text = f"SELECT {what} FROM {origin}"  # noqa: S608 - dashboards are ours, no input gets here
    text += f" WHERE {conditions}" if conditions else ""
    text += f" GROUP BY {groups}" if groups else ""
    return f"{text} {end}".rstrip()


def windowed(what: str, measurement: str, where: str, by: tuple[str, ...] = ("device",)) -> str:
    """One value per bucket of the panel's width. Empty buckets are null: the panel bridges short
    runs of them (a bucket narrower than the poll) and shows longer ones as a gap."""
    return select(what, measurement, where, by=by, bucket="$__interval", end="fill(null)")


def mean(field: str, measurement: str, where: str, by: tuple[str, ...] = ("device",)) -> str:
    """The mean of a field per bucket of the panel's width."""
    return windowed(f'mean("{field}")', measurement, where, by)


OUTWARD = "/ keluar$/"
"""The names of what `both_ways` sends outward, for a panel that draws them downwards."""


def both_ways(inward: str, outward: str, where: str, port: str) -> list[Given]:
    """What goes in and out of each port, a field for each; `port` is how a series is called."""
    by = ("device", "ifname")
    return [
        ask(mean(inward, "interface", where, by), f"{port} masuk"),
        ask(mean(outward, "interface", where, by), f"{port} keluar", ref="B"),
    ]


def newest(field: str, measurement: str, where: str = "", by: tuple[str, ...] = ("device",)) -> str:
    """A subquery: the last value of each series."""
    what = f'last("{field}") AS "{field}"'
    return f"({select(what, measurement, where, by=by, ranged=False)})"


def reachable(what: str, where: str) -> str:
    """`what` over the devices, the `up` of each being that of the best of its probes."""
    probes = newest("up", "device", where, ("device", "probe"))
    best = select('max("up") AS "up"', probes, by=("device",), ranged=False)
    return select(what, f"({best})")


def match(**chosen: str) -> str:
    """`match(device="router")`: tag `device` is one of what variable `$router` holds."""
    return " AND ".join(f'"{tag}" =~ /^${{{var}:regex}}$/' for tag, var in chosen.items())
