"""What people read: words, numbers, times, in both languages."""

from __future__ import annotations

import string
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from hub.clock import NS
from hub.inventory import from_data
from hub.notify import facts
from hub.notify.message import Facts, collapse, dump, instead, load, make, trial
from hub.notify.words import LANGUAGES, WORDS, duration, moment, number, quantity
from tests.notify_support import FACTS, HOUR, MINUTE, NOON, ZONE, Change, message


def test_both_languages_have_every_key_with_the_same_placeholders() -> None:
    def placeholders(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert set(WORDS) == set(LANGUAGES)
    assert WORDS["id"].keys() == WORDS["en"].keys()
    for key, text in WORDS["id"].items():
        assert text.strip()
        assert placeholders(text) == placeholders(WORDS["en"][key]), key
    for language in LANGUAGES:
        assert len(WORDS[language]["weekdays"].split()) == 7
        assert len(WORDS[language]["months"].split()) == 12


def test_an_officer_reads_a_firing_alert_in_bahasa_indonesia() -> None:
    found = message(since_ns=NOON - 10 * MINUTE)
    assert found.title == "AKTIF · PERINGATAN · PM2.5 tidak sehat di Balige"
    assert found.text.split("\n") == [
        "Nilai: 62,34 µg/m³ (ambang 55,4 µg/m³)",
        "Perangkat: Sensor Udara Balige (aq1), pm",
        "Lokasi: Dinas Lingkungan Hidup, Kecamatan Balige",
        "Sejak: Minggu, 22 November 2026 pukul 11.55 WIB",
        "Saran: Kurangi kegiatan di luar.",
    ]


def test_the_end_of_an_alert_tells_how_long_it_lasted_and_no_advice() -> None:
    found = message(language="en", after="resolved", since_ns=NOON - 125 * MINUTE, value=40.0)
    assert found.title == "RESOLVED · PM2.5 unhealthy at Balige"
    assert "Since: Sunday, 22 November 2026, 10:00 WIB" in found.text
    assert "Resolved: Sunday, 22 November 2026, 12:05 WIB, after 2 h 5 min" in found.text
    assert "Stay indoors" not in found.text


def test_a_root_cause_tells_what_it_drags_along_and_a_link_needs_a_public_url() -> None:
    known = Facts(name="Router Camat", affected={"router": 1, "camera": 14, "robot": 2})
    change = Change(value=None, tags={"device": "r1"}, device="r 1")
    found = make(change, "x", known, language="id", zone=ZONE, public_url="https://kc.toba.go.id/")
    assert "Ikut terdampak: 1 router, 14 kamera, 2 robot" in found.text
    assert found.text.endswith("Peta: https://kc.toba.go.id/?device=r%201")
    assert "Peta" not in make(change, "x", known, language="id", zone=ZONE).text
    assert "Nilai" not in found.text


def test_who_took_it_on_is_named() -> None:
    found = message(after="acknowledged", who="Budi", why="menuju lokasi")
    assert found.title.startswith("DITANGANI")
    assert "Oleh: Budi\nKeterangan: menuju lokasi" in found.text


def test_unknown_placeholders_and_missing_languages_still_give_a_text() -> None:
    found = message(title={"id": "Naik {value} di {ruang}\nbaris"}, advice={}, language="en")
    assert found.title == "FIRING · WARNING · Naik 62.34 µg/m³ di {ruang} baris"
    assert message(title={}).title == "AKTIF · PERINGATAN · pm25_unhealthy"


def test_braces_in_a_tag_are_not_filled_in_again() -> None:
    found = message(title={"id": "{sensor}"}, tags={"device": "aq1", "sensor": "{value}{0}%s"})
    assert found.title.endswith("· {value}{0}%s")


def test_a_message_survives_the_outbox_unchanged() -> None:
    found = message()
    assert load(dump(found)) == found


def test_the_key_depends_on_transition_and_channel_only() -> None:
    assert message("a").key == message("a", value=1.0).key
    assert message("a").key != message("b").key
    assert message("a").key != message("a", id="7-1").key
    assert message("a").key != message("a", time_ns=NOON + NS).key


def test_an_alert_that_came_and_went_unheard_becomes_one_message_with_both_times() -> None:
    firing = message(since_ns=NOON - HOUR, time_ns=NOON - HOUR)
    resolved = message(id="9-0", after="resolved", since_ns=NOON - HOUR)
    one = collapse([firing], resolved)
    assert one.key == resolved.key
    assert "Gangguan aktif dari Minggu, 22 November 2026 pukul 11.05 WIB sampai " in one.text
    assert one.text.count("12.05 WIB") == 2
    assert collapse([], resolved) is resolved


def test_many_changes_unheard_tell_the_latest_state_and_their_number() -> None:
    first = message(since_ns=NOON - 3 * HOUR)
    over = message(id="8-0", after="resolved", since_ns=NOON - 3 * HOUR)
    again = message(id="9-0", since_ns=NOON - MINUTE)
    one = collapse([collapse([first], over)], again)
    assert one.collapsed == 2
    assert one.first_ns == NOON - 3 * HOUR
    assert "Sejak Minggu, 22 November 2026 pukul 09.05 WIB ada 3 perubahan" in one.text
    assert collapse([first, over], again).text == one.text


def test_a_fallback_says_whose_place_it_takes_and_has_a_key_of_its_own() -> None:
    found = instead(message("telegram"), "mail")
    assert found.key.endswith(":mail")
    assert found.channel == "mail"
    assert "karena saluran telegram gagal" in found.text


def test_a_trial_message_says_that_nothing_is_to_be_done() -> None:
    for language in LANGUAGES:
        found = trial("mail", language=language, zone=ZONE, now_ns=NOON)
        assert "mail" in found.text
        assert found.state == "trial"


@pytest.mark.parametrize(
    ("value", "in_id", "in_en"),
    [
        (62.345, "62,34", "62.34"),
        (0.0412, "0,041", "0.041"),
        (905.0, "905", "905"),
        (1234567.0, "1.234.567", "1,234,567"),
        (-3.5, "-3,5", "-3.5"),
        (0.0, "0", "0"),
        (100.0, "100", "100"),
    ],
)
def test_numbers_are_written_as_people_there_write_them(
    value: float, in_id: str, in_en: str
) -> None:
    assert number(value, "id") == in_id
    assert number(value, "en") == in_en


def test_units_are_made_readable() -> None:
    assert quantity(943_200_000, "bit/s", "id") == "943,2 Mbit/s"
    assert quantity(97.25, "%", "en") == "97.25%"
    assert quantity(7_500, "s", "id") == "2 jam 5 menit"
    assert quantity(45, "s", "en") == "45 s"
    assert quantity(3, "", "id") == "3"


def test_durations_name_the_two_largest_units() -> None:
    assert duration(0, "id") == "0 detik"
    assert duration(59 * NS, "id") == "59 detik"
    assert duration(90 * NS, "id") == "1 menit 30 detik"
    assert duration(26 * HOUR, "en") == "1 d 2 h"
    assert duration(24 * HOUR + 5 * MINUTE, "en") == "1 d"
    assert duration(-NS, "en") == "0 s"


def test_times_are_told_in_the_zone_of_the_regency() -> None:
    assert moment(NOON, ZoneInfo("Asia/Jayapura"), "id") == (
        "Minggu, 22 November 2026 pukul 14.05 WIT"
    )
    assert moment(NOON, UTC, "en") == "Sunday, 22 November 2026, 05:05 UTC"


def test_facts_come_from_the_inventory_and_an_unknown_device_has_few() -> None:
    inventory = from_data(
        {
            "sites": [
                {"id": "balige", "name": "Balige", "kecamatan": "Balige", "lat": 2.3, "lon": 99.1}
            ],
            "opds": [{"id": "dlh", "name": "Dinas Lingkungan Hidup", "site": "balige"}],
            "devices": [
                {"id": "aq1", "name": "Sensor Udara Balige", "kind": "sensor", "site": "balige",
                 "opd": "dlh"}
            ],
        }
    )  # fmt: skip
    found = facts.of(inventory, "aq1", unit="µg/m³", threshold=55.4)
    assert (found.lat, found.lon) == (2.3, 99.1)
    assert found.opd == FACTS.opd
    assert found.kecamatan == "Balige"
    assert facts.of(inventory, "ghost", unit="m") == Facts(unit="m")
