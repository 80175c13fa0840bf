"""What is wrong with a configuration, said so that a person can mend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it stands, what it is, what to do."""

    file: str
    line: int
    key: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        return f"{place}:{key} {self.message}" + (f" ({self.remedy})" if self.remedy else "")


class Misconfigured(Exception):
    """Raised with every problem found, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: Path) -> str:
    """("devices", 3, "kind") as devices[3].kind."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def from_pydantic(
    error: ValidationError, model: type[BaseModel] | None, at: Path = ()
) -> list[tuple[Path, str, str]]:
    """pydantic's errors as (path, message, remedy); secrets are never repeated."""
    found = []
    for item in error.errors(include_url=False):
        path = at + tuple(p for p in item["loc"] if not _is_tag(p))
        message, remedy = item["msg"].removeprefix("Value error, "), ""
        if item["type"] == "extra_forbidden":
            message = "no such key"
            known = _keys(model, item["loc"][:-1]) if model else []
            near = get_close_matches(str(item["loc"][-1]), known, 1)
            remedy = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            remedy = remedy if known else ""
        elif item["type"] == "missing":
            message = "is missing"
        elif isinstance(item.get("input"), str | int | float) and not _secret(path):
            message = f"{message[0].lower()}{message[1:]}, not {item['input']!r}"
        found.append((path, message, remedy))
    return found


def _is_tag(part: str | int) -> bool:
    """Parts that pydantic adds to a path for unions, which no file has."""
    return isinstance(part, str) and (part.startswith(("function-", "tagged-union")) or "[" in part)


def _secret(path: Path) -> bool:
    """A channel's URL too: many services want a token in it."""
    if path[:1] == ("channels",) and path[-1] == "url":
        return True
    words = ("password", "token", "secret", "community", "key")
    return any(word in str(part).lower() for part in path for word in words)


def _keys(model: type[BaseModel] | None, loc: tuple[Any, ...]) -> list[str]:
    """The keys that the model at `loc` knows; empty when it can't be followed."""
    for part in loc:
        if model is None:
            return []
        if isinstance(part, int):
            continue
        info = model.model_fields.get(str(part))
        model = _model_in(info.annotation) if info else None
    return list(model.model_fields) if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _model_in(part)
        if found:
            return found
    return None


def nearest(word: str, known: Iterable[str] | Mapping[str, Any]) -> str:
    """ "did you mean x?" or the list of what is known."""
    names = list(known)
    near = get_close_matches(word, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    return "known: " + ", ".join(sorted(names)[:12]) if names else ""
