"""Other rules or things for tracks that live: a reload without the detour over a snapshot."""

from __future__ import annotations

from hub.reading import Series
from rules.roster import Roster, Track
from rules.rule import Rule
from rules.track import Comparing, Joint, Missing

Ended = list[tuple[Track, str]]


def adopt(now: Roster, before: Roster) -> Ended:
    """Go on with the tracks of another roster whose rule means the same and still covers them.

    The others come back, each with why it ended. Plans are found anew as series are met.
    """
    was = {rule.name: rule for rule in before.rules}
    rules = {rule.name: rule for rule in now.rules}
    same = {name for name, rule in rules.items() if name in was and rule.means_the_same(was[name])}
    moved = {id for id in before.things if now.things.get(id) != before.things[id]}
    moved |= now.things.keys() - before.things.keys()
    ended: Ended = []
    kept: list[Comparing] = []
    joints: list[Joint] = []
    for track in before.tracks.values():
        name, device = track.rule.name, track.device
        if name in same and isinstance(track, Joint):
            joints.append(track)
        elif name in same and (device not in moved or _covers(now, rules[name], track)):
            track.rule = rules[name]
            now.add(track)
            if isinstance(track, Comparing):
                kept.append(track)
        else:
            gone = device in before.things and device not in now.things
            ended.append((track, why_gone(rules.get(name), same=name in same, device_gone=gone)))
    _take_lines(now, before, kept)
    for joint in joints:
        if not _join(now, rules[joint.rule.name], joint):
            gone = joint.device in before.things and joint.device not in now.things
            ended.append((joint, why_gone(joint.rule, same=True, device_gone=gone)))
    for of_line, line in now.lines.items():
        if of_line in before.lines and before.lines[of_line] is not line:
            line.load(before.lines[of_line].dump())
    return ended


def _covers(now: Roster, rule: Rule, track: Track) -> bool:
    if isinstance(track, Missing):
        return track.key in now.tracks
    series = Series.parse(track.series_key)
    if not now.judges(series.measurement, series.device):
        return False
    return rule.where.matches(now.attributes(series.device, series.tags))


def _take_lines(now: Roster, before: Roster, kept: list[Comparing]) -> None:
    """The lines that are still asked or looked at, without what nobody asks any more."""
    asked = {id(track.question): track.question for track in kept}
    for question in asked.values():
        question.rank = now.rank(question.owner.rule, question.rank[1])
    looked_at = {id(line) for question in asked.values() for line in question.lines()}
    for of_line, line in before.lines.items():
        if id(line) in looked_at:
            line.keep(asked.keys())
            now.lines[of_line] = line


def _join(now: Roster, rule: Rule, before: Joint) -> bool:
    """Ask again what a joint alert asked; False: nothing of it is covered any more."""
    state = before.dump()
    for member, series_key, _ in state:
        now.find_question(rule, Joint.part_of(rule, member), series_key)
    track = now.find(rule, before.device, "")
    if track is None:
        return False
    track.load(state)
    track.load_alert(before.dump_alert())
    return True


def why_gone(rule: Rule | None, *, same: bool, device_gone: bool) -> str:
    """Why a reload closes an alert."""
    if device_gone:
        return "the device was removed"
    if rule is None:
        return "the rule was removed"
    return "the rule no longer covers it" if same else "the rule was changed"
