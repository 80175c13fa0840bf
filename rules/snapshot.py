"""The memory of all tracks and lines as plain data, and back: into the same rules, or others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rules import saying
from rules.adopting import why_gone
from rules.roster import Roster, Track
from rules.rule import Rule
from rules.track import Joint

VERSION = 3

Plain = dict[str, Any]
Gather = Callable[[Iterable[list[Any]]], Any]


def take(roster: Roster, now_ns: int, gather: Gather = list) -> Plain:
    """What `take_over` needs of the rules; msgpack can hold it.

    `gather` makes a list of the many that there are of lines and tracks, or something that is one
    when it is read back.
    """
    return {
        "version": VERSION,
        "rules": {rule.name: rule.meaning() for rule in roster.rules},
        "things": sorted(roster.things),
        "lines": gather([*key, line.dump()] for key, line in roster.lines.items() if line.heard),
        "tracks": gather(
            [
                *(track.rule.name, track.device, track.series_key),
                *(track.dump_alert(), track.dump()),
                None if track.calm else saying.face(now_ns, track, roster.thing(track.device)),
            ]
            for track in roster.tracks.values()
        ),
    }


def check(snapshot: Mapping[str, Any]) -> None:
    """Raises `ValueError` for a snapshot of another version."""
    if snapshot.get("version") != VERSION:
        raise ValueError(
            f"the snapshot of the rules has version {snapshot.get('version')!r}, "
            f"this hub reads {VERSION}: replay the log from its start"
        )


def take_over(roster: Roster, snapshot: Mapping[str, Any]) -> list[Plain]:
    """Give each track its state back; the faces of alerts that must be closed, and why."""
    meanings = snapshot["rules"]
    rules = {rule.name: rule for rule in roster.rules}
    same = {name for name, rule in rules.items() if meanings.get(name) == rule.meaning()}
    gone = set(snapshot["things"]) - set(roster.things)
    closing: list[Plain] = []
    for name, device, series_key, alert, state, face in snapshot["tracks"]:
        found = None
        if name in same and device not in gone:
            found = _find(roster, rules[name], device, series_key, state)
        if found is not None:
            found.load_alert(alert)
            found.load(state)
        elif face:
            why = why_gone(rules.get(name), same=name in same, device_gone=device in gone)
            closing.append({**face, "why": why})
    for series_key, field, own, state in snapshot["lines"]:
        line = roster.lines.get((series_key, field, own))
        if line is not None:
            line.load(state)
    return sorted(closing, key=lambda face: str(face["key"]))


def _find(roster: Roster, rule: Rule, device: str, series_key: str, state: Any) -> Track | None:
    """The track that this state belongs to; what a joint alert asks is asked again first."""
    if rule.is_joint:
        for member, of_series, _ in state:
            roster.find_question(rule, Joint.part_of(rule, member), of_series)
    return roster.find(rule, device, series_key)
