"""Who is told of an alert, and what speaks against it: a cause that explains it, a silence.

A notification that is held back is not lost: it goes out when nothing holds it any more and the
alert still fires.
"""

from __future__ import annotations

from collections.abc import Mapping

from rules.act import Act, Silence
from rules.alert import DataState, State, Step
from rules.duration import MINUTE
from rules.matching import Matcher
from rules.roster import Roster, Track

SETTLE = 2 * MINUTE
"""When a cause is over, what it explained gets this long to recover before anybody is told."""

Teams = tuple[str, ...]


class Telling:
    """Silences, causes, and the alerts that wait to be told. All times are the hub's."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._tracks: Mapping[str, Track] = roster.tracks
        self._held: set[str] = set()
        """Keys of firing alerts that nobody was told of."""
        self._down: dict[str, set[str]] = {}
        """Device → keys of its alerts that mean down."""
        self.silences: dict[str, Silence] = {}

    # -- silences -------------------------------------------------------------------------

    def hush(self, silence: Silence) -> None:
        self.silences[silence.id] = silence

    def unhush(self, act: Act) -> None:
        """Take a silence back, by its id or by its exact matcher."""
        matcher = Matcher(dict(act.matcher))
        for silence in list(self.silences.values()):
            if silence.id == act.key or (not act.key and silence.matcher == matcher):
                del self.silences[silence.id]

    def forget_ended(self, now_ns: int) -> None:
        for ended in [s.id for s in self.silences.values() if s.until_ns <= now_ns]:
            del self.silences[ended]

    def silence(self, track: Track, now_ns: int) -> Silence | None:
        """The silence that holds it longest."""
        if not self.silences:
            return None
        rule = track.rule
        attributes = self._roster.attributes(track.device, track.tags)
        attributes |= {"rule": rule.name, "severity": rule.severity, "key": track.key}
        found = [
            silence
            for silence in self.silences.values()
            if silence.until_ns > now_ns and silence.matcher.matches(attributes)
        ]
        return max(found, key=lambda silence: (silence.until_ns, silence.id), default=None)

    # -- causes -----------------------------------------------------------------------------

    def book(self, track: Track) -> None:
        """An alert took a step: does it explain others now?"""
        if track.rule.means != "down":
            return
        downs = self._down.setdefault(track.device, set())
        if track.alert.state.resting:
            downs.discard(track.key)
        else:
            downs.add(track.key)

    def cause(self, track: Track) -> str:
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

    def data_state(self, track: Track, now_ns: int) -> DataState:
        """How far its data can be believed, and whether that is a dead source's doing."""
        state = track.data_state(now_ns)
        if state in (DataState.STALE, DataState.NO_DATA):
            own = set() if track.rule.means == "down" else {track.device}
            if any(
                self._down.get(d) for d in (*own, *self._roster.topology.ancestors(track.device))
            ):
                return DataState.SOURCE_DOWN
        return state

    # -- who is told ---------------------------------------------------------------------------

    def told(self, track: Track, step: Step, now_ns: int) -> tuple[Teams, str]:
        """The teams to tell of this step, and what explains the alert."""
        told: Teams = ()
        if step.after is State.FIRING and not step.before.up:
            track.cause = self.cause(track)
            track.told = not track.cause and self.silence(track, now_ns) is None
            if track.told:
                told = track.rule.notify
            else:
                self._held.add(track.key)
                track.held_ns = now_ns + (SETTLE if track.cause else 0)
        elif step.after is State.ACKNOWLEDGED:
            track.told = True
            self._held.discard(track.key)
        cause = track.cause
        if step.after.resting:
            if track.told and self.silence(track, now_ns) is None:
                told = track.rule.notify
            self._held.discard(track.key)
            track.told, track.cause = False, ""
        return told, cause

    def hold(self, track: Track) -> None:
        """It fires and nobody was told: taken over from a snapshot."""
        self._held.add(track.key)

    @property
    def holds_back(self) -> bool:
        """Is any alert held back?"""
        return bool(self._held)

    def waiting_for(self, now_ns: int) -> list[int]:
        """When what is held back may be told at the earliest, as far as that lies ahead."""
        times = (self._tracks[key].held_ns for key in self._held)
        return [held_ns for held_ns in times if held_ns > now_ns]

    def released(self, now_ns: int) -> list[tuple[Track, str]]:
        """Alerts that nothing holds back any more, and what did; they count as told now."""
        found = []
        for key in sorted(self._held):
            track = self._tracks[key]
            cause = self.cause(track)
            if cause:
                track.cause, track.held_ns = cause, now_ns + SETTLE
            elif self.silence(track, now_ns) is None and now_ns >= track.held_ns:
                why = "its cause is over" if track.cause else "no longer silenced"
                track.told, track.cause = True, ""
                self._held.discard(key)
                found.append((track, why))
        return found
