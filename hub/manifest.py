"""A collector's promise: what it measures, in which units, and how often it polls."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from hub.problems import Misconfigured, Problem, dotted, from_pydantic


class FieldSpec(BaseModel, extra="forbid", frozen=True):
    type: Literal["float", "int", "string"]
    unit: str = ""
    min: float | None = None
    max: float | None = None
    rate: float | None = Field(None, gt=0)
    """The quickest believable change in a minute; these four are doubts of `hub/doubt.py`."""
    spike: float | None = Field(None, gt=0)
    """How far from the median of the last five values."""
    stuck_s: float | None = Field(None, gt=0)
    """How long the very same number is believed."""
    neighbour: float | None = Field(None, gt=0)
    """How far from more than half of the other devices of the site."""
    help: str = ""

    @property
    def is_doubted(self) -> bool:
        limits = (self.rate, self.spike, self.stuck_s, self.neighbour)
        return self.type != "string" and limits != (None, None, None, None)


class MeasurementSpec(BaseModel, extra="forbid", frozen=True):
    tags: list[str]
    fields: dict[str, FieldSpec]


class TierSpec(BaseModel, extra="forbid", frozen=True):
    period_s: float = Field(gt=0)
    timeout_s: float = Field(gt=0)


Messages = dict[str, dict[str, str]]
LANGUAGES = ("id",)
"""Into which events are translated; English they are already."""


def holes(text: str) -> list[str]:
    """The names of what a text has to be filled with."""
    return sorted(re.findall(r"\{(\w+)\}", text))


class Manifest(BaseModel, extra="forbid", frozen=True):
    """`collectors/<name>/manifest.toml`."""

    name: str
    kind: Literal["poll", "stream", "poll+stream"]
    owner: str
    summary: dict[str, str]
    klass: Literal["polled", "acknowledged"] = Field("polled", alias="class")
    tiers: dict[str, TierSpec] = {}
    measurements: dict[str, MeasurementSpec]
    messages: Messages = {}
    """What its events say: language → English text with {holes} → the same in that language."""

    @field_validator("messages")
    @classmethod
    def _have_the_same_holes(cls, messages: Messages) -> Messages:
        for language, texts in messages.items():
            if language not in LANGUAGES:
                raise ValueError(f"no language {language!r}: use {', '.join(LANGUAGES)}")
            for english, text in texts.items():
                if holes(english) != holes(text):
                    raise ValueError(f"{english!r} has other holes in {language}: {text!r}")
        return messages

    @property
    def polls(self) -> bool:
        return "poll" in self.kind

    @property
    def streams(self) -> bool:
        return "stream" in self.kind


def load(path: Path) -> Manifest:
    """Read a manifest. Raises `Misconfigured`."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return Manifest.model_validate(data)
    except OSError as error:
        raise Misconfigured(
            [Problem(str(path), 0, "", f"can't be read: {error.strerror}")]
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured([Problem(str(path), 0, "", f"is not valid TOML: {error}")]) from None
    except ValidationError as error:
        raise Misconfigured(
            Problem(str(path), 0, dotted(where), message, remedy)
            for where, message, remedy in from_pydantic(error, Manifest)
        ) from None
