"""Follows a path of pydantic's through nested models, to what the file really says there."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

Path = tuple[str | int, ...]


def written(model: type[BaseModel] | None, loc: Path) -> tuple[Path, type[BaseModel] | None]:
    """`loc` without the parts that pydantic adds for unions, which no file has, and the model in
    which its last part stands (None where it can't be followed)."""
    here: Any = model
    inside: type[BaseModel] | None = model
    path: list[str | int] = []
    for part in loc:
        here, choice = _plain(here)
        if choice and part in choice:
            here = choice[str(part)]
            continue
        if isinstance(part, str) and (
            part.startswith(("function-", "tagged-union")) or "[" in part
        ):
            continue
        inside = here if _is_model(here) else None
        here = _below(here, part)
        path.append(part)
    return tuple(path), inside


def _plain(annotation: Any) -> tuple[Any, dict[str, Any]]:
    """An annotation without wrappers; of a union told by a tag, its models by that tag."""
    tag = ""
    if hasattr(annotation, "annotation"):  # a model's field
        tag = str(annotation.discriminator or "")
        annotation = annotation.annotation
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        tag = next((str(m.discriminator) for m in more if getattr(m, "discriminator", None)), tag)
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if tag:
            fields = [(member, member.model_fields[tag]) for member in members]
            return annotation, {
                str(value): member
                for member, field in fields
                for value in get_args(field.annotation)
            }
        models = [member for member in members if _is_model(member)]
        return (models or members)[0], {}
    return annotation, {}


def _below(annotation: Any, part: str | int) -> Any:
    if _is_model(annotation):
        return annotation.model_fields.get(str(part))
    inner = get_args(annotation)
    if get_origin(annotation) is dict and len(inner) == 2:
        return inner[1]
    return inner[0] if inner and isinstance(part, int) else None


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
