"""Puts alerts into words and records: titles filled in, transitions and alerts made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rules.act import Silence
from rules.alert import DataState, State, Step
from rules.rule import LANGUAGES, Rule, Text
from rules.text import cut_off, detail, fill, values
from rules.thing import Thing
from rules.track import Comparing, Joint, Missing
from rules.transition import Alert, Transition

Track = Comparing | Joint | Missing


def texts(track: Track, thing: Thing, value: float | None) -> tuple[Text, Text]:
    """Title and advice with names and values filled in."""
    return worded(track.rule, thing, dict(track.tags), value)


def worded(
    rule: Rule, thing: Thing, tags: Mapping[str, str], value: float | None
) -> tuple[Text, Text]:
    """The same for any series of the thing."""
    names = {**tags, **thing.names()}
    both = [
        values(rule, value, language) | names | {"cut_off": cut_off(thing.cut_off, language)}
        for language in LANGUAGES
    ]
    title, advice = (
        Text(*(fill(text, known) for text, known in zip(form, both, strict=True)))
        for form in (rule.title, rule.advice)
    )
    return title, advice


def transition(
    id_: str,
    now_ns: int,
    track: Track,
    thing: Thing,
    step: Step,
    data_state: DataState,
    notify: tuple[str, ...],
    cause: str,
) -> Transition:
    """The record of one step."""
    value = track.value_at(now_ns)
    title, advice = texts(track, thing, value)
    return Transition(
        id=id_,
        time_ns=now_ns,
        key=track.key,
        rule=track.rule.name,
        device=track.device,
        tags=dict(track.tags),
        before=str(step.before),
        after=str(step.after),
        severity=track.rule.severity,
        value=value,
        who=step.who,
        why=step.why,
        title=title.plain(),
        advice=advice.plain(),
        notify=notify,
        cause=cause,
        since_ns=track.since_ns,
        data_state=str(data_state),
        detail=detail(track.rule, value).plain(),
    )


def alert(
    now_ns: int,
    track: Track,
    thing: Thing,
    data_state: DataState,
    silence: Silence | None,
    cause: str,
    drags: int,
) -> Alert:
    """How it stands, for the board."""
    value = track.value_at(now_ns)
    title, advice = texts(track, thing, value)
    state, rule = track.alert, track.rule
    return Alert(
        key=track.key,
        rule=rule.name,
        device=track.device,
        name=thing.name or track.device,
        kind=thing.kind,
        site=thing.site,
        site_name=thing.site_name or thing.site,
        opd=thing.opd,
        opd_name=thing.opd_name or thing.opd,
        lat=thing.lat,
        lon=thing.lon,
        tags=dict(track.tags),
        state=str(state.state),
        data_state=str(data_state),
        severity=rule.severity,
        value=value,
        unit=rule.unit,
        since_ns=track.since_ns,
        until_ns=state.until_ns,
        title=title.plain(),
        advice=advice.plain(),
        detail=detail(rule, value).plain(),
        notify=rule.notify,
        acknowledged_by=state.who,
        comment=state.comment,
        silenced_until=silence.until_ns if silence else 0,
        silenced_by=silence.who if silence else "",
        cause=cause,
        drags=drags,
        means=rule.means,
        flapping=track.restless,
    )


def face(now_ns: int, track: Track, thing: Thing) -> dict[str, Any]:
    """What must be said of an alert when its rule is gone: plain data, kept in the snapshot."""
    value = track.value_at(now_ns)
    title, advice = texts(track, thing, value)
    return {
        "key": track.key,
        "rule": track.rule.name,
        "device": track.device,
        "tags": dict(track.tags),
        "before": str(track.alert.state),
        "severity": track.rule.severity,
        "value": value,
        "title": title.plain(),
        "advice": advice.plain(),
        "notify": list(track.rule.notify) if track.told else [],
        "since_ns": track.since_ns,
        "detail": detail(track.rule, value).plain(),
    }


def farewell(id_: str, now_ns: int, kept: Mapping[str, Any]) -> Transition:
    """The last transition of an alert whose rule or device is gone; `kept` is its face and why."""
    up = State(kept["before"]).up
    return Transition(
        id=id_,
        time_ns=now_ns,
        after=str(State.RESOLVED if up else State.OK),
        who="",
        cause="",
        **{**kept, "notify": tuple(kept["notify"])},
    )
