"""What messages say, in Bahasa Indonesia and English; numbers, times and durations as people
there write them. Data and pure functions."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Literal

from hub.clock import NS, to_datetime

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
        "value": "Nilai: {value}",
        "value.threshold": "Nilai: {value} (ambang {threshold})",
        "threshold": "Ambang: {threshold}",
        "place": "Lokasi: {place}",
        "kecamatan": "Kecamatan {name}",
        "device": "Perangkat: {device}",
        "since": "Sejak: {since}",
        "resolved": "Pulih: {time}, setelah {duration}",
        "affected": "Ikut terdampak: {things}",
        "advice": "Saran: {advice}",
        "by": "Oleh: {who}",
        "why": "Keterangan: {why}",
        "map": "Peta: {link}",
        "late.once": "Pesan ini terlambat: saluran sempat terputus. "
        "Gangguan aktif dari {first} sampai {time}.",
        "late.many": "Pesan ini terlambat: saluran sempat terputus. "
        "Sejak {first} ada {number} perubahan; ini keadaan terakhir.",
        "instead": "Dikirim lewat saluran ini karena saluran {channel} gagal.",
        "trial.title": "Pesan uji dari Toba Hub",
        "trial.text": "Jika pesan ini terbaca, saluran {channel} berfungsi. "
        "Tidak ada yang perlu dilakukan.",
        "kind.router": "router",
        "kind.switch": "switch",
        "kind.ap": "titik akses",
        "kind.sensor": "sensor",
        "kind.camera": "kamera",
        "kind.ups": "UPS",
        "day": "{n} hari",
        "hour": "{n} jam",
        "minute": "{n} menit",
        "second": "{n} detik",
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
        "value": "Value: {value}",
        "value.threshold": "Value: {value} (threshold {threshold})",
        "threshold": "Threshold: {threshold}",
        "place": "Place: {place}",
        "kecamatan": "Kecamatan {name}",
        "device": "Device: {device}",
        "since": "Since: {since}",
        "resolved": "Resolved: {time}, after {duration}",
        "affected": "Also affected: {things}",
        "advice": "Advice: {advice}",
        "by": "By: {who}",
        "why": "Comment: {why}",
        "map": "Map: {link}",
        "late.once": "This message is late: the channel was down. "
        "The alert was firing from {first} to {time}.",
        "late.many": "This message is late: the channel was down. "
        "Since {first} there were {number} changes; this is the latest state.",
        "instead": "Sent through this channel because channel {channel} failed.",
        "trial.title": "Test message from Toba Hub",
        "trial.text": "If you can read this, channel {channel} works. Nothing needs to be done.",
        "kind.router": "router",
        "kind.switch": "switch",
        "kind.ap": "access point",
        "kind.sensor": "sensor",
        "kind.camera": "camera",
        "kind.ups": "UPS",
        "day": "{n} d",
        "hour": "{n} h",
        "minute": "{n} min",
        "second": "{n} s",
        "weekdays": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "months": "January February March April May June "
        "July August September October November December",
    },
}


def say(language: Language, key: str, **values: object) -> str:
    """The catalogue's text for `key`, with its `{placeholders}` filled in."""
    return WORDS[language][key].format(**values)


def number(value: float, language: Language) -> str:
    """At most three decimals, fewer for big numbers: `1.234,5` (id), `1,234.5` (en)."""
    size = abs(value)
    decimals = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3
    text = f"{value:,.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.translate(str.maketrans(",.", ".,")) if language == "id" else text


def quantity(value: float, unit: str, language: Language) -> str:
    """A number with its unit: bit/s get a prefix, seconds become a duration, % stands close."""
    if unit == "s" and abs(value) >= 60:
        return duration(round(value * NS), language)
    if unit == "bit/s":
        for size, prefix in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
            if abs(value) >= size:
                return f"{number(value / size, language)} {prefix}"
    space = "" if unit in ("", "%") else " "
    return f"{number(value, language)}{space}{unit}"


def duration(span_ns: int, language: Language) -> str:
    """The two largest units that count: "2 jam 5 menit", "3 d 4 h"; never negative."""
    seconds = max(0, span_ns) // NS
    parts: list[str] = []
    for key, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, size)
        if count or (key == "second" and not parts):
            parts.append(say(language, key, n=count))
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def moment(time_ns: int, zone: tzinfo, language: Language) -> str:
    """Date and minute in the regency's zone: "Minggu, 22 November 2026 pukul 14.05 WIB"."""
    local = to_datetime(time_ns, zone)
    day = say(language, "weekdays").split()[local.weekday()]
    month = say(language, "months").split()[local.month - 1]
    return f"{day}, {local.day} {month} {local.year}{_clock(local, language)}"


def _clock(local: datetime, language: Language) -> str:
    if language == "id":
        return f" pukul {local:%H.%M} {local.tzname()}"
    return f", {local:%H:%M} {local.tzname()}"
