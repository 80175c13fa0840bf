"""What happened, what people did, who is on duty: the backend's lists in the shapes of `views`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hub.edges import Judged
from hub.inventory import Inventory
from hub.notify.onduty import TeamNow, Turn
from hub.proposals import Found, Proposed, document
from hub.web import views
from rules.matching import Matcher

MOST_PROPOSALS = 500
"""Shown; the file has all of them."""


def ms(time_ns: int) -> int:
    return time_ns // 1_000_000


def history(items: Sequence[Mapping[str, Any]]) -> list[views.HistoryItem]:
    return [
        views.HistoryItem(
            id=str(one["id"]),
            time_ms=ms(int(one["time_ns"])),
            key=str(one["key"]),
            rule=str(one["rule"]),
            device=str(one.get("device", "")),
            before=str(one["before"]),
            after=str(one["after"]),
            severity=str(one.get("severity", "")),
            value=one.get("value"),
            who=str(one.get("who", "")),
            why=str(one.get("why", "")),
            title=dict(one.get("title", {})),
            detail=dict(one.get("detail", {})),
            cause=str(one.get("cause", "")),
        )
        for one in items
    ]


def acts(items: Sequence[Mapping[str, Any]]) -> list[views.ActItem]:
    return [
        views.ActItem(
            time_ms=ms(int(one["time_ns"])),
            kind=str(one["kind"]),
            who=str(one["who"]),
            why=str(one["why"]),
            key=str(one["key"]),
            matcher=Matcher(one["matcher"]).plain(),
            until_ms=ms(int(one["until_ns"])) if one.get("until_ns") else None,
            id=str(one["id"]),
        )
        for one in items
    ]


def teams(items: Sequence[TeamNow]) -> list[views.TeamInfo]:
    return [
        views.TeamInfo(
            id=one.id,
            name=one.name,
            now=_turn(one.now),
            next=_turn(one.next),
            channels=list(one.channels),
            open=one.open,
            acknowledged=one.taken,
            handover_title={language: title for language, (title, _) in one.handover.items()},
            handover={language: text for language, (_, text) in one.handover.items()},
        )
        for one in items
    ]


def _turn(one: Turn | None) -> views.TurnInfo | None:
    return one and views.TurnInfo(one.person, one.name, ms(one.since_ns), ms(one.until_ns))


def explanations(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """With times that JavaScript can hold."""
    return [
        {
            **one,
            "since_ms": ms(one["since_ns"]) or None,
            "silenced_until_ms": ms(one["silenced_until_ns"]) or None,
        }
        for one in items
    ]


def events(items: Sequence[Mapping[str, Any]]) -> list[views.EventItem]:
    return [
        views.EventItem(
            time_ms=ms(int(one["time_ns"])),
            device=str(one["device"]),
            name=str(one["name"]),
            text=str(one.get("text", "")),
            collector=str(one.get("collector", "")),
            said=dict(one.get("said", {})),
        )
        for one in items
    ]


def proposals(found: Found, inventory: Inventory) -> views.Proposals:
    items = [_proposal(one) for one in found.listed[:MOST_PROPOSALS]]
    dismissed = [
        views.DismissedItem(_proposal(one), said.who, said.why, ms(said.time_ns))
        for one, said in found.dismissed[:MOST_PROPOSALS]
    ]
    return views.Proposals(items, len(found.listed), document(found, inventory), dismissed)


def _proposal(one: Proposed | Judged) -> views.ProposalItem:
    if isinstance(one, Proposed):
        return views.ProposalItem(
            key=one.key,
            what="device",
            device=one.device,
            other="",
            by=one.collector,
            port="",
            text=one.text,
            first_ms=ms(one.first_ns),
            last_ms=ms(one.last_ns),
        )
    return views.ProposalItem(
        key=one.key,
        what=str(one.word),
        device=one.edge.device,
        other=one.edge.neighbour,
        by=one.edge.by,
        port=one.edge.port,
        text=one.edge.name,
        first_ms=None,
        last_ms=ms(one.edge.seen_ns),
    )


def silences(items: Sequence[Mapping[str, Any]]) -> list[views.SilenceInfo]:
    return [
        views.SilenceInfo(
            id=str(one["id"]),
            matcher={
                key: [value] if isinstance(value, str) else list(value)
                for key, value in one.get("matcher", {}).items()
            },
            who=str(one.get("who", "")),
            why=str(one.get("why", "")),
            until_ms=ms(int(one["until_ns"])) if one.get("until_ns") else None,
        )
        for one in items
    ]
