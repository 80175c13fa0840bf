"""A transition of an alert becomes the words that one channel sends. Pure: no clock, no I/O.

    Transition + Facts + language + zone ─► Message ─► outbox ─► channel

A message carries all that its words were made of, so it can be worded again later: when it
was collapsed with others of its alert (`collapse`) or goes through another channel (`instead`).
Messages of several alerts in one are made in `group.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from hub.clock import NS
from hub.notify.words import Language, label, moment, say
from rules.text import counted, span
from rules.transition import Transition

NOTICES = ("trial", "handover", "digest", "emergency")
"""Kinds of messages that are about no alert of a device."""
NIGHT = "held"
"""The bunch of what waits for the morning; any other waits for company."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What inventory and rule know about the thing an alert is about. All of it may be unknown."""

    name: str = ""
    """The device's display name."""
    kind: str = ""
    opd: str = ""
    site: str = ""
    kecamatan: str = ""
    """Display names, not ids."""
    lat: float | None = None
    lon: float | None = None
    unit: str = ""
    """Unit of value and threshold: µg/m³, bit/s, s …"""
    threshold: float | None = None
    measured: bool = True
    """False: the value is a mere yes or no, which the title already says."""
    dependants: Mapping[str, int] = field(default_factory=dict)
    """Things that need this one and are cut off while it is down: kind → number."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one channel is to say about one transition."""

    key: str
    """Idempotency key. The same transition on the same channel always has the same one."""
    channel: str
    transition: str
    alert: str
    """Key of the alert; messages of one alert may be collapsed."""
    device: str
    rule: str
    tags: Mapping[str, str]
    state: str
    """pending, firing, acknowledged, resolved; or a kind of notice."""
    severity: str
    language: Language
    zone: str
    """IANA name of the zone in which people read times."""
    time_ns: int
    since_ns: int
    titles: Mapping[str, str]
    """The rule's own title and advice, filled in, per language."""
    advices: Mapping[str, str]
    details: Mapping[str, str] = field(default_factory=dict)
    """The value beside the limit, per language."""
    value: float | None = None
    who: str = ""
    why: str = ""
    facts: Facts = field(default_factory=Facts)
    link: str = ""
    """Where the alert can be seen; empty without a public URL."""
    acts: Mapping[str, str] = field(default_factory=dict)
    """Act → signed link to a page that asks whether to do it; empty without a public URL."""
    kind: str = ""
    """Empty: the news of a change. `escalation`, `reminder`: nothing changed, which is the news.
    `group`: about several alerts. Or one of `NOTICES`."""
    after_ns: int = 0
    """For an escalation or a reminder: how long it has been told without help."""
    bunch: str = ""
    """Messages of one channel with the same bunch go out as one; empty: always alone."""
    not_before_ns: int = 0
    """It waits for company, or for the morning; 0: send at once."""
    collapsed: int = 0
    """How many earlier messages of this alert this one replaces."""
    first_ns: int = 0
    """Since when in the first of those, 0 if none."""
    instead_of: str = ""
    """The channel that should have sent it."""
    title: str = ""
    text: str = ""


def make(
    transition: Transition,
    channel: str,
    facts: Facts,
    *,
    language: Language,
    zone: str,
    public_url: str = "",
    acts: Mapping[str, str] | None = None,
) -> Message:
    """The message that `channel` owes for this transition.

    The key holds the transition's time as well as its id: ids start again in a new data folder,
    and a receiver that remembers keys must not take a new alert for an old one.
    """
    base = public_url.rstrip("/")
    return worded(
        Message(
            key=f"{transition.id}.{transition.time_ns // NS}:{channel}",
            channel=channel,
            transition=transition.id,
            alert=transition.key,
            device=transition.device,
            rule=transition.rule,
            tags=dict(transition.tags),
            state=transition.after,
            severity=transition.severity,
            language=language,
            zone=zone,
            time_ns=transition.time_ns,
            since_ns=transition.since_ns,
            titles=dict(transition.title),
            advices=dict(transition.advice),
            details=dict(transition.detail),
            value=transition.value,
            who=transition.who,
            why=transition.why,
            facts=facts,
            link=f"{base}/device/{quote(transition.device, safe='')}" if base else "",
            acts=acts or {},
        )
    )


def notice(
    kind: str,
    key: str,
    channel: str,
    *,
    language: Language,
    zone: str,
    now_ns: int,
    title: str,
    text: str,
    about: str = "",
    severity: str = "info",
    link: str = "",
) -> Message:
    """A message about the hub or a team and no alert of a device, one of `NOTICES`. Its words stand
    as they are. `about` tells apart what must not be collapsed."""
    return Message(
        key=key,
        channel=channel,
        transition="",
        alert=about,
        device="hub",
        rule=kind,
        tags={},
        state=kind,
        severity=severity,
        language=language,
        zone=zone,
        time_ns=now_ns,
        since_ns=now_ns,
        titles={},
        advices={},
        kind=kind,
        link=link,
        title=title,
        text=text,
    )


def trial(channel: str, *, language: Language, zone: str, now_ns: int) -> Message:
    """A message that only proves that a channel works (`toba-hub notify test CHANNEL`)."""
    return notice(
        "trial",
        f"trial.{now_ns}:{channel}",
        channel,
        language=language,
        zone=zone,
        now_ns=now_ns,
        title=say(language, "trial.title"),
        text=say(language, "trial.text", channel=channel),
    )


def emergency(channel: str, why: str, *, language: Language, zone: str, now_ns: int) -> Message:
    """The one message that no outbox holds: the disk takes nothing any more."""
    return notice(
        "emergency",
        f"emergency.{now_ns}:{channel}",
        channel,
        language=language,
        zone=zone,
        now_ns=now_ns,
        severity="critical",
        title=say(language, "emergency.title"),
        text=say(language, "emergency.text", why=why),
    )


def collapse(earlier: Sequence[Message], last: Message) -> Message:
    """`last`, telling also what `earlier` messages of the same alert would have told."""
    if not earlier:
        return last
    firsts = [m.first_ns or m.since_ns for m in earlier]
    if last.first_ns:
        firsts.append(last.first_ns)
    number = last.collapsed + sum(1 + m.collapsed for m in earlier)
    return worded(replace(last, collapsed=number, first_ns=min(firsts)))


def instead(message: Message, channel: str) -> Message:
    """The same message for the fallback `channel`, saying why it comes from there."""
    stem = message.key[: -len(message.channel)]
    return worded(replace(message, key=stem + channel, channel=channel, instead_of=message.channel))


def again(message: Message, kind: str, number: int, after_ns: int, now_ns: int) -> Message:
    """The same news once more, as escalation or reminder `number`, under a key of its own."""
    stem = message.key[: -len(message.channel) - 1]
    return worded(
        replace(
            message,
            key=f"{stem}.{kind}{number}:{message.channel}",
            kind=kind,
            after_ns=after_ns,
            time_ns=now_ns,
        )
    )


def worded(message: Message) -> Message:
    """The message with title and text written from its facts; a notice's stand as they are."""
    if message.kind in NOTICES:
        return message
    return replace(message, title=_title(message), text="\n".join(_lines(message)))


def dump(message: Message) -> str:
    """As JSON, for the outbox."""
    return msgspec.json.encode(message).decode()


def load(text: str) -> Message:
    """From the outbox. Raises `msgspec.ValidationError` on a format that is not ours."""
    return msgspec.json.decode(text, type=Message)


def _title(m: Message) -> str:
    """One line: state, severity while it lasts, what. Line breaks would end a mail header."""
    parts = [label(m.language, "kind_of" if m.kind else "state", m.kind or m.state)]
    if m.state != "resolved":
        parts.append(label(m.language, "severity", m.severity))
    parts.append(in_language(m.titles, m.language) or m.rule)
    return " · ".join(" ".join(part.split()) for part in parts)


def _lines(m: Message) -> list[str]:
    def line(key: str, **values: object) -> str:
        return say(m.language, key, **values)

    zone = ZoneInfo(m.zone)
    lines = [in_language(m.details, m.language) if m.facts.measured else "", *where(m)]
    lines.append(line("since", since=moment(m.since_ns, zone, m.language)))
    if m.after_ns:
        lines.append(line(f"told.{m.kind}", duration=span(m.after_ns, m.language)))
    if m.state == "resolved":
        lasted = span(max(NS, m.time_ns - m.since_ns), m.language)
        lines.append(line("resolved", time=moment(m.time_ns, zone, m.language), duration=lasted))
    else:
        lines.append(_dependants(m))
    if m.who:
        lines.append(line("by", who=m.who))
    if m.why:
        lines.append(line("why", why=label(m.language, "why", m.why)))
    advice = in_language(m.advices, m.language)
    if advice and m.state == "firing":
        lines.append(line("advice", advice=advice))
    lines.append(_collapsed(m, zone))
    if m.instead_of:
        lines.append(line("instead", channel=m.instead_of))
    if m.facts.lat is not None and m.facts.lon is not None:
        lines.append(line("map", link=map_link(m.facts.lat, m.facts.lon)))
    if m.link:
        lines.append(line("board", link=m.link))
    lines += [line(f"act.{act}", link=link) for act, link in m.acts.items()]
    return [text for text in lines if text]


def where(m: Message) -> list[str]:
    """Device and place; a site that is named like its kecamatan is said once."""
    facts = m.facts
    known = [facts.opd, facts.site if facts.site != facts.kecamatan else ""]
    if facts.kecamatan:
        known.append(say(m.language, "kecamatan", name=facts.kecamatan))
    place = ", ".join(part for part in known if part)
    name = f"{facts.name} ({m.device})" if facts.name and facts.name != m.device else m.device
    details = ", ".join(value for tag, value in sorted(m.tags.items()) if tag != "device")
    return [
        say(m.language, "device", device=f"{name}, {details}" if details else name),
        say(m.language, "place", place=place) if place else "",
    ]


def map_link(lat: float, lon: float) -> str:
    """A page that every phone can open, with a mark at the place."""
    return (
        f"https://www.openstreetmap.org/?mlat={lat:.5f}&mlon={lon:.5f}#map=16/{lat:.5f}/{lon:.5f}"
    )


def _dependants(m: Message) -> str:
    things = counted(m.facts.dependants.items(), m.language)
    return say(m.language, "dependants", things=things) if things else ""


def _collapsed(m: Message, zone: ZoneInfo) -> str:
    if not m.collapsed:
        return ""
    first = moment(m.first_ns, zone, m.language)
    if m.collapsed == 1 and m.state == "resolved":
        time = moment(m.time_ns, zone, m.language)
        return say(m.language, "collapsed.once", first=first, time=time)
    return say(m.language, "collapsed.many", first=first, number=m.collapsed + 1)


def in_language(texts: Mapping[str, str], language: Language) -> str:
    """The text in that language, or in any other rather than none."""
    return texts.get(language) or next((text for text in texts.values() if text), "")
