"""What the journal says so far: the rules' state, and all that is folded beside it.

    record ─► Watch (rules/, pure) ─► transitions ─┐
       ├────► Recorders (likewise) ─► `air_index` ─┼─► Outcome
       ├────► acts, neighbours, devices ───────────┘
       ├────► Presence ─► what answered since when, for reports of availability
       └────► the live board

The rules themselves are records, too: a reload takes hold where its record stands, and what new
rules learn from the store stands behind it (`past.py`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from hub import logs, past, ruleset
from hub.api import Event, Phrase
from hub.clock import NS, monotonic
from hub.decoded import Decoded
from hub.edges import Edge, edge_of
from hub.health import Health
from hub.journal import Kind, Record
from hub.ledger import Ledger
from hub.outcome import Acted, Outcome, Snapshot
from hub.presence import Presence
from hub.problems import Misconfigured
from hub.proposals import Proposed
from hub.reading import BadSeries, Reading, Series
from hub.records import unpack_event, unpack_map, unpack_proposal, unpack_verdict
from hub.ruleset import RuleSet
from rules.act import Act
from rules.past import judge, looks_back
from rules.recorders import Recorders, standard
from rules.rule import SEVERITIES, Rule
from rules.thing import Thing
from rules.watch import Alert, Transition, Watch

log = logs.get("engine")

REPEAT_NS = 60 * NS
"""An open alert's point is written again this often, so that it stays in any dashboard's window."""
NO_ANSWER = Phrase("asked out of turn, since an alert waits for it")


class Fold:
    """The state after a record, and what the next one makes of it."""

    def __init__(
        self,
        ledger: Ledger,
        rules: Sequence[Rule],
        things: Sequence[Thing],
        health: Health,
        *,
        show: Callable[[Sequence[Reading], int], None],
        event: Callable[[dict[str, Any]], None],
        configured: Callable[[], None],
        decoded: Decoded | None = None,
        recorders: Recorders | None = None,
    ) -> None:
        """Begin where the ledger's snapshot stands. `show` gets all readings with the time they
        were received, `event` what happened on a device; `configured` is called at a reload. Rules
        and things are used until the journal says which are in force. Raises sqlite3.Error."""
        self._health = health
        self._show = show
        self._event = event
        self._configured = configured
        self._decoded = decoded or Decoded()
        self._recorders = recorders or standard()
        self.last_id = 0
        """The newest record that the rules know."""
        self.last_ns = 0
        """When it was written; 0: none was since the start."""
        self.ticked_ns = 0
        """The newest tick."""
        self._repeated = 0
        self._edges: dict[tuple[str, str, str], Edge] = {}
        """Neighbours that were told of since the snapshot."""
        self.in_force = RuleSet(rules, things)
        restored = self._restore(ledger)
        self.watch = restored or Watch(self.in_force.rules, self.in_force.things)
        self._recorders.know(self.in_force.things)
        self.presence = _presence(ledger)
        self._kept_set = self.in_force.sha256
        """The rule set of the snapshot."""

    def _restore(self, ledger: Ledger) -> Watch | None:
        """The state of the snapshot, if there is one that this version can read."""
        try:
            last_id, state = ledger.snapshot()
            self._know(ledger.configuration())
            watch = None
            if state is not None:
                watch = Watch.restore(self.in_force.rules, self.in_force.things, state)
                self._recorders.load(state)
                self._show_recorded(self._recorders.latest())
        except sqlite3.Error:
            raise
        except Exception as error:  # whatever is wrong with it, the journal has the truth
            log.error("the rules' state can't be read, folding the journal anew", why=repr(error))
            return None
        self.last_id = last_id
        return watch

    def _know(self, payload: bytes) -> None:
        """The rule set of the snapshot; where this version refuses it, that of today's files."""
        try:
            if payload:
                self.in_force = ruleset.unpack(payload)
        except (Misconfigured, ValueError) as error:
            log.error(
                "the rules of before can't be read, taking those of the files", why=str(error)
            )

    # -- one record ---------------------------------------------------------------------

    def take(self, record: Record, out: Outcome, *, repeat: bool) -> None:
        """One record into the board and, if it was not folded before, into the rules. `repeat`:
        open alerts are said again at whole minutes."""
        found = self._fold(record, out)
        out.transitions += found
        if repeat and record.kind == Kind.TICK:
            out.points += self._repeat(record.time_ns)
        # Last: at the same time the change counts, not the repetition.
        out.points += [point(t) for t in found]

    def _fold(self, record: Record, out: Outcome) -> list[Transition]:
        fresh = record.id > self.last_id
        # It has a place of its own in the journal: it may be younger than the rules' state.
        told = record.id > self.presence.folded_id
        found: list[Transition] = []
        try:
            if told:
                self._witness(record)
            if record.kind == Kind.READINGS:
                readings = self._decoded.readings(record)
                self._show(readings, record.time_ns)
                if told:
                    self.presence.observe(readings, record.time_ns)
                if fresh:
                    self._recorders.observe(readings)
                    found = self.watch.observe(record.id, readings, record.time_ns)
            elif record.kind == Kind.EVENT:
                collector, event = unpack_event(record.payload)
                self._event({"collector": collector, **asdict(event)})
            elif fresh and record.kind == Kind.TICK:
                found = self.watch.tick(record.id, record.time_ns)
                found += self._record(record, out)
                self.ticked_ns = record.time_ns
            elif fresh and record.kind == Kind.ACT:
                act = Act(**unpack_map(record.payload))
                found = self.watch.act(record.id, record.time_ns, act)
                out.acts.append(Acted(record.id, record.time_ns, act))
            elif record.kind == Kind.VERDICT:
                found = self._judged(record, fresh=fresh)
            elif fresh and record.kind == Kind.PROPOSAL:
                self._propose(record, out)
            elif fresh and record.kind == Kind.CONFIG:
                found = self._reload(record)
            elif fresh and record.kind == Kind.PAST:
                found = self._refill(record)
            if told and record.kind == Kind.CONFIG:
                self.presence.configured(self.in_force.things, record.time_ns)
        except Exception as error:
            # One record must not stop the fold for ever: neither one that this version can't
            # read, nor one that a fault in a rule trips over.
            self._skip(record, error)
        if fresh:
            self.last_id, self.last_ns = record.id, record.time_ns
        self.presence.folded_id = max(self.presence.folded_id, record.id)
        return found

    def _witness(self, record: Record) -> None:
        """What reports of availability need of a record beside its readings."""
        if not self.presence.folded_id:
            self.presence.configured(self.in_force.things, record.time_ns)
        if record.kind == Kind.TICK:
            self.presence.tick(record.time_ns)
        elif record.kind == Kind.ACT:
            act = Act(**unpack_map(record.payload))
            self.presence.act(record.id, record.time_ns, act)

    def _judged(self, record: Record, *, fresh: bool) -> list[Transition]:
        """A device was asked out of turn; that it did not answer is shown, too."""
        device, up = unpack_verdict(record.payload)
        if up is False:
            event = Event.saying(device, "no_answer", record.time_ns, NO_ANSWER)
            self._event({"collector": "hub", **asdict(event)})
        return self.watch.verdict(record.id, record.time_ns, device, up) if fresh else []

    def _propose(self, record: Record, out: Outcome) -> None:
        """A device has told of a neighbour, or somebody of a device."""
        collector, found = unpack_proposal(record.payload)
        edge = edge_of(found, record.time_ns)
        if edge is not None:
            self._edges[edge[:3]] = edge
        elif found.kind == "device":
            when = record.time_ns, record.time_ns
            out.proposed.append(Proposed(collector, found.device, found.facts, *when))

    def _reload(self, record: Record) -> list[Transition]:
        """Judge by another rule set from this record on."""
        before = self.in_force
        self.in_force = ruleset.unpack(record.payload, before)
        self._configured()
        if self.in_force is before:
            return []
        began = monotonic()
        self._recorders.know(self.in_force.things)
        found = self.watch.reload(
            record.id, record.time_ns, self.in_force.rules, self.in_force.things
        )
        took_ms = round((monotonic() - began) * 1000)
        log.info(
            "rules in force",
            rules=len(self.in_force.rules),
            devices=len(self.in_force.things),
            sha256=self.in_force.sha256[:12],
            took_ms=took_ms,
        )
        return found

    def _refill(self, record: Record) -> list[Transition]:
        """New rules learn what was stored before they came."""
        names, readings = past.unpack(record.payload, self.in_force.things)
        rules = [rule for rule in self.in_force.rules if rule.name in names]
        knowing = judge(rules, self.in_force.things, readings, record.time_ns)
        until = {rule.name: record.time_ns + looks_back(rule) for rule in rules}
        log.info("rules refilled from the store", rules=len(rules), readings=len(readings))
        return self.watch.refill(record.id, record.time_ns, knowing, until)

    def _record(self, record: Record, out: Outcome) -> list[Transition]:
        """What is over and known: stored, shown, and met by rules like any reading."""
        made = self._recorders.tick(record.time_ns)
        out.points += made
        self._show_recorded(made)
        return self.watch.observe(record.id, made, record.time_ns) if made else []

    def _show_recorded(self, made: Sequence[Reading]) -> None:
        if made:
            self._show(made, made[0].time_ns)

    def _skip(self, record: Record, error: Exception) -> None:
        number = self._health.count("unfolded", 1, kind=str(record.kind))
        if number <= 3 or number % 1000 == 0:
            unreadable = isinstance(
                error, (msgspec.DecodeError, BadSeries, Misconfigured, ValueError)
            )
            log.error(
                "skipping a record",
                id=record.id,
                why=str(error) if unreadable else f"BUG in a rule: {error!r}",
                number=number,
                exc_info=not unreadable,
            )

    def _repeat(self, now_ns: int) -> list[Reading]:
        """The open alerts again, at whole minutes, so that folding twice gives the same points."""
        minute = now_ns // REPEAT_NS
        if minute == self._repeated:
            return []
        self._repeated = minute
        return [
            alert_point(a, minute * REPEAT_NS, a.state)
            for a in self.watch.alerts()
            if a.state in ("firing", "acknowledged")
        ]

    # -- what is kept -------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """All of it, after the newest record. Tell `kept` when it is."""
        in_force = self.in_force
        return Snapshot(
            self.last_id,
            {**self.watch.snapshot(_packed), **self._recorders.snapshot()},
            in_force.payload if in_force.sha256 != self._kept_set else b"",
            self.presence,
            tuple(self._edges.values()),
        )

    def kept(self) -> None:
        """What `snapshot` gave is on disk, and nothing was folded since."""
        self._kept_set = self.in_force.sha256
        self.presence.told()
        self._edges.clear()


def _presence(ledger: Ledger) -> Presence:
    try:
        return ledger.presence()
    except sqlite3.Error:
        raise
    except Exception as error:
        log.error("what answered until now can't be read, beginning anew", why=repr(error))
        return Presence()


def _packed(items: Iterable[list[Any]]) -> msgspec.Raw:
    """A list as msgpack has it, packed one by one: as objects, a network's state would take three
    times as much for a moment, and leave holes behind."""
    encode, packed, count = msgspec.msgpack.Encoder().encode_into, bytearray(5), 0
    for item in items:
        encode(item, packed, -1)
        count += 1
    packed[:5] = b"\xdd" + count.to_bytes(4, "big")  # array 32
    return msgspec.Raw(bytes(packed))


def point(t: Transition) -> Reading:
    """A transition as a reading of the `alert` measurement."""
    return alert_point(t, t.time_ns, t.after, changed=True)


def alert_point(
    alert: Transition | Alert, time_ns: int, state: str, *, changed: bool = False
) -> Reading:
    """How an alert stands. `changed` tells a transition from the repetition of an open alert:
    dashboards mark the one on the time axis and find the other in any time window."""
    others = {k: v for k, v in dict(alert.tags).items() if k not in ("device", "rule")}
    fields: dict[str, float | int | str] = {
        "active": int(state in ("firing", "acknowledged")),
        "severity": SEVERITIES.index(alert.severity),
        "state": state,
        "text": alert.title.get("id") or alert.rule,
        "since_ms": alert.since_ns // 1_000_000,
        "changed": int(changed),
    }
    if isinstance(alert.value, int | float):
        fields["value"] = float(alert.value)
    return Reading(Series.of("alert", alert.device, rule=alert.rule, **others), time_ns, fields)
