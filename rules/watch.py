"""The seam between the hub and the rules: readings, ticks and people's acts in, transitions out.

    watch = Watch(rules, things)
    for record in log:                       # in order; each call has the record's id and time
        watch.observe(id, readings, now_ns)  # readings
        watch.tick(id, now_ns)               # the clock: at least every `TICK_AT_MOST`
        watch.act(id, now_ns, act)           # a person

Deterministic: the same calls give the same transitions, and `Watch.restore(rules, things,
snapshot)` goes on exactly where `snapshot()` was taken. When rules or things were changed in
between, alerts keep their state if their rule still means the same; others are closed, by a
transition that says so, at the next call. `reload` changes them without stopping.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hub.reading import Reading
from rules import saying
from rules.act import Act, Silence
from rules.alert import DataState, Signal, State, Step
from rules.conditions import UNCHANGED
from rules.duration import HOUR, MINUTE, SECOND
from rules.explain import Explanation, explain, unheard
from rules.matching import Matcher
from rules.roster import BESIDE, Roster, Track, why_gone
from rules.rule import Rule
from rules.thing import Thing
from rules.track import DEAF, Missing, Steps
from rules.transition import Alert, Transition

__all__ = ["Act", "Alert", "Silence", "Thing", "Transition", "Watch"]

LATE_AFTER = 5 * MINUTE
"""A reading that took longer than this to arrive is history."""

TICK_AT_MOST = MINUTE
"""A longer pause between ticks means that nobody listened: silence then is nobody's fault."""

STEP_BACK = SECOND
"""Time that runs back by more than this was set back."""

SETTLE = 2 * MINUTE
"""When a cause is over, what it explained gets this long to recover before anybody is told."""

SHOW_RESOLVED = HOUR

VERSION = 2


class Watch:
    """All rules over all series. See the module's docstring."""

    def __init__(
        self, rules: Sequence[Rule], things: Iterable[Thing], *, late_after_ns: int = LATE_AFTER
    ) -> None:
        self._roster = Roster(rules, things)
        self._tracks = self._roster.tracks
        self._late_after = late_after_ns
        self._shown: set[str] = set()
        """Keys of alerts that were not ok lately."""
        self._held: set[str] = set()
        """Keys of firing alerts that nobody was told of."""
        self._down: dict[str, set[str]] = {}
        """Device → keys of its alerts that mean down."""
        self._silences: dict[str, Silence] = {}
        self._due: list[tuple[int, str]] = []
        """Heap of (time, key): who wants to be asked when."""
        self._waiting = [t for t in self._tracks.values() if isinstance(t, Missing)]
        """Absences that were not told yet since when to wait."""
        self._closing: list[dict[str, Any]] = []
        """Alerts whose rule went away: said at the next call."""
        self._now = 0
        self._ticked: int | None = None
        self._record, self._count = -1, 0

    # -- what comes in ------------------------------------------------------------

    def observe(self, record_id: int, readings: Iterable[Reading], now_ns: int) -> list[Transition]:
        """Readings of one record, recorded at `now_ns`. Late and retained ones change nothing.

        The hot path of the whole hub, so it is one loop.
        """
        out: list[Transition] = []
        plans_of, entered = self._roster.plans.get, False
        for series, time_ns, fields, quality in readings:
            plans = plans_of(series.key)
            plan = None if plans is None else plans.get(tuple(fields))
            if plan is None:
                plan = self._roster.meet(series, fields)
            signs, lines = plan
            if not signs and not lines:
                continue
            if not entered or self._waiting:
                out += self._enter(record_id, now_ns)
                entered, now, oldest = True, self._now, self._now - self._late_after
            if quality:
                quality = int(quality)
            if quality & DEAF or time_ns < oldest:
                continue
            if time_ns > now + self._late_after:
                time_ns = now
            for missing in signs:
                # Nearly always it says nothing new.
                if missing.calm and missing.easy and missing.absence.holds is False:
                    missing.absence.heard_ns = now
                else:
                    self._heard(missing, missing.read(fields, now), out)
            for field, line in lines:
                value = fields[field]
                newest = line.newest_ns
                if time_ns <= newest or type(value) is str or not line.low <= value <= line.high:  # type: ignore[operator]
                    for track, steps in line.read(value, fields, time_ns, now, quality):
                        self._note(track, steps, out)
                    continue
                # In the quiet band no threshold is crossed: what `Line.read` does, and no calls.
                gap, twice = time_ns - newest, 2 * line.interval_ns
                line.interval_ns = gap if gap < twice or not twice else twice
                line.newest_ns, line.lag_ns = time_ns, now - time_ns
                line.quality, line.value = quality, value  # type: ignore[assignment]
                for track in line.windows:
                    edge = track.condition.feed(time_ns, value)  # type: ignore[arg-type]
                    if edge is not UNCHANGED:
                        self._note(track, track.edge(edge, time_ns), out)
                        line.settle()
        return out

    def _heard(self, missing: Missing, steps: Steps, out: list[Transition]) -> None:
        if steps or not missing.calm:
            self._note(missing, steps, out)

    def tick(self, record_id: int, now_ns: int) -> list[Transition]:
        """Time passed."""
        out = self._enter(record_id, now_ns)
        now = self._now
        if self._ticked is not None and now - self._ticked > TICK_AT_MOST:
            self._woke(now)
        self._ticked = now
        for track in self._due_by(now):
            self._note(track, track.tick(now), out)
        for ended in [s.id for s in self._silences.values() if s.until_ns <= now]:
            del self._silences[ended]
        for key in sorted(self._held):
            self._release(self._tracks[key], out)
        return out

    def act(self, record_id: int, now_ns: int, act: Act) -> list[Transition]:
        """A person did something. What can't be done (`Act.problem`) changes nothing."""
        out = self._enter(record_id, now_ns)
        if act.problem():
            return out
        if act.kind in ("silence", "maintenance"):
            matcher = Matcher(dict(act.matcher))
            silence = Silence(str(record_id), act.kind, act.who, act.why, matcher, act.until_ns)
            self._silences[silence.id] = silence
        elif act.kind == "unsilence":
            self._unsilence(act)
        elif act.key in self._tracks:
            track = self._tracks[act.key]
            acknowledge = act.kind == "acknowledge"
            signal = Signal.ACKNOWLEDGE if acknowledge else Signal.UNACKNOWLEDGE
            self._note(track, track.signal(signal, self._now, act.who, act.why), out)
        return out

    def reload(
        self, record_id: int, now_ns: int, rules: Sequence[Rule], things: Iterable[Thing]
    ) -> list[Transition]:
        """Other rules or things from now on; what `restore` would make of a snapshot, without the
        detour. Alerts whose rule is gone or means something else are closed and say so."""
        out = self._enter(record_id, now_ns)
        before, self._roster = self._roster, Roster(rules, things)
        self._tracks = self._roster.tracks
        for track, why in self._roster.adopt(before):
            if not track.calm:
                face = saying.face(self._now, track, before.thing(track.device))
                out.append(saying.farewell(self._id(), self._now, {**face, "why": why}))
        self._settle_in()
        return out

    def _unsilence(self, act: Act) -> None:
        matcher = Matcher(dict(act.matcher))
        for silence in list(self._silences.values()):
            if silence.id == act.key or (not act.key and silence.matcher == matcher):
                del self._silences[silence.id]

    # -- what is known --------------------------------------------------------------

    def alerts(self) -> list[Alert]:
        """All that is not ok, worst first; what was resolved stays for an hour."""
        old = self._now - SHOW_RESOLVED
        tracks = [self._tracks[key] for key in sorted(self._shown)]
        causes = {
            track.key: self._cause(track) for track in tracks if not track.alert.state.resting
        }
        drags: dict[str, int] = {}
        for cause in causes.values():
            if cause:
                drags[cause] = drags.get(cause, 0) + 1
        shown = [
            saying.alert(
                self._now,
                track,
                self._roster.thing(track.device),
                self._data_state(track),
                self._silence(track),
                causes.get(track.key, ""),
                drags.get(track.key, 0),
            )
            for track in tracks
            if not track.calm
            or (track.alert.state is State.RESOLVED and track.alert.until_ns > old)
        ]
        return sorted(shown, key=_urgency)

    def silences(self) -> list[Silence]:
        """The silences and maintenance windows in force."""
        return sorted(self._silences.values(), key=lambda s: (s.until_ns, s.id))

    def explain(self, device: str, rule: str = "") -> list[Explanation]:
        """Why that device's alerts fire or don't, of one rule or of all that are about it."""
        thing = self._roster.thing(device)
        tracks = [
            track
            for track in self._tracks.values()
            if track.device == device and rule in ("", track.rule.name)
        ]
        found = [
            explain(
                self._now,
                track,
                saying.texts(track, thing, track.value_at(self._now))[0],
                self._data_state(track),
                self._silence(track),
                self._cause(track),
            )
            for track in sorted(tracks, key=lambda track: track.key)
        ]
        met = {one.rule for one in found}
        return found + [
            unheard(one, thing)
            for one in self._roster.about(thing)
            if one.name not in met and rule in ("", one.name)
        ]

    # -- time -------------------------------------------------------------------------

    def _enter(self, record_id: int, now_ns: int) -> list[Transition]:
        """Take over the record's id and time; say what a reload left to say."""
        if record_id != self._record:
            self._record, self._count = record_id, 0
        if self._now - now_ns > STEP_BACK:
            self._rewind(now_ns)
            self._now = now_ns
        self._now = max(self._now, now_ns)
        for track in self._waiting:
            track.absence.woke(self._now)
            self._arm(track)
        self._waiting.clear()
        out = [saying.farewell(self._id(), self._now, face) for face in self._closing]
        self._closing.clear()
        return out

    def _woke(self, now_ns: int) -> None:
        for track in self._tracks.values():
            if isinstance(track, Missing):
                track.absence.woke(now_ns)

    def _rewind(self, now_ns: int) -> None:
        for line in self._roster.lines.values():
            line.rewind(now_ns)
        for track in self._tracks.values():
            track.rewind(now_ns)
        if self._ticked is not None:
            self._ticked = min(self._ticked, now_ns)
        self._rearm()

    def _rearm(self) -> None:
        self._due.clear()
        for track in self._tracks.values():
            track.armed_ns = None
            self._arm(track)

    def _arm(self, track: Track) -> None:
        """Note when it wants to be asked. An earlier note stays: it only asks too soon."""
        due = track.due()
        if due is not None and (track.armed_ns is None or due < track.armed_ns):
            track.armed_ns = due
            heapq.heappush(self._due, (due, track.key))

    def _due_by(self, now_ns: int) -> list[Track]:
        """Those that are due, in an order that does not depend on what was noted when."""
        found: dict[str, int] = {}
        while self._due and self._due[0][0] <= now_ns:
            noted, key = heapq.heappop(self._due)
            track = self._tracks[key]
            if track.armed_ns != noted:
                continue
            track.armed_ns = None
            due = track.due()
            if due is not None and due <= now_ns:
                found[key] = due
            else:
                self._arm(track)
        return [self._tracks[key] for key in sorted(found, key=lambda key: (found[key], key))]

    # -- what goes out --------------------------------------------------------------------

    def _note(self, track: Track, steps: Steps, out: list[Transition]) -> None:
        """Book the machine's steps and turn them into transitions."""
        for step in steps:
            if track.rule.means == "down":
                self._book_down(track)
            self._shown.add(track.key)
            out.append(self._transition(track, step))
        self._arm(track)

    def _book_down(self, track: Track) -> None:
        downs = self._down.setdefault(track.device, set())
        if track.alert.state.resting:
            downs.discard(track.key)
        else:
            downs.add(track.key)

    def _transition(self, track: Track, step: Step) -> Transition:
        told: tuple[str, ...] = ()
        if step.after is State.FIRING and not step.before.up:
            track.cause = self._cause(track)
            track.told = not track.cause and self._silence(track) is None
            if track.told:
                told = track.rule.notify
            else:
                self._held.add(track.key)
                track.held_ns = self._now + (SETTLE if track.cause else 0)
        elif step.after is State.ACKNOWLEDGED:
            track.told = True
            self._held.discard(track.key)
        cause = track.cause
        if step.after.resting:
            if track.told and self._silence(track) is None:
                told = track.rule.notify
            self._held.discard(track.key)
            track.told, track.cause = False, ""
        return self._say(track, step, told, cause)

    def _release(self, track: Track, out: list[Transition]) -> None:
        """Tell people about an alert that was held back, once nothing holds it any more."""
        cause = self._cause(track)
        if cause:
            track.cause, track.held_ns = cause, self._now + SETTLE
            return
        if self._silence(track) is not None or self._now < track.held_ns:
            return
        why = "its cause is over" if track.cause else "no longer silenced"
        track.told, track.cause = True, ""
        self._held.discard(track.key)
        state = track.alert.state
        out.append(self._say(track, Step(state, state, why=why), track.rule.notify, ""))

    def _say(self, track: Track, step: Step, notify: tuple[str, ...], cause: str) -> Transition:
        thing = self._roster.thing(track.device)
        state = self._data_state(track)
        return saying.transition(self._id(), self._now, track, thing, step, state, notify, cause)

    def _id(self) -> str:
        self._count += 1
        return f"{self._record}-{self._count - 1}"

    # -- what explains and what silences ------------------------------------------------------

    def _cause(self, track: Track) -> str:
        """The alert of the nearest thing that is known (or about to be known) as down.

        Only unreachability is explained that way: a high reading that did arrive is no
        consequence of a dead router, whoever the parent is.
        """
        rule = track.rule
        if not rule.when.is_absence and rule.means != "down":
            return ""
        own = () if rule.means == "down" else (track.device,)
        for device in (*own, *self._roster.topology.ancestors(track.device)):
            keys = self._down.get(device)
            if keys:
                return min(keys, key=lambda key: (not self._tracks[key].alert.state.up, key))
        return ""

    def _silence(self, track: Track) -> Silence | None:
        """The silence that holds it longest."""
        if not self._silences:
            return None
        rule = track.rule
        attributes = self._roster.attributes(track.device, track.tags)
        attributes |= {"rule": rule.name, "severity": rule.severity, "key": track.key}
        found = [
            silence
            for silence in self._silences.values()
            if silence.until_ns > self._now and silence.matcher.matches(attributes)
        ]
        return max(found, key=lambda silence: (silence.until_ns, silence.id), default=None)

    def _data_state(self, track: Track) -> DataState:
        state = track.data_state(self._now)
        if state in (DataState.STALE, DataState.NO_DATA):
            own = set() if track.rule.means == "down" else {track.device}
            if any(
                self._down.get(d) for d in (*own, *self._roster.topology.ancestors(track.device))
            ):
                return DataState.SOURCE_DOWN
        return state

    # -- snapshot and restore -------------------------------------------------------------------

    def _face(self, track: Track) -> dict[str, Any]:
        return saying.face(self._now, track, self._roster.thing(track.device))

    def snapshot(self) -> dict[str, Any]:
        """All that it remembers, as plain data that msgpack can hold."""
        return {
            "version": VERSION,
            "now": self._now,
            "ticked": self._ticked,
            "record": [self._record, self._count],
            "rules": {rule.name: rule.meaning() for rule in self._roster.rules},
            "things": sorted(self._roster.things),
            "silences": [silence.plain() for silence in self._silences.values()],
            "closing": list(self._closing),
            "tracks": [
                [
                    *(track.rule.name, track.device, track.series_key),
                    *(track.dump_alert(), track.dump()),
                    None if track.calm else self._face(track),
                ]
                for track in self._tracks.values()
            ],
            "beside": [
                [series_key, field, line.value, *line.dump()]
                for (series_key, field, whose), line in self._roster.lines.items()
                if whose == BESIDE
            ],
        }

    @classmethod
    def restore(
        cls,
        rules: Sequence[Rule],
        things: Iterable[Thing],
        snapshot: Mapping[str, Any],
        *,
        late_after_ns: int = LATE_AFTER,
    ) -> Watch:
        """Go on from a snapshot, perhaps with other rules or things.

        Raises `ValueError` for a snapshot of another version.
        """
        if snapshot.get("version") != VERSION:
            raise ValueError(
                f"the snapshot of the rules has version {snapshot.get('version')!r}, "
                f"this hub reads {VERSION}: replay the log from its start"
            )
        watch = cls(rules, things, late_after_ns=late_after_ns)
        watch._now, watch._ticked = snapshot["now"], snapshot["ticked"]
        watch._record, watch._count = snapshot["record"]
        watch._silences = {s.id: s for s in map(Silence.read, snapshot["silences"])}
        watch._closing = [dict(face) for face in snapshot["closing"]]
        watch._take_over(snapshot)
        watch._settle_in()
        return watch

    def _take_over(self, snapshot: Mapping[str, Any]) -> None:
        """Give each track its state back, or note that its alert must be closed."""
        roster, meanings = self._roster, snapshot["rules"]
        rules = {rule.name: rule for rule in roster.rules}
        same = {name for name, rule in rules.items() if meanings.get(name) == rule.meaning()}
        gone = set(snapshot["things"]) - set(roster.things)
        for name, device, series_key, alert, state, face in snapshot["tracks"]:
            found = None
            if name in same and device not in gone:
                found = roster.find(rules[name], device, series_key)
            if found is not None:
                found.load_alert(alert)
                found.load(state)
            elif face:
                why = why_gone(rules.get(name), same=name in same, device_gone=device in gone)
                self._closing.append({**face, "why": why})
        for series_key, field, value, *freshness in snapshot.get("beside", ()):
            line = roster.lines.get((series_key, field, BESIDE))
            if line is not None:
                line.value = value
                line.load(*freshness)

    def _settle_in(self) -> None:
        """Rebuild what follows from the tracks."""
        absences = (track for track in self._tracks.values() if isinstance(track, Missing))
        self._waiting = [track for track in absences if track.waiting]
        self._shown, self._held, self._down = set(), set(), {}
        for track in self._tracks.values():
            state = track.alert.state
            if state is not State.OK:
                self._shown.add(track.key)
            if track.rule.means == "down" and not state.resting:
                self._book_down(track)
            if state is State.FIRING and not track.told:
                self._held.add(track.key)
        self._rearm()


_SEVERITY = {"critical": 0, "warning": 1, "info": 2}
_STATE = {"firing": 0, "acknowledged": 1, "pending": 2, "resolved": 3}


def _urgency(alert: Alert) -> tuple[int, int, int, str]:
    return _STATE[alert.state], _SEVERITY[alert.severity], -alert.since_ns, alert.key
