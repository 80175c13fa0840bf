"""Who is told of an alert, and what speaks against it: a cause that explains it, a silence, and
what it depends on as long as that was not asked (`inquiry.py`).

A notification that is held back is not lost: it goes out when nothing holds it any more and the
alert still fires.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rules.act import Act, Silence
from rules.alert import DataState, State, Step
from rules.duration import MINUTE, SECOND
from rules.inquiry import PATIENCE, TOLD_SINCE, Hold, Inquiry
from rules.matching import Matcher
from rules.roster import Roster, Track

SETTLE = 2 * MINUTE
"""When a cause is over, what it explained gets this long to recover before anybody is told: after a
power cut all boot at their own pace. What can't be asked gets the silence that its rule allows."""
UNDER_WAY = MINUTE
"""What began so soon after its cause was over may still belong to it: a poll that was under way."""

Teams = tuple[str, ...]


class Telling:
    """Silences, causes, and the alerts that wait to be told. All times are the hub's."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._tracks: Mapping[str, Track] = roster.tracks
        self._held: dict[str, set[str]] = {}
        """Device → keys of its firing alerts that nobody was told of."""
        self._down: dict[str, set[str]] = {}
        """Device → keys of its alerts that mean down."""
        self._were_down: dict[str, set[str]] = {}
        """Device → keys of all its alerts that mean down and ever took a step."""
        self.inquiry = Inquiry()
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
        self._were_down.setdefault(track.device, set()).add(track.key)
        if track.alert.state.resting:
            downs.discard(track.key)
        else:
            downs.add(track.key)

    def cause(self, track: Track) -> str:
        """The alert of the nearest thing that is known (or about to be known) as down.

        Only unreachability is explained that way: a high reading that did arrive is no
        consequence of a dead router, whoever the parent is.
        """
        if not _about_reach(track):
            return ""
        own = () if track.rule.means == "down" else (track.device,)
        for device in (*own, *self._needs(track)):
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
        if step.after is State.PENDING and _about_reach(track) and not self.cause(track):
            self.inquiry.ask(self._needs(track), now_ns)  # it is known by the time it fires
        elif step.after is State.FIRING and not step.before.up:
            track.cause = self.cause(track)
            hold = self._speaks_against(track, now_ns)
            track.told = hold is None
            if hold is None:
                told = track.rule.notify
            else:
                self._hold(track, hold)
        elif step.after is State.ACKNOWLEDGED:
            track.told = True
            self._let_go(track)
        cause = track.cause
        if step.after.resting:
            if track.told and self.silence(track, now_ns) is None:
                told = track.rule.notify
            self._let_go(track)
            track.told, track.cause = False, ""
        return told, cause

    def _speaks_against(self, track: Track, now_ns: int) -> Hold | None:
        """Why nobody is told of an alert that begins to fire, and until when; None: they are."""
        if track.cause:
            track.held_ns = now_ns + _grace(track)
            return Hold.CAUSED
        track.held_ns = now_ns
        if self.silence(track, now_ns) is not None:
            return Hold.SILENCED
        needs = self._needs(track)
        if not needs or not _about_reach(track):
            return None
        track.held_ns = now_ns + PATIENCE
        back_ns = max(map(self._back_ns, needs))
        if back_ns + UNDER_WAY <= track.since_ns:
            self.inquiry.ask(needs, now_ns)
            return Hold.ASKED
        # It could not be reached for a while because of another, and may not have been since.
        track.held_ns = max(track.held_ns, back_ns + _grace(track))
        self.inquiry.ask((track.device, *needs), now_ns)
        return Hold.AFTER

    def _back_ns(self, device: str) -> int:
        """When it was reached again after it had been down; 0: it never was."""
        keys = self._were_down.get(device, ())
        return max((self._tracks[key].alert.until_ns for key in keys), default=0)

    def take_up(self, track: Track) -> None:
        """It fires and nobody was told: taken over from a snapshot or by a reload."""
        known = Hold.CAUSED if track.cause else Hold.SILENCED
        self._hold(track, self.inquiry.holds.get(track.key, known))

    def _hold(self, track: Track, hold: Hold) -> None:
        self._held.setdefault(track.device, set()).add(track.key)
        self.inquiry.holds[track.key] = hold

    def _let_go(self, track: Track) -> None:
        keys = self._held.get(track.device, set())
        keys.discard(track.key)
        if not keys:
            self._held.pop(track.device, None)
        self.inquiry.holds.pop(track.key, None)

    @property
    def holds_back(self) -> bool:
        """Is any alert held back?"""
        return bool(self._held)

    def waiting_for(self, now_ns: int) -> list[int]:
        """When what is held back may be told at the earliest, as far as that lies ahead."""
        times = (self._tracks[key].held_ns for keys in self._held.values() for key in keys)
        return [held_ns for held_ns in times if held_ns > now_ns]

    def answered(self, device: str, up: bool | None, now_ns: int) -> list[tuple[Track, str]]:
        """A device was asked: does it live? None: nobody can say. As `released`, of those that it
        matters to."""
        self.inquiry.answered(device)
        if up is False:
            for key in self._held.get(device, ()):
                if self.inquiry.holds[key] is Hold.AFTER:
                    # It was asked: what may take longer to speak by itself need not be waited for.
                    track = self._tracks[key]
                    track.held_ns = min(track.held_ns, now_ns + SETTLE)
        if not self._held:
            return []
        return self.released(now_ns, (device, *self._roster.topology.descendants(device)))

    def released(
        self, now_ns: int, devices: Iterable[str] | None = None
    ) -> list[tuple[Track, str]]:
        """Alerts (of these devices, or all) that nothing holds back any more, and what did; they
        count as told now."""
        held = self._held if devices is None else [name for name in devices if name in self._held]
        keys = sorted(key for device in held for key in self._held[device])
        found = []
        for key in keys:
            track = self._tracks[key]
            hold = self._still(track, now_ns)
            if hold is None:
                found.append((track, TOLD_SINCE[self.inquiry.holds[key]]))
                track.told, track.cause = True, ""
                self._let_go(track)
            else:
                self.inquiry.holds[key] = hold
        return found

    def _still(self, track: Track, now_ns: int) -> Hold | None:
        """What holds it back now; None: nothing does."""
        hold = self.inquiry.holds[track.key]
        if hold is Hold.CAUSED and self._lasts(track):
            # Nearly all, while thousands are cut off: which cause is the nearest does not matter.
            track.held_ns = now_ns + _grace(track)
            return hold
        cause = self.cause(track)
        if cause and (hold is not Hold.AFTER or self._tracks[cause].alert.state.up):
            track.cause, track.held_ns = cause, now_ns + _grace(track)
            return Hold.CAUSED
        if cause:
            # It may come to nothing, as it did before: it makes nobody wait all over again.
            track.held_ns = max(track.held_ns, now_ns + SECOND)
            return hold
        if hold is Hold.CAUSED:
            self.inquiry.ask((track.device, *self._needs(track)), now_ns)
            hold = Hold.AFTER
        if self.silence(track, now_ns) is not None:
            return hold
        if hold is Hold.ASKED and not self.inquiry.waits_for(self._needs(track)):
            return None
        return hold if now_ns < track.held_ns else None

    def _lasts(self, track: Track) -> bool:
        """Is its cause still up, and still one? A reload may have changed what it depends on."""
        cause = self._tracks.get(track.cause)
        if cause is None or not cause.alert.state.up:
            return False
        return cause.device == track.device or cause.device in self._needs(track)

    def woke(self, now_ns: int) -> None:
        """Nobody listened for a while: nothing was answered, and what was over counts from now."""
        self.inquiry.open.clear()
        for keys in self._held.values():
            for key in keys:
                track, hold = self._tracks[key], self.inquiry.holds[key]
                if hold is Hold.SILENCED:
                    continue
                own = (track.device,) if hold is Hold.AFTER else ()
                if hold is not Hold.CAUSED:
                    self.inquiry.ask((*own, *self._needs(track)), now_ns)
                track.held_ns = now_ns + (PATIENCE if hold is Hold.ASKED else _grace(track))

    def _needs(self, track: Track) -> tuple[str, ...]:
        """All that its device depends on, nearest first."""
        return self._roster.topology.ancestors(track.device)


def _about_reach(track: Track) -> bool:
    """Can its device not being reached be all that it says?"""
    return track.rule.when.is_absence or track.rule.means == "down"


def _grace(track: Track) -> int:
    """How long it may take to show that it lives, once nothing is in its way, nanoseconds."""
    return max(SETTLE, track.rule.when.absent_ns)
