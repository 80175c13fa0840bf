"""What is wrong with a configuration, said so that a person can mend it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from hub.modelpath import written

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
        here, inside = written(model, item["loc"])
        path, context = at + here, item.get("ctx", {})
        message, remedy = item["msg"].removeprefix("Value error, "), context.get("remedy", "")
        if item["type"] == "extra_forbidden":
            known = list(inside.model_fields) if inside else []
            message = "no such key"
            near = get_close_matches(str(path[-1]), known, 1)
            remedy = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            remedy = remedy if known else ""
        elif item["type"] == "missing":
            message = "is missing"
        elif item["type"] in ("union_tag_invalid", "union_tag_not_found"):
            word = str(context["discriminator"]).strip("'")
            path += (word,)
            known = [one.strip(" '") for one in str(context.get("expected_tags", "")).split(",")]
            message, remedy = "is missing", ""
            if "tag" in context:
                message, remedy = f"no such {word}", nearest(str(context["tag"]), known)
        elif "remedy" not in context:
            given = "what stands here" if _secret(path) else _shown(item.get("input"))
            message, remedy = _plainly(item["type"], message, context, item.get("input"), given)
        found.append((path, message, remedy))
    return found


def _plainly(
    kind: str, message: str, context: Mapping[str, Any], value: Any, given: str
) -> tuple[str, str]:
    """pydantic's words for who writes YAML, and what to do; `given`: the value, as may be said."""
    kinds = kind in ("dict_type", "model_type", "model_attributes_type")
    if value is None:
        return "is empty", "write {}" if kinds else "give it a value, or leave the key out"
    if kind == "string_type":
        return f"must be text, not {given}", "put it in quotes"
    if kind in ("list_type", "set_type", "tuple_type", "frozen_set_type"):
        alone = isinstance(value, str | int | float)
        return f"must be a list, not {given}", f"write [{value}]" if alone else ""
    if kinds:
        return f"must have keys and values, here is {given}", "write `key: value`"
    if kind.startswith(("int_", "float_")):
        comma = isinstance(value, str) and re.fullmatch(r"-?\d+,\d+", value.strip())
        point = f"write {value.strip().replace(',', '.')}" if comma else ""
        return f"must be a {'whole ' * kind.startswith('int_')}number, not {given}", point
    if kind.startswith("bool_"):
        return f"must be true or false, not {given}", ""
    if kind == "string_too_short" and value == "":
        return "is empty", "give it a value, or leave the key out"
    if kind == "literal_error":
        return f"can't be {given}", f"one of {context['expected']}"
    if isinstance(value, str | int | float) and given:
        return f"{message[0].lower()}{message[1:]}, not {given}", ""
    return message, ""


def _shown(value: Any) -> str:
    """A value of a few words, or what it is."""
    if isinstance(value, list):
        return "a list"
    return "keys and values" if isinstance(value, dict) else repr(value)


def _secret(path: Path) -> bool:
    """A channel's URL too: many services want a token in it."""
    if path[:1] == ("channels",) and path[-1] == "url":
        return True
    words = ("password", "token", "secret", "community", "key")
    return any(word in str(part).lower() for part in path for word in words)


def nearest(word: str, known: Iterable[str] | Mapping[str, Any]) -> str:
    """ "did you mean x?" or the list of what is known."""
    names = list(known)
    near = get_close_matches(word, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    return "known: " + ", ".join(sorted(names)[:12]) if names else ""


def folded(problems: Iterable[Problem], most: int = 3) -> list[str]:
    """One line for each problem; of many that say the same of one file, one line with the count."""
    same: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        same.setdefault((problem.file, problem.message, problem.remedy), []).append(problem)
    lines = []
    for first, *others in same.values():
        if len(others) < most:
            lines += [str(problem) for problem in (first, *others)]
        else:
            lines.append(f"{first}, and {len(others)} times more up to line {others[-1].line}")
    return lines
