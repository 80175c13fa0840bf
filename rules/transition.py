"""What the watch says: transitions for log, store and notifier; alerts for the board."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Transition:
    """One alert changed. Happens exactly once and has an id of its own.

    `before == after` ("firing") means: nothing changed but people must be told now, because
    what held the notification back (a silence, a cause) is over; `why` says which.
    """

    id: str
    """`<record id>-<n>`: the n-th transition of that record."""
    time_ns: int
    key: str
    rule: str
    device: str
    tags: dict[str, str]
    before: str
    after: str
    """ok, pending, firing, acknowledged, resolved."""
    severity: str
    value: float | None
    """In the rule's unit; for an absence, seconds of silence."""
    who: str
    """Empty: nobody, the readings did it."""
    why: str
    title: dict[str, str]
    """{id, en}, filled in."""
    advice: dict[str, str]
    notify: tuple[str, ...]
    """The teams to tell; empty: nobody (pending, acknowledged, silenced, explained by a cause)."""
    cause: str
    """The key of the alert that explains it, or empty."""
    since_ns: int
    """When the trouble began."""
    data_state: str = "ok"
    detail: dict[str, str] = field(default_factory=dict)
    """{id, en}: the value beside the limit."""


@dataclass(frozen=True, slots=True)
class Alert:
    """How one alert stands now."""

    key: str
    rule: str
    device: str
    name: str
    kind: str
    site: str
    site_name: str
    opd: str
    opd_name: str
    lat: float | None
    lon: float | None
    tags: dict[str, str]
    state: str
    data_state: str
    """ok, stale, no_data, suspect, source_down."""
    severity: str
    value: float | None
    unit: str
    since_ns: int
    until_ns: int
    """When it was over; 0: it isn't."""
    title: dict[str, str]
    advice: dict[str, str]
    detail: dict[str, str]
    notify: tuple[str, ...]
    acknowledged_by: str
    comment: str
    silenced_until: int
    """0: it isn't silenced."""
    silenced_by: str
    cause: str
    drags: int
    """How many alerts it explains."""
    means: str = ""
    """`down`: while it is up, the device counts as cut off."""
    flapping: bool = False
    """It fired so often that it resolves only after a longer quiet."""


_SEVERITY = {"critical": 0, "warning": 1, "info": 2}
_STATE = {"firing": 0, "acknowledged": 1, "pending": 2, "resolved": 3}


def urgency(alert: Alert) -> tuple[int, int, int, str]:
    """What is to be looked at first sorts first."""
    return _STATE[alert.state], _SEVERITY[alert.severity], -alert.since_ns, alert.key
