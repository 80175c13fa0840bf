"""The report's words in both languages, and how it writes numbers, lengths and times."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from hub.clock import NS, to_datetime
from hub.notify.words import Language
from hub.notify.words import month as named
from hub.report.model import Report
from hub.report.month import Month

WORDS: dict[str, dict[Language, str]] = {
    "title": {"id": "Laporan ketersediaan", "en": "Availability report"},
    "month": {"id": "Bulan", "en": "Month"},
    "period": {"id": "Masa", "en": "Period"},
    "made": {"id": "Dibuat", "en": "Made"},
    "so_far": {"id": "bulan ini belum selesai", "en": "the month is not over"},
    "zone": {"id": "zona waktu", "en": "time zone"},
    "opd": {"id": "Kantor (OPD)", "en": "Offices (OPD)"},
    "link": {"id": "Tautan (uplink)", "en": "Links (uplinks)"},
    "camera": {"id": "Kamera", "en": "Cameras"},
    "device": {"id": "Router dan perangkat lain", "en": "Routers and other devices"},
    "totals": {"id": "Ringkasan per sektor", "en": "Totals by sector"},
    "sector": {"id": "Sektor", "en": "Sector"},
    "number": {"id": "Jumlah", "en": "Number"},
    "bars": {"id": "Ketersediaan per OPD", "en": "Availability by office"},
    "calendar": {"id": "Gangguan per hari", "en": "Outages by day"},
    "name": {"id": "Nama", "en": "Name"},
    "place": {"id": "Tempat", "en": "Place"},
    "availability": {"id": "Tersedia", "en": "Available"},
    "target": {"id": "Target", "en": "Target"},
    "met": {"id": "tercapai", "en": "met"},
    "missed": {"id": "tidak tercapai", "en": "missed"},
    "unsure": {"id": "tidak diketahui", "en": "not known"},
    "before": {"id": "Bulan lalu", "en": "Month before"},
    "change": {"id": "Selisih", "en": "Change"},
    "outages": {"id": "Gangguan", "en": "Outages"},
    "up": {"id": "Hidup", "en": "Up"},
    "down": {"id": "Putus", "en": "Down"},
    "longest": {"id": "Terlama", "en": "Longest"},
    "longest_since": {"id": "mulai", "en": "began"},
    "mttr": {"id": "MTTR", "en": "MTTR"},
    "mtbf": {"id": "MTBF", "en": "MTBF"},
    "unknown": {"id": "Tidak diketahui", "en": "Unknown"},
    "maintenance": {"id": "Terencana", "en": "Planned"},
    "upstream": {"id": "Sebab di hulu", "en": "Upstream"},
    "absent": {"id": "Belum diawasi", "en": "Not watched"},
    "gap": {"id": "Jeda rekaman", "en": "Recording gap"},
    "planned": {"id": "Pekerjaan terencana", "en": "Planned work"},
    "what": {"id": "Apa", "en": "What"},
    "who": {"id": "Siapa", "en": "Who"},
    "why": {"id": "Alasan", "en": "Why"},
    "from": {"id": "Dari", "en": "From"},
    "to": {"id": "Sampai", "en": "To"},
    "deaf": {"id": "Hub tidak mendengar", "en": "The hub did not listen"},
    "never_deaf": {"id": "Hub mendengar sepanjang masa ini.", "en": "The hub listened all along."},
    "and_more": {"id": "dan {number} lagi", "en": "and {number} more"},
    "gone": {
        "id": "Tidak dihitung, karena sudah dihapus dari inventaris: {names}",
        "en": "Left out, since they are no longer in the inventory: {names}",
    },
    "nothing": {
        "id": "Tidak ada yang tercatat untuk bulan ini.",
        "en": "Nothing was recorded for this month.",
    },
    "none": {"id": "tidak ada", "en": "none"},
    "page": {"id": "halaman {number} dari {all}", "en": "page {number} of {all}"},
    "how": {"id": "Cara menghitung", "en": "How it is counted"},
    "how_share": {
        "id": "Tersedia = hidup / (hidup + putus), dipotong pada dua desimal. Lama ditulis "
        "jam:menit:detik.",
        "en": "Available = up / (up + down), cut at two decimals. Lengths are "
        "hours:minutes:seconds.",
    },
    "how_unknown": {
        "id": "Tidak diketahui: hub tidak mendengar, atau lima menit tanpa kabar. Tidak pernah "
        "dihitung putus.",
        "en": "Unknown: the hub did not listen, or nothing was heard for five minutes. Never "
        "counted as down.",
    },
    "how_excluded": {
        "id": "Pekerjaan terencana (toba-hub silence --maintenance, port yang sengaja dimatikan) "
        "dan sebab di hulu (router atau uplink yang dilalui putus) tidak dihitung, hanya "
        "ditampilkan.",
        "en": "Planned work (toba-hub silence --maintenance, ports shut on purpose) and upstream "
        "causes (the router or uplink it depends on was down) are left out and shown beside.",
    },
    "how_outage": {
        "id": "Satu gangguan berlangsung sampai terlihat hidup lagi; yang mulai bulan sebelumnya "
        "ikut dihitung. MTTR = putus / gangguan, MTBF = hidup / gangguan.",
        "en": "An outage lasts until it was seen up again; one that began in the month before "
        "counts too. MTTR = down / outages, MTBF = up / outages.",
    },
    "how_gap": {
        "id": "Jeda rekaman: waktu terlama tanpa rekaman, menurut kamera sendiri dan apa pun "
        "sebabnya; di bawah lima menit tidak dihitung, – berarti kamera tidak melaporkannya.",
        "en": "Recording gap: the longest time in which nothing was recorded, by the camera's own "
        "word and whatever the reason; under five minutes is none, – is a camera that doesn't say.",
    },
    "how_office": {
        "id": "Kantor hidup selama salah satu routernya hidup. Sektor dihitung menurut waktu semua "
        "anggotanya.",
        "en": "An office is up while one of its routers is. A sector is counted by the time of all "
        "its members.",
    },
}
HOW = ("how_share", "how_unknown", "how_excluded", "how_outage", "how_gap", "how_office")
NOTHING = "–"


class Speech:
    """One language and one time zone."""

    def __init__(self, language: Language, zone: str) -> None:
        self.language: Language = language
        self._zone = ZoneInfo(zone)

    def __call__(self, key: str, **values: object) -> str:
        return WORDS[key][self.language].format(**values)

    def month(self, month: Month) -> str:
        return f"{named(month.month, self.language)} {month.year}"

    def percent(self, hundredths: int | None, sign: str = "") -> str:
        """`99,87 %` of 9987; with `sign` `+` also a plus."""
        if hundredths is None:
            return NOTHING
        minus = "−" if hundredths < 0 else sign if hundredths > 0 else ""
        text = f"{minus}{abs(hundredths) // 100}.{abs(hundredths) % 100:02d}"
        return f"{text.replace('.', ',')} %" if self.language == "id" else f"{text}%"

    def target(self, percent: float) -> str:
        text = f"{percent:g}"
        return f"{text.replace('.', ',')} %" if self.language == "id" else f"{text}%"

    def length(self, length_ns: int | None) -> str:
        """`12:03:45`; fractions of a second are cut."""
        if length_ns is None:
            return NOTHING
        minutes, seconds = divmod(length_ns // NS, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d}"

    def time(self, time_ns: int, *, year: bool = False) -> str:
        """`14 Okt 03:12:45`."""
        moment = to_datetime(time_ns, self._zone)
        name = named(moment.month, self.language)
        day = f"{moment.day} {name if year else name[:3]}{f' {moment.year}' if year else ''}"
        return f"{day} {moment:%H:%M:%S}"

    def period(self, report: Report) -> str:
        start, stop = report.asked
        text = f"{self.time(start, year=True)} – {self.time(stop, year=True)}"
        return text if report.whole else f"{text} ({self('so_far')})"
