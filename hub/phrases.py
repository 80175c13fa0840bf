"""What events say, in the language of who reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hub.api import Phrase
from hub.reading import Value
from rules.rule import LANGUAGES
from rules.text import fill, number

Messages = Mapping[str, Mapping[str, str]]
"""Language → English text with {holes} → the same in that language; English needs none."""


def worded(said: Sequence[Phrase], messages: Messages) -> dict[str, str]:
    """The phrases in every language; what nobody has translated stays English."""
    if not said:
        return {}
    return {
        language: ", ".join(_one(phrase, messages.get(language, {}), language) for phrase in said)
        for language in LANGUAGES
    }


def _one(phrase: Phrase, texts: Mapping[str, str], language: str) -> str:
    values = {name: _value(value, texts, language) for name, value in phrase.values.items()}
    return fill(texts.get(phrase.key, phrase.key), values)


def _value(value: Value, texts: Mapping[str, str], language: str) -> str:
    return texts.get(value, value) if isinstance(value, str) else number(value, language)
