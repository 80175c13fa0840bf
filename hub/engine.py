"""Drives the rules over the journal: the fold whose state is snapshot + tail.

    records ─► Watch (rules/, pure) ─► transitions ─► ledger: transition + owed + alert point,
       ├─────► Recorders (likewise) ─► `air_index` ──►  one transaction, ids from the record
       ├─────► Presence ─► what answered since when, for reports of availability
       └─────► live board state

The rules themselves are records, too: a reload takes hold where its record stands, and what new
rules learn from the store stands behind it (`past.py`).

Started again, it loads the snapshot and folds on from there: the same records give the same
transitions with the same ids, and the ledger takes each once.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import msgspec

from hub import logs, past, ruleset
from hub.api import Event, Phrase
from hub.clock import NS, monotonic
from hub.decoded import Decoded
from hub.edges import Edge, edge_of
from hub.health import Health
from hub.journal import Kind, Reader, Record
from hub.journal.files import Cursor
from hub.ledger import Acted, Ledger
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

POLL_S = 0.02
READ_BYTES = 256 * 1024
SNAPSHOT_S = 10.0
SNAPSHOT_SHARE = 200
"""Nothing is folded while the state is kept; of the time that may be one part in so many."""
PRIME = 5_000
"""Records before the cursor that are shown on the board after a restart."""
REPEAT_NS = 60 * NS
"""An open alert's point is written again this often, so that it stays in any dashboard's window."""

SAID_AT_ONCE = 20
"""Lines of the log for the transitions of one commit; thousands at once are not read by anybody."""
STALE_NS = 600 * NS
"""Without any state of before, alerts older than this at the start are told to nobody."""
RETRY_S = 1.0
NO_ANSWER = Phrase("asked out of turn, since an alert waits for it")


class Telling(Protocol):
    """Who must hear of it; everything in the transaction that stores the transitions."""

    def owe(self, db: sqlite3.Connection, transitions: Sequence[Transition]) -> object: ...

    def wants(self, db: sqlite3.Connection, now_ns: int) -> bool:
        """Whether `tick` would do anything at that time of the journal."""
        ...

    def tick(self, db: sqlite3.Connection, now_ns: int) -> object:
        """What time alone brings: escalations, reminders, hand-overs."""
        ...


class Engine:
    """One reader of the journal for the rules and the board."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        rules: Sequence[Rule],
        things: Sequence[Thing],
        health: Health,
        *,
        telling: Telling,
        show: Callable[[Sequence[Reading], int], None],
        event: Callable[[dict[str, Any]], None],
        changed: Callable[[], None],
        configured: Callable[[], None] = lambda: None,
        now_ns: int = 0,
        decoded: Decoded | None = None,
        recorders: Recorders | None = None,
    ) -> None:
        """`show` gets all readings with the time they were received; `changed` is called after
        each stretch of records, `configured` when one of them was a reload. `now_ns` is when the
        process started; rules and things are used until the journal says which are in force."""
        self._folder = folder
        self._ledger = ledger
        self._health = health
        self._telling = telling
        self._show = show
        self._event = event
        self._changed = changed
        self._configured = configured
        self._decoded = decoded or Decoded()
        self._cursor = Cursor(folder, "engine")
        self.trouble = ""
        """Why nothing is folded at the moment; empty: all is well."""
        self.folded_id = 0
        self.folded_ns = 0
        """When the last folded record was written; 0: none was."""
        self._tell_from_ns = 0
        self._recorders = recorders or standard()
        self._recorded: list[Reading] = []
        """What was made of what is folded and is not committed yet."""
        self.in_force = RuleSet(rules, things)
        self.watch = self._restore() or Watch(rules, things)
        self._recorders.know(self.in_force.things)
        self.presence = self._presence()
        self._kept_set = self.in_force.sha256
        if not self.folded_id:
            self._tell_from_ns = now_ns - STALE_NS
        self._kept_id = self.folded_id
        self._kept_at = monotonic()
        self._keeping_s = 0.0
        """How long the last snapshot took."""
        self._repeated = 0
        self._ticked_ns = 0
        """The newest tick that was folded."""
        self._acted: list[Acted] = []
        """What people did, not kept yet."""
        self._edges: dict[tuple[str, str, str], Edge] = {}
        """Neighbours that were told of, not kept yet: with the next snapshot they are."""
        self._proposed: list[Proposed] = []
        """Likewise devices, but with the next commit: somebody may be waiting for one."""
        self._asked_ns = 0
        """The newest tick at which nothing more was to be told."""
        self._reader: Reader | None = None
        self._owing = False
        """True while what was folded is not committed: the watch is ahead of the ledger."""

    def _restore(self) -> Watch | None:
        """The state of the snapshot, if there is one that this version can read."""
        try:
            last_id, state = self._ledger.snapshot()
            self._know(self._ledger.configuration())
            in_force = self.in_force
            watch = state and Watch.restore(in_force.rules, in_force.things, state)
            if state is not None:
                self._recorders.load(state)
                self._show_recorded(self._recorders.latest())
        except sqlite3.Error:
            raise
        except Exception as error:  # whatever is wrong with it, the journal has the truth
            log.error("the rules' state can't be read, folding the journal anew", why=repr(error))
            return None
        self.folded_id = last_id
        return watch or None

    def _presence(self) -> Presence:
        try:
            return self._ledger.presence()
        except sqlite3.Error:
            raise
        except Exception as error:
            log.error("what answered until now can't be read, beginning anew", why=repr(error))
            return Presence()

    def _know(self, payload: bytes) -> None:
        """The rule set of the snapshot; where this version refuses it, that of today's files."""
        try:
            if payload:
                self.in_force = ruleset.unpack(payload)
        except (Misconfigured, ValueError) as error:
            log.error(
                "the rules of before can't be read, taking those of the files", why=str(error)
            )

    def alerts(self) -> list[Alert]:
        return list(self.watch.alerts())

    def backlog(self) -> int:
        """Records that are durable and not folded yet."""
        return self._reader.backlog() if self._reader else 0

    def behind_ns(self, now_ns: int) -> int:
        """How old the last folded record is, while there are more to fold."""
        return max(0, now_ns - self.folded_ns) if self.folded_ns and self.backlog() else 0

    def durable_id(self) -> int:
        """The newest id on disk, as the journal's mark says just now."""
        return self._reader.next_id - 1 + self._reader.backlog() if self._reader else 0

    async def run(self) -> None:
        """Until cancelled; keeps the state once more at the end."""
        self._reader = Reader(self._folder, max(0, self.folded_id - PRIME))
        try:
            while True:
                records = self._reader.read(READ_BYTES)
                if not records:
                    if self._keep_now():
                        await self._insist([], [], keep=True)
                    await asyncio.sleep(POLL_S)
                    continue
                self._lost(self._reader)
                await self._take(records)
                self._changed()
                await asyncio.sleep(0)
        finally:
            self._reader.close()
            if not self._owing:
                with suppress(sqlite3.Error):  # what is not kept is folded again
                    self._commit([], [], keep=True)

    async def _take(self, records: Sequence[Record]) -> None:
        self._owing = True
        transitions: list[Transition] = []
        points: list[Reading] = []
        for record in records:
            found = self._fold(record)
            transitions += found
            if record.kind == Kind.TICK and record.id > self._kept_id:
                points += self._repeat(record.time_ns)
            # Last: at the same time the change counts, not the repetition.
            points += [point(t) for t in found]
        points += self._recorded
        self._recorded = []
        await self._insist(transitions, points, keep=self._keep_now())

    def _keep_now(self) -> bool:
        """Is it time for a snapshot? The more there is to keep, the rarer."""
        pause = max(SNAPSHOT_S, SNAPSHOT_SHARE * self._keeping_s)
        return monotonic() - self._kept_at > pause

    def _fold(self, record: Record) -> list[Transition]:
        """One record into the board and, if it was not folded before, into the rules."""
        fresh = record.id > self.folded_id
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
                found += self._record(record)
                self._ticked_ns = record.time_ns
            elif fresh and record.kind == Kind.ACT:
                act = Act(**unpack_map(record.payload))
                found = self.watch.act(record.id, record.time_ns, act)
                self._acted.append(Acted(record.id, record.time_ns, act))
            elif record.kind == Kind.VERDICT:
                found = self._judged(record, fresh=fresh)
            elif fresh and record.kind == Kind.PROPOSAL:
                self._propose(record)
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
            self.folded_id, self.folded_ns = record.id, record.time_ns
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

    def _propose(self, record: Record) -> None:
        """A device has told of a neighbour, or somebody of a device."""
        collector, found = unpack_proposal(record.payload)
        edge = edge_of(found, record.time_ns)
        if edge is not None:
            self._edges[edge[:3]] = edge
        elif found.kind == "device":
            when = record.time_ns, record.time_ns
            self._proposed.append(Proposed(collector, found.device, found.facts, *when))

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

    def _record(self, record: Record) -> list[Transition]:
        """What is over and known: stored, shown, and met by rules like any reading."""
        made = self._recorders.tick(record.time_ns)
        self._recorded += made
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

    async def _insist(
        self, transitions: list[Transition], points: list[Reading], *, keep: bool
    ) -> None:
        """Commit, however long the disk refuses. Nothing more is folded meanwhile."""
        while True:
            try:
                self._commit(transitions, points, keep=keep)
            except sqlite3.OperationalError as error:
                if not self.trouble:
                    log.error("alerts can't be kept, trying again", why=str(error))
                self.trouble = f"alerts can't be kept: {error}"
                await asyncio.sleep(RETRY_S)
                continue
            if self.trouble:
                log.info("alerts are kept again")
            self.trouble, self._owing = "", False
            return

    def _tell(self, db: sqlite3.Connection, transitions: Sequence[Transition]) -> None:
        """Owe people what is news, and what they have left unanswered. Folding an old journal anew
        brings up no old stories."""
        self._telling.owe(db, [t for t in transitions if t.time_ns >= self._tell_from_ns])
        if self._ticked_ns >= self._tell_from_ns and self._telling.wants(db, self._ticked_ns):
            self._telling.tick(db, self._ticked_ns)

    def _commit(self, transitions: list[Transition], points: list[Reading], *, keep: bool) -> None:
        keep = keep and self.folded_id > self._kept_id
        late = self._ticked_ns > self._asked_ns and self._telling.wants(
            self._ledger.db, self._ticked_ns
        )
        if not (transitions or points or keep or late or self._acted or self._proposed):
            self._asked_ns = self._ticked_ns
            return
        began = monotonic()
        snapshot = (self.folded_id, self._state()) if keep else None
        in_force = self.in_force
        news = in_force.payload if keep and in_force.sha256 != self._kept_set else b""
        presence = self.presence if keep else None
        edges = tuple(self._edges.values()) if keep else ()
        new = self._ledger.commit(
            *(transitions, points, self._tell, snapshot, news),
            *(self._acted, presence, edges, self._proposed),
        )
        self._acted.clear()
        self._proposed.clear()
        for t in transitions[:SAID_AT_ONCE]:
            log.info("alert", rule=t.rule, device=t.device, before=t.before, after=t.after)
        if len(transitions) > SAID_AT_ONCE:
            log.info("and more alerts", number=len(transitions) - SAID_AT_ONCE)
        self._health.count("transitions", new)
        if keep:
            self._kept_id, self._kept_at = self.folded_id, monotonic()
            self._kept_set = in_force.sha256
            self.presence.told()
            self._edges.clear()
            self._keeping_s = self._kept_at - began
            # Behind the commit: the journal may free what this snapshot has taken in.
            # An older cursor only keeps a segment longer.
            with suppress(OSError):
                self._cursor.set(self.folded_id)

    def _state(self) -> dict[str, Any]:
        return {**self.watch.snapshot(_packed), **self._recorders.snapshot()}

    def _lost(self, reader: Reader) -> None:
        for lost in reader.lost:
            if lost.last_id > self.folded_id and lost.first_id > 1:
                log.error("records are lost", what=str(lost))
        reader.lost.clear()


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
