"""The shapes of everything the web tells: plain dataclasses, times in milliseconds.

They are the response models of the API and, encoded by msgspec, the events of the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hub.reading import Value
from hub.web.states import State

Text = dict[str, str]
"""Language to text."""


@dataclass(frozen=True, slots=True)
class RegencyInfo:
    id: str
    name: str
    zone: str
    languages: list[str]
    bounds: tuple[float, float, float, float]
    """South, west, north, east."""


@dataclass(frozen=True, slots=True)
class SiteInfo:
    id: str
    name: str
    lat: float | None
    lon: float | None


@dataclass(frozen=True, slots=True)
class OpdInfo:
    id: str
    name: str
    site: str


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    id: str
    name: str
    kind: str
    site: str
    opd: str
    address: str
    depends_on: list[str]


@dataclass(frozen=True, slots=True)
class Metric:
    """The last value of one field of one series."""

    measurement: str
    field: str
    tags: Text
    """What tells the series from others of the device (ifname, sensor, probe)."""
    value: Value
    unit: str
    time_ms: int
    quality: int = 0
    """Bits of `hub.reading.Quality`; 0 is good."""


@dataclass(frozen=True, slots=True)
class DeviceNow:
    id: str
    state: State
    heard_ms: int | None
    """When the hub last heard of it; null: never since it started."""
    alerts: int
    headline: list[Metric]
    spark: list[tuple[int, float]]
    """Points (time_ms, value) of the first headline metric: all of them in a snapshot, the newest
    in a delta."""
    off_since_ms: int | None = None
    """Since when it is down or silent; null: it isn't, or was never heard."""


@dataclass(frozen=True, slots=True)
class AlertInfo:
    key: str
    rule: str
    device: str
    name: str
    """The device's name, or its id when the inventory doesn't know it."""
    kind: str
    site: str
    opd: str
    tags: Text
    state: str
    severity: str
    data_state: str
    """ok, stale, no_data, suspect, source_down: how far the data behind it can be believed."""
    value: float | None
    unit: str
    since_ms: int
    who: str
    """Who acknowledged it, and what they said."""
    why: str
    title: Text
    detail: Text
    """The value beside the limit."""
    advice: Text
    cause: str
    drags: list[str]
    """Devices that its trouble takes along: silent behind this one, or with an alert that follows
    from this."""
    silenced_until_ms: int | None
    silenced_by: str
    root: str = ""
    """The key of the alert, among those told now, from which this one follows; empty: none."""


@dataclass(frozen=True, slots=True)
class Tally:
    """`up` of `total`; `trouble` are up with a warning or a critical alert. Of those that are
    `unknown` nothing was heard that tells: they are neither up nor down."""

    up: int
    total: int
    trouble: int
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    opds: Tally
    links: Tally
    sensors: Tally
    cameras: Tally
    alerts: dict[str, int]
    """critical, warning, info: firing; acknowledged; pending; explained: those that follow from
    another alert, whatever their severity, and are counted nowhere else."""
    devices: dict[str, int]
    """By state."""


@dataclass(frozen=True, slots=True)
class HealthInfo:
    """What the header needs to know of the hub itself."""

    ok: bool
    reasons: list[str]
    history: bool
    """False: the store can't be reached; charts come from memory."""
    newest_ms: int | None
    """When anything was last heard."""
    drops: int
    lag_s: float | None = None


@dataclass(frozen=True, slots=True)
class FaultInfo:
    name: str
    target: str
    title: Text
    active: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the board shows, as of `now_ms`."""

    now_ms: int
    regency: RegencyInfo
    counts: Counts
    health: HealthInfo
    alerts: list[AlertInfo]
    alerts_left_out: int
    sites: list[SiteInfo]
    opds: list[OpdInfo]
    inventory: list[DeviceInfo]
    devices: list[DeviceNow]
    faults: list[FaultInfo]


@dataclass(frozen=True, slots=True)
class SilenceInfo:
    id: str
    matcher: dict[str, list[str]]
    who: str
    why: str
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One transition of an alert."""

    id: str
    time_ms: int
    key: str
    rule: str
    device: str
    before: str
    after: str
    severity: str
    value: Value | None
    who: str
    why: str
    title: Text
    detail: Text
    cause: str


@dataclass(frozen=True, slots=True)
class ActItem:
    """What somebody did: acknowledge, silence, maintenance, and taking them back."""

    time_ms: int
    kind: str
    who: str
    why: str
    key: str
    """Of the alert, or of the silence that was ended."""
    matcher: dict[str, list[str]]
    until_ms: int | None
    id: str = ""
    """Also that of the silence or maintenance window that it began."""


@dataclass(frozen=True, slots=True)
class TurnInfo:
    """Somebody's time on duty."""

    person: str
    name: str
    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class TeamInfo:
    id: str
    name: str
    now: TurnInfo | None
    """Who is on duty; null: the team has no rota."""
    next: TurnInfo | None
    channels: list[str]
    """On which the team would be told of something critical now."""
    open: int
    """Alerts that it was told of and that are not over."""
    acknowledged: int
    handover_title: Text
    handover: Text
    """What would be handed over now, as lines; empty without a rota."""


@dataclass(frozen=True, slots=True)
class ProposalItem:
    """A device that a collector met, or a neighbour, that the inventory does not have."""

    key: str
    """By it a person dismisses it."""
    what: str
    """device; or of a neighbour (`hub.edges.Word`): new, circle, beside, stranger."""
    device: str
    other: str
    """The neighbour's id, where the inventory has it."""
    by: str
    """The collector; of a neighbour lldp or cdp."""
    port: str
    text: str
    """What it says of itself."""
    first_ms: int | None
    last_ms: int


@dataclass(frozen=True, slots=True)
class DismissedItem:
    """What a person said is nothing for the inventory."""

    item: ProposalItem
    who: str
    why: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Proposals:
    """Devices first, and a file of all of it for the inventory."""

    items: list[ProposalItem]
    count: int
    """How many there are; `items` may be fewer."""
    yaml: str
    dismissed: list[DismissedItem]
    """In neither of them."""


@dataclass(frozen=True, slots=True)
class EventItem:
    """Something that a device said, or that was seen of it: a trap, a restart."""

    time_ms: int
    device: str
    name: str
    text: str
    collector: str
    said: Text
    """The text in each language, as far as the collector has it; else empty."""


@dataclass(frozen=True, slots=True)
class DeviceDetail:
    device: DeviceInfo
    now: DeviceNow
    readings: list[Metric]
    alerts: list[AlertInfo]
    chain: list[str]
    """Ids of the way to the core, nearest first."""
    behind: list[str]
    """Ids of every device whose traffic passes this one."""
    history: list[HistoryItem] = field(default_factory=list)
    events: list[EventItem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ChartSeries:
    tags: Text
    points: list[tuple[int, Value | None]]
    """(time_ms, value), oldest first; null is a gap."""


@dataclass(frozen=True, slots=True)
class Chart:
    measurement: str
    field: str
    unit: str
    aggregate: str
    window_s: float
    source: str
    """store; store+memory: the newest points come from memory; memory: the store is away."""
    series: list[ChartSeries]


@dataclass(frozen=True, slots=True)
class Me:
    name: str
    role: str
    auth: str
    """demo or tokens."""


@dataclass(frozen=True, slots=True)
class Done:
    """An act that is durable now, and who it is attributed to."""

    who: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PublicAir:
    station: str
    site: str
    pm25: float
    """The last value, µg/m³."""
    time_ms: int
    mean_1h: float | None
    mean_24h: float | None
    """Of what there is; null: the past can't be asked, or there is none."""
    data_s: float
    """How much of the last 24 hours the mean is of."""
    category: str
    """good, moderate, unhealthy, very_unhealthy, hazardous (ISPU's classes of the 24-hour mean);
    empty: fewer than 75 % of the hours have data, too little for a class."""
    over: bool
    """The last value or the last hour's mean is above `limit`, or a PM2.5 alert is on."""
    limit: float
    """Where ISPU turns to "unhealthy"; the hub's own rule warns from there on too."""
    ispu: int | None = None
    """The station's index of the last full hour, over all its parameters; `category` is its class
    then. Null: fewer than 18 of 24 hours have a mean."""
    dominant: str = ""
    """The parameter that has it (*parameter kritis*): pm25, pm10, so2, co, o3, no2, hc."""
    index_ms: int | None = None
    """That hour."""
    indicative: bool = True
    """False only where the inventory says that the station is a reference instrument."""


@dataclass(frozen=True, slots=True)
class PublicValue:
    station: str
    site: str
    field: str
    value: float
    unit: str
    time_ms: int
    alarm: Mapping[str, str]
    """What the hub warns of there, by language; empty: nothing."""


@dataclass(frozen=True, slots=True)
class PublicService:
    name: str
    site: str
    state: Literal["online", "offline"]
    since_ms: int | None
    """Since when it is offline; null: it isn't, or nobody knows."""


@dataclass(frozen=True, slots=True)
class PublicPage:
    """What everybody may know; names no device address and no network detail."""

    now_ms: int
    regency: RegencyInfo
    air: list[PublicAir]
    rain: list[PublicValue]
    lake: list[PublicValue]
    offices: Tally
    services: list[PublicService]
    stale: bool
