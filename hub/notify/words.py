"""What messages say, in Bahasa Indonesia and English, and times as people there write
them. Data and pure functions; numbers and durations are worded by `rules.text`."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Literal

from hub.clock import to_datetime
from rules.text import kind_of

Language = Literal["id", "en"]
LANGUAGES: tuple[Language, ...] = ("id", "en")

WORDS: dict[Language, dict[str, str]] = {
    "id": {
        "state.pending": "MENUNGGU",
        "state.firing": "AKTIF",
        "state.acknowledged": "DITANGANI",
        "state.resolved": "PULIH",
        "severity.info": "INFORMASI",
        "severity.warning": "PERINGATAN",
        "severity.critical": "KRITIS",
        "place": "Lokasi: {place}",
        "kecamatan": "Kecamatan {name}",
        "device": "Perangkat: {device}",
        "since": "Sejak: {since}",
        "resolved": "Pulih: {time}, setelah {duration}",
        "dependants": "Bergantung padanya: {things}",
        "advice": "Saran: {advice}",
        "by": "Oleh: {who}",
        "why": "Keterangan: {why}",
        "why.its cause is over": "penyebabnya sudah pulih, gangguan ini belum",
        "why.no longer silenced": "masa senyap sudah berakhir",
        "why.what it depends on was asked": "jalur ke sana sudah diperiksa lebih dulu dan tidak "
        "diketahui putus",
        "why.the rule was changed": "aturannya diubah",
        "why.the rule was removed": "aturannya dihapus",
        "why.refilled from the store": "aturan baru, dinilai dari data yang tersimpan",
        "why.the rule no longer covers it": "aturannya tidak lagi berlaku untuk ini",
        "why.the device was removed": "perangkatnya dihapus",
        "why.flapping": "hilang timbul; kabar berikutnya setelah tenang beberapa saat",
        "map": "Peta: {link}",
        "board": "Papan: {link}",
        "act.acknowledge": "Tangani: {link}",
        "act.silence": "Senyapkan 1 jam: {link}",
        "kind_of.escalation": "ESKALASI",
        "kind_of.reminder": "MASIH AKTIF",
        "told.escalation": "Belum ada yang menangani setelah {duration}.",
        "told.reminder": "Belum pulih dan belum ditangani setelah {duration}.",
        "group.things": "{number} {kind}",
        "group.devices": "{number} perangkat",
        "group.alerts": "{number} gangguan",
        "group.at": "{things} di {place}",
        "group.places": "{things} di {number} tempat",
        "group.line": "• {state} · {what} · {since}",
        "group.over": "• {state} · {what} · {since} – {until}",
        "group.more": "… dan {number} lagi: {where}",
        "group.held": "Ringkasan {number} kabar: {states}",
        "group.elsewhere": "tempat lain {number}",
        "handover.title": "Serah terima piket {team}: {person}",
        "handover.none": "Tidak ada gangguan terbuka.",
        "handover.open": "Gangguan terbuka: {number}, ditangani: {taken}.",
        "handover.from": "Piket sebelumnya: {person}.",
        "handover.line": "• {severity} · {what} · sejak {since}{taken}",
        "handover.taken": " · ditangani {who}",
        "handover.silences": "Sedang disenyapkan: {number}.",
        "collapsed.once": "Sudah pulih sebelum pesan ini dapat dikirim: "
        "aktif dari {first} sampai {time}.",
        "collapsed.many": "Pesan ini merangkum {number} perubahan sejak {first}; "
        "ini keadaan terakhir.",
        "instead": "Dikirim lewat saluran ini karena saluran {channel} gagal.",
        "trial.title": "Pesan uji dari Toba Hub",
        "trial.text": "Jika pesan ini terbaca, saluran {channel} berfungsi. "
        "Tidak ada yang perlu dilakukan.",
        "emergency.title": "DISK PENUH: Toba Hub tidak dapat mencatat apa pun",
        "emergency.text": "Kosongkan ruang sekarang: {why}",
        "weekdays": "Senin Selasa Rabu Kamis Jumat Sabtu Minggu",
        "months": "Januari Februari Maret April Mei Juni "
        "Juli Agustus September Oktober November Desember",
    },
    "en": {
        "state.pending": "PENDING",
        "state.firing": "FIRING",
        "state.acknowledged": "ACKNOWLEDGED",
        "state.resolved": "RESOLVED",
        "severity.info": "INFO",
        "severity.warning": "WARNING",
        "severity.critical": "CRITICAL",
        "place": "Place: {place}",
        "kecamatan": "Kecamatan {name}",
        "device": "Device: {device}",
        "since": "Since: {since}",
        "resolved": "Resolved: {time}, after {duration}",
        "dependants": "Depends on it: {things}",
        "advice": "Advice: {advice}",
        "by": "By: {who}",
        "why": "Comment: {why}",
        "why.its cause is over": "its cause is over, this alert isn't",
        "why.no longer silenced": "no longer silenced",
        "why.what it depends on was asked": "what it depends on was asked first and is not known "
        "to be down",
        "why.the rule was changed": "the rule was changed",
        "why.the rule was removed": "the rule was removed",
        "why.refilled from the store": "a new rule, judged by what was stored",
        "why.the rule no longer covers it": "the rule no longer covers it",
        "why.the device was removed": "the device was removed",
        "why.flapping": "it comes and goes; you hear again when it was quiet for a while",
        "map": "Map: {link}",
        "board": "Board: {link}",
        "act.acknowledge": "Acknowledge: {link}",
        "act.silence": "Silence for 1 hour: {link}",
        "kind_of.escalation": "ESCALATED",
        "kind_of.reminder": "STILL FIRING",
        "told.escalation": "Nobody has acknowledged it for {duration}.",
        "told.reminder": "Neither over nor acknowledged after {duration}.",
        "group.things": "{number} × {kind}",
        "group.devices": "{number} devices",
        "group.alerts": "{number} alerts",
        "group.at": "{things} at {place}",
        "group.places": "{things} at {number} places",
        "group.line": "• {state} · {what} · {since}",
        "group.over": "• {state} · {what} · {since} – {until}",
        "group.more": "… and {number} more: {where}",
        "group.held": "{number} messages in one: {states}",
        "group.elsewhere": "elsewhere {number}",
        "handover.title": "Hand-over of {team}: {person} is on duty",
        "handover.none": "No alert is open.",
        "handover.open": "Open alerts: {number}, acknowledged: {taken}.",
        "handover.from": "On duty before: {person}.",
        "handover.line": "• {severity} · {what} · since {since}{taken}",
        "handover.taken": " · acknowledged by {who}",
        "handover.silences": "Silenced now: {number}.",
        "collapsed.once": "It was over before this message could be sent: "
        "firing from {first} to {time}.",
        "collapsed.many": "This message sums up {number} changes since {first}; "
        "this is the latest state.",
        "instead": "Sent through this channel because channel {channel} failed.",
        "trial.title": "Test message from Toba Hub",
        "trial.text": "If you can read this, channel {channel} works. Nothing needs to be done.",
        "emergency.title": "DISK FULL: Toba Hub can write nothing down",
        "emergency.text": "Free some space now: {why}",
        "weekdays": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "months": "January February March April May June "
        "July August September October November December",
    },
}


def say(language: Language, key: str, **values: object) -> str:
    """The catalogue's text for `key`, with its `{placeholders}` filled in."""
    return WORDS[language][key].format(**values)


def label(language: Language, kind: str, word: str) -> str:
    """The catalogue's word for a state, severity or kind of device; else the word itself.

    Never an error: rules and inventory may know words that no catalogue has, and a message
    with a foreign word is better than none.
    """
    if kind == "kind":
        return kind_of(word, 1, language)
    return WORDS[language].get(f"{kind}.{word}", word)


def month(number: int, language: Language) -> str:
    """The name of a month, 1 to 12."""
    return say(language, "months").split()[number - 1]


def moment(time_ns: int, zone: tzinfo, language: Language) -> str:
    """Date and minute in the regency's zone: "Minggu, 22 November 2026 pukul 14.05 WIB"."""
    local = to_datetime(time_ns, zone)
    day = say(language, "weekdays").split()[local.weekday()]
    date = f"{day}, {local.day} {month(local.month, language)} {local.year}"
    return date + _clock(local, language)


def short(time_ns: int, zone: tzinfo, language: Language) -> str:
    """Day and minute where there are many: "22/11 14.05"."""
    local = to_datetime(time_ns, zone)
    return f"{local:%d/%m %H.%M}" if language == "id" else f"{local:%d/%m %H:%M}"


def _clock(local: datetime, language: Language) -> str:
    if language == "id":
        return f" pukul {local:%H.%M} {local.tzname()}"
    return f", {local:%H:%M} {local.tzname()}"
