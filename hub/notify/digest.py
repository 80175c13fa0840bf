"""The daily digest: what a day was like, for those who look at no board. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hub.notify.message import Message, notice
from hub.notify.words import Language
from rules.text import span

_WORDS: Mapping[Language, Mapping[str, str]] = {
    "id": {
        "title": "Ringkasan harian Toba Hub, {date}",
        "alerts": "Peringatan 24 jam terakhir: {opened} baru, {closed} selesai; {open} aktif.",
        "down": "Paling lama putus:",
        "line": "• {name}, {span}",
        "none": "Tidak ada perangkat yang putus.",
        "drops": "Data hilang atau ditolak sejak hub dimulai: {drops}.",
        "no_drops": "Tidak ada data yang hilang.",
        "store": "Penyimpanan: {store}. Jurnal: {journal} MiB, menunggu disimpan: {behind}.",
        "up": "berfungsi",
        "away": "TIDAK menerima data",
        "trouble": "Perhatian: {trouble}",
    },
    "en": {
        "title": "Toba Hub's daily digest, {date}",
        "alerts": "Alerts of the last 24 hours: {opened} new, {closed} over, {open} still on.",
        "down": "Down for longest:",
        "line": "• {name}, {span}",
        "none": "No device is down.",
        "drops": "Data lost or refused since the hub began: {drops}.",
        "no_drops": "No data was lost.",
        "store": "Store: {store}. Journal: {journal} MiB, waiting to be stored: {behind}.",
        "up": "works",
        "away": "takes NO readings",
        "trouble": "Look: {trouble}",
    },
}
DOWN = 5
"""Devices that are named."""


@dataclass(frozen=True, slots=True)
class Day:
    """What there is to tell."""

    opened: int
    closed: int
    open: int
    down: Sequence[tuple[str, int]] = ()
    """Name and how long (nanoseconds), the longest first."""
    drops: Mapping[str, int] = field(default_factory=dict)
    store_up: bool = True
    journal_mib: int = 0
    behind: int = 0
    """Records that wait for the store."""
    trouble: Sequence[str] = ()


def digest(
    day: Day, date: str, channel: str, *, language: Language, zone: str, now_ns: int, link: str = ""
) -> Message:
    """The message of one channel; its key makes it one a day, whatever restarts."""
    words = _WORDS[language]
    lines = [words["alerts"].format(opened=day.opened, closed=day.closed, open=day.open)]
    if day.down:
        lines.append(words["down"])
        lines += [
            words["line"].format(name=name, span=span(for_ns, language))
            for name, for_ns in day.down[:DOWN]
        ]
    else:
        lines.append(words["none"])
    drops = ", ".join(f"{reason} {number}" for reason, number in sorted(day.drops.items()))
    lines.append(words["drops"].format(drops=drops) if drops else words["no_drops"])
    store = words["up" if day.store_up else "away"]
    lines.append(words["store"].format(store=store, journal=day.journal_mib, behind=day.behind))
    lines += [words["trouble"].format(trouble=trouble) for trouble in day.trouble]
    if link:
        lines.append(link)
    return notice(
        "digest",
        f"digest.{date}:{channel}",
        channel,
        about=f"digest {date}",
        language=language,
        zone=zone,
        now_ns=now_ns,
        link=link,
        title=words["title"].format(date=date),
        text="\n".join(lines),
    )
