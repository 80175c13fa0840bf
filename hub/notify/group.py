"""Several alerts in one message: "3 sensor di Porsea". Pure.

    messages of one bunch ─► group()    their lane sends them as one
    open alerts           ─► handover() who comes on duty learns what is open

A group's key is made of the keys of what it holds, so the same messages give the same key, and a
group that is sent again after a crash is recognised.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hub.clock import NS
from hub.notify.message import Message, in_language, notice
from hub.notify.words import Language, label, say, short
from rules.transition import Transition

LINES = 15
"""So many alerts are named one by one; of the others their number and places are told."""
_PLACES = 5
_SEVERITIES = ("critical", "warning", "info")
_STATES = ("firing", "acknowledged", "resolved")

Open = tuple[Transition, str]
"""What was told and is not over, and who has acknowledged it."""


class Shift(NamedTuple):
    """One person's time on duty for a team, as it begins."""

    team: str
    person: str
    before: str
    """Who had it before; empty: nobody. All three as people call them."""
    open_alerts: Sequence[Open]
    silences: int
    """In force."""


def group(messages: Sequence[Message]) -> Message:
    """One message that tells what all of these would; each about another alert, one channel."""
    first = min(messages, key=_urgency)
    if len(messages) == 1:
        return first
    keys = "\n".join(sorted(message.key for message in messages))
    digest = hashlib.sha256(keys.encode()).hexdigest()[:16]
    return replace(
        first,
        key=f"group.{digest}:{first.channel}",
        kind="group",
        severity=min((m.severity for m in messages), key=_rank),
        since_ns=min(m.since_ns for m in messages),
        time_ns=max(m.time_ns for m in messages),
        acts={},
        collapsed=sum(m.collapsed for m in messages),
        title=_title(messages),
        text="\n".join(_lines(messages)),
    )


def handover(
    channel: str,
    key: str,
    shift: Shift,
    *,
    language: Language,
    zone: str,
    now_ns: int,
    link: str = "",
) -> Message:
    """What somebody who comes on duty must know."""
    lines = [_opening(shift.open_alerts, language)]
    if shift.before:
        lines.append(say(language, "handover.from", person=shift.before))
    lines += _still_open(shift.open_alerts, language, ZoneInfo(zone))
    if shift.silences:
        lines.append(say(language, "handover.silences", number=shift.silences))
    if link:
        lines.append(say(language, "board", link=link))
    return notice(
        "handover",
        key,
        channel,
        about=f"handover {shift.team}",
        language=language,
        zone=zone,
        now_ns=now_ns,
        link=link,
        title=say(language, "handover.title", team=shift.team, person=shift.person),
        text="\n".join(lines),
    )


def _opening(open_alerts: Sequence[Open], language: Language) -> str:
    if not open_alerts:
        return say(language, "handover.none")
    taken = sum(1 for _, who in open_alerts if who)
    return say(language, "handover.open", number=len(open_alerts), taken=taken)


def _still_open(open_alerts: Sequence[Open], language: Language, zone: ZoneInfo) -> Iterator[str]:
    """A line for each of the worst, and one for the others together."""
    by_urgency = sorted(open_alerts, key=lambda one: (_rank(one[0].severity), one[0].since_ns))
    for one, who in by_urgency[:LINES]:
        yield say(
            language,
            "handover.line",
            severity=label(language, "severity", one.severity),
            what=in_language(one.title, language) or one.rule,
            since=short(one.since_ns, zone, language),
            taken=say(language, "handover.taken", who=who) if who else "",
        )
    rest = Counter(one.device for one, _ in by_urgency[LINES:])
    if rest:
        yield _more(language, rest)


def _title(messages: Sequence[Message]) -> str:
    """ "AKTIF · KRITIS · 3 sensor di Porsea: PM2.5 tidak sehat"; of unlike ones their numbers."""
    language = messages[0].language
    states = Counter((m.kind or m.state) for m in messages)
    if len(states) > 1:
        told = ", ".join(
            f"{number} {_state(language, state)}"
            for state, number in sorted(states.items(), key=lambda one: _state_rank(one[0]))
        )
        return say(language, "group.held", number=len(messages), states=told)
    state = next(iter(states))
    parts = [_state(language, state)]
    if state != "resolved":
        worst = min((m.severity for m in messages), key=_rank)
        parts.append(label(language, "severity", worst))
    titles = {in_language(m.titles, language) for m in messages}
    things = _things(messages)
    parts.append(f"{things}: {titles.pop()}" if len(titles) == 1 else things)
    return " · ".join(" ".join(part.split()) for part in parts)


def _things(messages: Sequence[Message]) -> str:
    """ "3 sensor di Porsea", "7 gangguan di 4 tempat"."""
    language = messages[0].language
    devices = {m.device for m in messages}
    kinds = {m.facts.kind for m in messages}
    if len(devices) < len(messages):
        things = say(language, "group.alerts", number=len(messages))
    elif len(kinds) == 1 and "" not in kinds:
        kind = label(language, "kind", kinds.pop())
        things = say(language, "group.things", number=len(devices), kind=kind)
    else:
        things = say(language, "group.devices", number=len(devices))
    places = {_place(m) for m in messages}
    if len(places) > 1:
        return say(language, "group.places", things=things, number=len(places))
    place = places.pop()
    return say(language, "group.at", things=things, place=place) if place else things


def _lines(messages: Sequence[Message]) -> list[str]:
    language = messages[0].language
    by_urgency = sorted(messages, key=_urgency)
    lines = [_line(message) for message in by_urgency[:LINES]]
    rest = Counter(_place(m) or m.device for m in by_urgency[LINES:])
    if rest:
        lines.append(_more(language, rest))
    advices = {in_language(m.advices, language) for m in messages if m.state == "firing"}
    if len(advices) == 1 and (advice := advices.pop()):
        lines.append(say(language, "advice", advice=advice))
    instead_of = {m.instead_of for m in messages if m.instead_of}
    lines += [say(language, "instead", channel=name) for name in sorted(instead_of)]
    if messages[0].link:
        board = messages[0].link.partition("/device/")[0] + "/"
        lines.append(say(language, "board", link=board))
    return lines


def _line(m: Message) -> str:
    """State, what and where, since when; of what is over both times."""
    zone = ZoneInfo(m.zone)
    title, name = in_language(m.titles, m.language) or m.rule, m.facts.name or m.device
    parts = [title if name in title else f"{title} – {name}"]
    detail = in_language(m.details, m.language) if m.facts.measured else ""
    if detail and m.state != "resolved":
        parts.append(detail)
    what = ", ".join(parts)
    over = m.state == "resolved"
    return say(
        m.language,
        "group.over" if over else "group.line",
        state=_state(m.language, m.kind or m.state),
        what=" ".join(what.split()),
        since=short(m.first_ns or m.since_ns, zone, m.language),
        **({"until": short(m.time_ns, zone, m.language)} if over else {}),
    )


def _more(language: Language, places: Counter[str]) -> str:
    named = [f"{place} {number}" for place, number in places.most_common(_PLACES)]
    others = places.total() - sum(number for _, number in places.most_common(_PLACES))
    if others:
        named.append(say(language, "group.elsewhere", number=others))
    return say(language, "group.more", number=places.total(), where=", ".join(named))


def _place(m: Message) -> str:
    return m.facts.site or m.facts.kecamatan


def _state(language: Language, word: str) -> str:
    known = label(language, "state", word)
    return label(language, "kind_of", word) if known == word else known


def _rank(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def _state_rank(state: str) -> int:
    return _STATES.index(state) if state in _STATES else -1


def _urgency(m: Message) -> tuple[int, int, int, str]:
    """What burns first, then what is over; the oldest first."""
    return int(m.state == "resolved"), _rank(m.severity), m.since_ns // NS, m.key
