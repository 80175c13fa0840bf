"""What people read: words, numbers, times, in both languages."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import rules.watch
from hub.clock import NS
from hub.inventory import Inventory
from hub.inventory_file import from_data
from hub.notify import facts
from hub.notify.message import Facts, collapse, dump, instead, load, make, trial
from hub.notify.words import LANGUAGES, WORDS, moment
from rules.alert import RESTLESS
from rules.rule import Rule, Text, When
from tests.notify_support import FACTS, HOUR, MINUTE, NOON, ZONE, change, message


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
        "pm25 62,34 µg/m³ (batas: di atas 55,4 µg/m³)",
        "Perangkat: Sensor Udara Balige (aq1), pm",
        "Lokasi: Dinas Lingkungan Hidup, Kecamatan Balige",
        "Sejak: Minggu, 22 November 2026 pukul 11.55 WIB",
        "Saran: Kurangi kegiatan di luar.",
    ]


def test_the_end_of_an_alert_tells_how_long_it_lasted_and_no_advice() -> None:
    found = message(language="en", after="resolved", since_ns=NOON - 125 * MINUTE, value=40.0)
    assert found.title == "RESOLVED · PM2.5 unhealthy at Balige"
    assert "Since: Sunday, 22 November 2026, 10:00 WIB" in found.text
    assert "Resolved: Sunday, 22 November 2026, 12:05 WIB, after 2 hours 5 minutes" in found.text
    assert "Stay indoors" not in found.text


def test_a_root_cause_tells_what_it_drags_along_and_a_link_needs_a_public_url() -> None:
    known = Facts(name="Router Camat", dependants={"camera": 14, "robot": 2}, measured=False)
    down = change(tags={"device": "r1"}, device="r 1")
    found = make(down, "x", known, language="id", zone=ZONE, public_url="https://kc.toba.go.id/")
    assert "Bergantung padanya: 14 kamera, 2 robot" in found.text
    assert found.text.endswith("Papan: https://kc.toba.go.id/device/r%201")
    assert "Papan" not in make(down, "x", known, language="id", zone=ZONE).text
    assert "62,34" not in found.text


def test_a_place_that_is_known_comes_with_a_map_that_every_phone_opens() -> None:
    balige = replace(FACTS, lat=2.3347, lon=99.0832)
    found = make(change(), "x", balige, language="id", zone=ZONE)
    link = "https://www.openstreetmap.org/?mlat=2.33470&mlon=99.08320#map=16/2.33470/99.08320"
    assert f"Peta: {link}" in found.text
    assert "Peta" not in message().text


def test_who_took_it_on_is_named() -> None:
    found = message(after="acknowledged", who="Budi", why="menuju lokasi")
    assert found.title.startswith("DITANGANI")
    assert "Oleh: Budi\nKeterangan: menuju lokasi" in found.text


def test_the_hubs_own_reasons_are_translated_and_a_persons_words_are_not() -> None:
    assert "Keterangan: masa senyap sudah berakhir" in message(why="no longer silenced").text
    assert "Keterangan: hujan deras" in message(why="hujan deras", who="Budi").text


def test_every_reason_that_the_rules_give_is_in_the_catalogue() -> None:
    folder = Path(rules.watch.__file__).parent
    names = ("watch.py", "saying.py", "telling.py", "adopting.py")
    source = "".join((folder / name).read_text(encoding="utf-8") for name in names)
    reasons = set(re.findall(r'"((?:its cause|no longer|the rule|the device) [a-z ]+)"', source))
    reasons.add(RESTLESS)
    assert len(reasons) >= 5
    assert {f"why.{reason}" for reason in reasons} <= WORDS["id"].keys()


def test_missing_languages_and_line_breaks_still_give_a_title_of_one_line() -> None:
    found = message(title={"id": "Naik\nbaris"}, advice={}, language="en")
    assert found.title == "FIRING · WARNING · Naik baris"
    assert message(title={}).title == "AKTIF · PERINGATAN · pm25_unhealthy"


def test_words_that_no_catalogue_knows_are_said_as_they_are() -> None:
    found = message(after="suspended", severity="fatal")
    assert found.title == "suspended · fatal · PM2.5 tidak sehat di Balige"


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
    assert "aktif dari Minggu, 22 November 2026 pukul 11.05 WIB sampai " in one.text
    assert one.text.count("12.05 WIB") == 2
    assert collapse([], resolved) is resolved


def test_many_changes_unheard_tell_the_latest_state_and_their_number() -> None:
    first = message(since_ns=NOON - 3 * HOUR)
    over = message(id="8-0", after="resolved", since_ns=NOON - 3 * HOUR)
    again = message(id="9-0", since_ns=NOON - MINUTE)
    one = collapse([collapse([first], over)], again)
    assert one.collapsed == 2
    assert one.first_ns == NOON - 3 * HOUR
    assert "merangkum 3 perubahan sejak Minggu, 22 November 2026 pukul 09.05 WIB" in one.text
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
    found = facts.of(inventory, "aq1", rule())
    assert (found.lat, found.lon) == (2.3, 99.1)
    assert found == replace(FACTS, lat=2.3, lon=99.1)
    assert facts.of(inventory, "ghost") == Facts()


def test_a_threshold_of_silence_is_in_seconds_and_a_yes_or_no_is_not_measured() -> None:
    silent = facts.of(Inventory(), "x", rule(absent_ns=90 * NS))
    assert (silent.unit, silent.threshold, silent.measured) == ("s", 90.0, True)
    assert not facts.of(Inventory(), "x", rule(comparison="equals")).measured


def test_only_a_device_that_is_down_drags_others_along() -> None:
    inventory = from_data(
        {
            "sites": [{"id": "s", "name": "S"}],
            "devices": [
                {"id": "core", "kind": "router", "site": "s"},
                {"id": "r1", "kind": "router", "site": "s", "depends_on": ["core"]},
                {"id": "c1", "kind": "camera", "site": "s", "depends_on": ["r1"]},
                {"id": "c2", "kind": "camera", "site": "s", "depends_on": ["r1"]},
                {"id": "c3", "kind": "camera", "site": "s"},
            ],
        }
    )
    assert facts.of(inventory, "core", rule(means="down")).dependants == {"camera": 2, "router": 1}
    assert facts.of(inventory, "core", rule()).dependants == {}
    assert facts.of(inventory, "c1", rule(means="down")).dependants == {}


def rule(means: Any = "", **when: Any) -> Rule:
    condition = When("environment", "pm25", threshold=55.4)
    return Rule("pm25", Text("a", "b"), when=replace(condition, **when), unit="µg/m³", means=means)
