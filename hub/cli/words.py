"""What the verbs that show alerts say, in the reader's language; states and acts as the board does.

Help, errors and what only an operator reads are English everywhere.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from hub.notify.words import Language

Lang = Annotated[
    Literal["id", "en"] | None,
    typer.Option("--lang", help="Language of what is shown; default: that of the settings."),
]

HEADS: dict[str, dict[Language, str]] = {
    "key": {"id": "kunci", "en": "key"},
    "state": {"id": "keadaan", "en": "state"},
    "severity": {"id": "tingkat", "en": "severity"},
    "lasts": {"id": "selama", "en": "for"},
    "title": {"id": "gangguan", "en": "what"},
    "id": {"id": "id", "en": "id"},
    "kind": {"id": "jenis", "en": "kind"},
    "matches": {"id": "cakupan", "en": "matches"},
    "left": {"id": "masih", "en": "still for"},
    "when": {"id": "waktu", "en": "when"},
    "who": {"id": "siapa", "en": "who"},
    "what": {"id": "tindakan", "en": "what"},
    "about": {"id": "tentang", "en": "about"},
    "why": {"id": "keterangan", "en": "why"},
    "team": {"id": "tim", "en": "team"},
    "on duty": {"id": "piket", "en": "on duty"},
    "until": {"id": "sampai", "en": "until"},
    "then": {"id": "berikutnya", "en": "then"},
    "told on": {"id": "lewat", "en": "told on"},
    "open": {"id": "terbuka", "en": "open"},
    "acknowledged": {"id": "ditangani", "en": "acknowledged"},
}
NO_RULE: dict[Language, str] = {
    "id": "tidak ada aturan tentang perangkat ini",
    "en": "no rule is about this device",
}


def heads(language: Language, *names: str) -> list[str]:
    """What stands above the columns."""
    return [HEADS[name][language] for name in names]


def word(language: Language, kind: str, name: str) -> str:
    """What the board calls a state, severity or act, such as `stage`, `firing`; else its name."""
    from hub.web.pages import catalogue  # all of the web server, which most verbs don't need

    return catalogue(language).get(f"{kind}.{name}", name)
