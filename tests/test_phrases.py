"""What events say: by keys with arguments, in the language of who reads it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from pydantic import ValidationError

from hub import own, registry
from hub.api import Event, Phrase
from hub.manifest import Manifest
from hub.phrases import worded
from hub.records import pack_event, unpack_event

PLUGINS = registry.find()
SAID = {"id": {"{what}: {fault}": "{what}: {fault}", "port closed": "port tertutup",
               "no heartbeat for {s} s": "tanpa denyut selama {s} dtk"}}  # fmt: skip


def keys(*files: Path) -> Iterator[tuple[str, str]]:
    """Every key that the code makes a phrase of, with the file."""
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Phrase":
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}: no literal"
                yield str(node.args[0].value), path.name


def test_arguments_are_filled_in_as_each_language_writes_them() -> None:
    beat = Phrase("no heartbeat for {s} s", {"s": 1234.5})
    rtsp = Phrase("{what}: {fault}", {"what": "RTSP", "fault": "port closed"})
    assert worded([beat, rtsp], SAID) == {
        "id": "tanpa denyut selama 1.234 dtk, RTSP: port tertutup",
        "en": "no heartbeat for 1,234 s, RTSP: port closed",
    }


def test_what_nobody_has_translated_stays_english_and_nothing_said_is_nothing() -> None:
    assert worded([Phrase("it {verb}", {"verb": "hums"})], {})["id"] == "it hums"
    assert worded([], SAID) == {}


def test_an_event_made_of_phrases_has_an_english_text_and_survives_the_journal() -> None:
    said = (Phrase("fell to {s} s", {"s": 4.0}), Phrase("again"))
    event = Event.saying("r-dlh", "reboot", 7, *said, fields={"n": 1})
    assert event.text == "fell to 4 s, again"
    assert unpack_event(pack_event("snmp", event)) == ("snmp", event)


def test_an_event_recorded_before_there_were_phrases_is_still_read() -> None:
    old = msgspec.msgpack.encode(("snmp", "r-dlh", "reboot", 7, "it restarted", {"n": 1}))
    assert unpack_event(old) == ("snmp", Event("r-dlh", "reboot", 7, "it restarted", {"n": 1}))


@pytest.mark.parametrize("name", sorted(PLUGINS))
def test_a_manifest_has_every_phrase_of_its_collector(name: str) -> None:
    plugin = PLUGINS[name]
    known = plugin.manifest.messages["id"]
    missing = {(key, file) for key, file in keys(*plugin.folder.rglob("*.py")) if key not in known}
    assert missing == set()


def test_the_hub_s_own_events_are_translated_too() -> None:
    said = [key for key, _ in keys(Path(own.__file__).with_name("ingest.py"))]
    assert said
    assert set(said) <= set(own.MESSAGES["id"])


def test_a_translation_with_other_holes_is_refused() -> None:
    given = {"name": "x", "kind": "poll", "owner": "y", "summary": {}, "measurements": {}}
    with pytest.raises(ValidationError, match="other holes"):
        Manifest.model_validate({**given, "messages": {"id": {"for {s} s": "selama {n} dtk"}}})
