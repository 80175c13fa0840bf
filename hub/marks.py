"""What `toba-hub grafana push` marks on dashboards that are not ours: alerts and maintenance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grafana.annotations import annotate, annotate_maintenance
from grafana.client import Grafana
from hub.journal import Reader
from hub.ledger import Ledger
from rules.transition import Transition
from rules.watch import Watch

MOST = 1000


@dataclass(frozen=True, slots=True)
class Window:
    """A maintenance window."""

    name: str
    start_ns: int
    stop_ns: int
    text: str
    devices: tuple[str, ...]


def push(grafana: Grafana, data: Path, language: str) -> str:
    """Mark what the data folder's ledger knows; what was done, in a line. Raises `PushError`.

    Can be repeated: what is marked already is found again and not marked twice.
    """
    if not (data / "serve.db").exists():
        return "no alerts to mark: no hub has run on this data folder yet"
    ledger = Ledger(data / "serve.db")
    try:
        marked = annotate(grafana, alerts(ledger), language=language)
        windows = maintenance(ledger, data / "journal")
    finally:
        ledger.close()
    for w in windows:
        annotate_maintenance(grafana, w.start_ns, w.stop_ns, w.text, w.devices, name=w.name)
    return f"marked {len(set(marked))} alerts and {len(windows)} maintenance windows"


def alerts(ledger: Ledger, *, most: int = MOST) -> list[Transition]:
    """The newest transitions, oldest first."""
    return [
        Transition(**{**found, "notify": tuple(found["notify"])})
        for found in reversed(ledger.history(most))
    ]


def maintenance(ledger: Ledger, journal: Path) -> list[Window]:
    """The maintenance windows in force. One whose beginning the journal no longer has is left out:
    it was marked when it was young, or it is too old to matter."""
    _, state = ledger.snapshot()
    if state is None:
        return []
    found = []
    for silence in Watch.restore([], [], state).silences():
        started_ns = _time(journal, int(silence.id))
        if silence.kind == "maintenance" and started_ns:
            found.append(
                Window(
                    name=silence.id,
                    start_ns=started_ns,
                    stop_ns=silence.until_ns,
                    text=f"{silence.why or 'maintenance'} ({silence.who})",
                    devices=tuple(silence.matcher.plain().get("device", ())),
                )
            )
    return found


def _time(journal: Path, record_id: int) -> int:
    """When a record was received; 0 if the journal has freed it."""
    reader = Reader(journal, record_id - 1)
    try:
        records = reader.read(4096)
        return records[0].time_ns if records and records[0].id == record_id else 0
    finally:
        reader.close()
