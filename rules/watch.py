"""The seam between the hub and the rules: readings, ticks and people's acts in, transitions out.

    watch = Watch(rules, things)
    for record in log:                       # in order; each call has the record's id and time
        watch.observe(id, readings, now_ns)  # readings
        watch.tick(id, now_ns)               # the clock: at least every `TICK_AT_MOST`
        watch.act(id, now_ns, act)           # a person
        watch.verdict(id, now_ns, device, up)  # what was asked (`questions`) was polled

Deterministic: the same calls give the same transitions, and `Watch.restore(rules, things,
snapshot)` goes on exactly where `snapshot()` was taken. When rules or things were changed in
between, alerts keep their state if their rule still means the same; others are closed, by a
transition that says so, at the next call. `reload` changes them without stopping.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hub.reading import Reading
from rules import saying, snapshot
from rules.act import OF_ALERTS, Act, Silence
from rules.adopting import adopt
from rules.agenda import Agenda
from rules.alert import Signal, State, Step
from rules.conditions import UNCHANGED
from rules.duration import HOUR, MINUTE, SECOND
from rules.explain import Explanation, explain, unheard
from rules.inquiry import Inquiry
from rules.matching import Matcher
from rules.refill import REFILLED, take_over
from rules.roster import Roster, Track
from rules.rule import Rule
from rules.telling import Telling
from rules.thing import Thing
from rules.track import NO_DOUBT, Comparing, Joint, Missing, Steps
from rules.transition import Alert, Transition, urgency

__all__ = ["Act", "Alert", "Silence", "Thing", "Transition", "Watch"]

LATE_AFTER = 5 * MINUTE
"""A reading that took longer than this to arrive is history; a thing may be allowed more."""

TICK_AT_MOST = MINUTE
"""A longer pause between ticks means that nobody listened: silence then is nobody's fault."""

STEP_BACK = SECOND
"""Time that runs back by more than this was set back."""

SHOW_RESOLVED = HOUR


class Watch:
    """All rules over all series. See the module's docstring."""

    def __init__(
        self, rules: Sequence[Rule], things: Iterable[Thing], *, late_after_ns: int = LATE_AFTER
    ) -> None:
        self._take(Roster(rules, things, late_after_ns))
        self._closing: list[dict[str, Any]] = []
        """Alerts whose rule went away: said at the next call."""
        self._refilled: dict[str, int] = {}
        """Keys of alerts that rest on what was read from the store, and until when."""
        self._now = 0
        self._ticked: int | None = None
        self._record, self._count = -1, 0

    def _take(self, roster: Roster) -> None:
        """Begin with these rules and things."""
        self._roster, self._tracks = roster, roster.tracks
        self._telling = Telling(roster)
        self._agenda = Agenda(roster.tracks)
        self._shown: set[str] = set()
        """Keys of alerts that were not ok lately."""
        self._waiting = [t for t in self._tracks.values() if isinstance(t, Missing)]
        """Absences that were not told yet since when to wait."""

    # -- what comes in ------------------------------------------------------------

    def observe(self, record_id: int, readings: Iterable[Reading], now_ns: int) -> list[Transition]:
        """Readings of one record, recorded at `now_ns`. Late and retained ones change nothing.

        The hot path of the whole hub, so it is one loop.
        """
        out: list[Transition] = []
        moved: dict[Joint, None] = {}
        plans_of, entered = self._roster.plans.get, False
        for series, time_ns, fields, quality in readings:
            plans = plans_of(series.key)
            plan = None if plans is None else plans.get(tuple(fields))
            if plan is None:
                plan = self._roster.meet(series, fields)
            signs, lines, late_after, deaf = plan
            if not signs and not lines:
                continue
            if not entered or self._waiting:
                out += self._enter(record_id, now_ns)
                entered, now = True, self._now
            if quality:
                quality = int(quality)
                if quality & deaf:
                    continue
                quality &= NO_DOUBT
            if time_ns < now - late_after:
                continue
            if time_ns > now + late_after:
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
                    for question, steps in line.read(value, fields, time_ns, now, quality):
                        self._answered(question.owner, steps, out, moved)
                    continue
                # In the quiet band no threshold is crossed: what `Line.read` does, and no calls.
                gap, twice = time_ns - newest, 2 * line.interval_ns
                line.interval_ns = gap if gap < twice or not twice else twice
                line.newest_ns, line.lag_ns = time_ns, now - time_ns
                line.quality, line.value = quality, value  # type: ignore[assignment]
                for question in line.windows:
                    edge = question.condition.feed(time_ns, value)  # type: ignore[arg-type]
                    if edge is not UNCHANGED:
                        steps = question.edge(edge, time_ns)
                        self._answered(question.owner, steps, out, moved)
                        line.settle()
            if moved:
                self._conclude(moved, out)
        return out

    def _answered(
        self,
        owner: Comparing | Joint,
        steps: Steps,
        out: list[Transition],
        moved: dict[Joint, None],
    ) -> None:
        self._note(owner, steps, out)
        if isinstance(owner, Joint) and owner.moved:
            moved[owner] = None

    def _conclude(self, moved: dict[Joint, None], out: list[Transition]) -> None:
        """The reading has moved all that it moves: what does that mean where several count?"""
        for joint in moved:
            self._note(joint, joint.conclude(self._now), out)
        moved.clear()

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
        if self._telling.inquiry.expire(now):
            # Before more is asked: who waits for these must not wait for those, too.
            self._release(self._telling.released(now), out)
        for track in self._agenda.due_by(now):
            self._note(track, track.tick(now), out)
        self._telling.forget_ended(now)
        self._release(self._telling.released(now), out)
        return out

    def verdict(
        self, record_id: int, now_ns: int, device: str, up: bool | None
    ) -> list[Transition]:
        """A device that was asked (or not) was polled: it answered, or it didn't; None: nobody
        knows how to ask it."""
        out = self._enter(record_id, now_ns)
        self._release(self._telling.answered(device, up, self._now), out)
        return out

    def questions(self) -> Mapping[str, int]:
        """Devices that should be polled now, and until when their verdict is waited for."""
        return self._telling.inquiry.open

    def act(self, record_id: int, now_ns: int, act: Act) -> list[Transition]:
        """A person did something. What can't be done (`Act.problem`) changes nothing."""
        out = self._enter(record_id, now_ns)
        if act.problem():
            return out
        if act.kind in ("silence", "maintenance"):
            matcher = Matcher(dict(act.matcher))
            silence = Silence(str(record_id), act.kind, act.who, act.why, matcher, act.until_ns)
            self._telling.hush(silence)
        elif act.kind == "unsilence":
            self._telling.unhush(act)
        elif act.kind in OF_ALERTS and act.key in self._tracks:
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
        before, telling = self._roster, self._telling
        self._take(Roster(rules, things, before.late_after_ns))
        self._telling.silences, self._telling.inquiry = telling.silences, telling.inquiry
        # In the order of their keys, so that no order of rules or inventory shows.
        for track, why in sorted(adopt(self._roster, before), key=lambda found: found[0].key):
            if not track.calm:
                face = saying.face(self._now, track, before.thing(track.device))
                out.append(saying.farewell(self._id(), self._now, {**face, "why": why}))
        self._settle_in()
        return out

    def refill(
        self, record_id: int, now_ns: int, past: Watch, until: Mapping[str, int]
    ) -> list[Transition]:
        """Rules that are new here take over what they know in `past`, which has judged what was
        stored before now. `until`: rule → when nothing of it counts any more."""
        out = self._enter(record_id, now_ns)
        found = sorted(take_over(self._roster, past._roster), key=lambda one: one[0].key)
        self._refilled = {key: end for key, end in self._refilled.items() if end > self._now}
        for track, steps in found:
            self._refilled[track.key] = until[track.rule.name]
            self._note(track, steps, out)
        return out

    # -- what is known --------------------------------------------------------------

    def alerts(self) -> list[Alert]:
        """All that is not ok, worst first; what was resolved stays for an hour."""
        old = self._now - SHOW_RESOLVED
        tracks = [self._tracks[key] for key in sorted(self._shown)]
        causes = {
            track.key: self._telling.cause(track)
            for track in tracks
            if not track.alert.state.resting
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
                self._telling.data_state(track, self._now),
                self._telling.silence(track, self._now),
                causes.get(track.key, ""),
                drags.get(track.key, 0),
            )
            for track in tracks
            if not track.calm
            or (track.alert.state is State.RESOLVED and track.alert.until_ns > old)
        ]
        return sorted(shown, key=urgency)

    def silences(self) -> list[Silence]:
        """The silences and maintenance windows in force."""
        return sorted(self._telling.silences.values(), key=lambda s: (s.until_ns, s.id))

    def explain(self, device: str, rule: str = "") -> list[Explanation]:
        """Why that device's alerts fire or don't, of one rule or of all that are about it."""
        thing = self._roster.thing(device)
        tracks = [t for t in self._roster.tracks_of(device) if rule in ("", t.rule.name)]
        found = [
            explain(
                self._now,
                track,
                saying.texts(track, thing, track.value_at(self._now))[0],
                self._telling.data_state(track, self._now),
                self._telling.silence(track, self._now),
                self._telling.cause(track),
                self._telling.inquiry.holds.get(track.key),
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
            self._agenda.note(track)
        self._waiting.clear()
        out = [saying.farewell(self._id(), self._now, face) for face in self._closing]
        self._closing.clear()
        return out

    def _woke(self, now_ns: int) -> None:
        for track in self._tracks.values():
            if isinstance(track, Missing):
                track.absence.woke(now_ns)
        self._telling.woke(now_ns)

    def _rewind(self, now_ns: int) -> None:
        for line in self._roster.lines.values():
            line.rewind(now_ns)
        for track in self._tracks.values():
            track.rewind(now_ns)
        if self._ticked is not None:
            self._ticked = min(self._ticked, now_ns)
        self._telling.inquiry.rewind(now_ns)
        self._agenda.rewrite()

    # -- what goes out --------------------------------------------------------------------

    def _note(self, track: Track, steps: Steps, out: list[Transition]) -> None:
        """Book the machine's steps and turn them into transitions."""
        for step in steps:
            self._telling.book(track)
            self._shown.add(track.key)
            told, cause = self._telling.told(track, step, self._now)
            out.append(self._say(track, step, told, cause))
        self._agenda.note(track)

    def _release(self, released: Iterable[tuple[Track, str]], out: list[Transition]) -> None:
        """Tell of what nothing holds back any more, and say what did."""
        for track, why in released:
            state = track.alert.state
            out.append(self._say(track, Step(state, state, why=why), track.rule.notify, ""))

    def _say(self, track: Track, step: Step, notify: tuple[str, ...], cause: str) -> Transition:
        thing = self._roster.thing(track.device)
        state = self._telling.data_state(track, self._now)
        if not step.why and not step.after.resting and self._refilled.get(track.key, 0) > self._now:
            step = step._replace(why=REFILLED)
        return saying.transition(self._id(), self._now, track, thing, step, state, notify, cause)

    def _id(self) -> str:
        self._count += 1
        return f"{self._record}-{self._count - 1}"

    # -- snapshot and restore -------------------------------------------------------------------

    def snapshot(self, gather: snapshot.Gather = list) -> dict[str, Any]:
        """All that it remembers, as plain data that msgpack can hold; `gather` as in `take`."""
        return {
            **snapshot.take(self._roster, self._now, gather),
            "now": self._now,
            "ticked": self._ticked,
            "record": [self._record, self._count],
            "silences": [silence.plain() for silence in self._telling.silences.values()],
            "inquiry": self._telling.inquiry.plain(),
            "closing": list(self._closing),
            "refilled": dict(self._refilled),
        }

    @classmethod
    def restore(
        cls,
        rules: Sequence[Rule],
        things: Iterable[Thing],
        state: Mapping[str, Any],
        *,
        late_after_ns: int = LATE_AFTER,
    ) -> Watch:
        """Go on from a snapshot, perhaps with other rules or things.

        Raises `ValueError` for a snapshot of another version.
        """
        snapshot.check(state)
        watch = cls(rules, things, late_after_ns=late_after_ns)
        watch._now, watch._ticked = state["now"], state["ticked"]
        watch._record, watch._count = state["record"]
        for silence in map(Silence.read, state["silences"]):
            watch._telling.hush(silence)
        if "inquiry" in state:  # before there was one, nothing was asked
            watch._telling.inquiry = Inquiry.read(state["inquiry"])
        closing = snapshot.take_over(watch._roster, state)
        watch._closing = [*map(dict, state["closing"]), *closing]
        watch._refilled = dict(state.get("refilled", {}))
        watch._settle_in()
        return watch

    def _settle_in(self) -> None:
        """Rebuild what follows from the tracks."""
        absences = (track for track in self._tracks.values() if isinstance(track, Missing))
        self._waiting = [track for track in absences if track.waiting]
        for track in self._tracks.values():
            state = track.alert.state
            if state is not State.OK:
                self._shown.add(track.key)
            self._telling.book(track)
            if state is State.FIRING and not track.told:
                self._telling.take_up(track)
        self._agenda.rewrite()
