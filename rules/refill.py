"""What new rules know of the past, given to those in force: see `past.py`."""

from __future__ import annotations

from collections.abc import Iterator

from rules.alert import State, Step
from rules.roster import Roster, Track
from rules.track import UNTOUCHED, Comparing, Joint

REFILLED = "refilled from the store"
"""Why an alert began: what it rests on was read from the store and not heard."""


def take_over(now: Roster, past: Roster) -> Iterator[tuple[Track, tuple[Step, ...]]]:
    """Give tracks that know nothing yet what those of the past know; each with the step that its
    alert takes by it."""
    for track in past.tracks.values():
        if isinstance(track, Comparing | Joint):
            found = _find(now, track)
            if found is not None and _blank(found):
                found.load(track.dump())
                yield found, _steps(found, track)
    for of_line, line in past.lines.items():
        mine = now.lines.get(of_line)
        if mine is not None and not mine.heard:
            mine.load(line.dump())


def _find(now: Roster, track: Comparing | Joint) -> Track | None:
    if isinstance(track, Joint):
        for member, series_key, _ in track.dump():
            now.find_question(track.rule, Joint.part_of(track.rule, member), series_key)
    return now.find(track.rule, track.device, track.series_key)


def _blank(track: Track) -> bool:
    """Nothing was ever judged by it."""
    questions = track.questions if isinstance(track, Joint) else [track.question]  # type: ignore[union-attr]  # no absence
    return track.alert is UNTOUCHED and all(one.condition.holds is None for one in questions)


def _steps(found: Track, track: Track) -> tuple[Step, ...]:
    """What is over in the past is nobody's business now."""
    alert = track.alert
    if alert.state.resting:
        return ()
    found.alert, found.calm = alert, False
    return (Step(State.OK, alert.state, why=REFILLED),)
