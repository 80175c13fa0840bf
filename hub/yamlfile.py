"""YAML that remembers its lines, so that every complaint can name file, line and key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from hub.problems import Misconfigured, Path, Problem, dotted, from_pydantic

Model = TypeVar("Model", bound=BaseModel)

# libyaml's parser is ten times faster: a large inventory is read in a moment, not in seconds.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class YamlFile:
    """Plain data and the line on which each part of it stands."""

    name: str
    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    texts: dict[Path, str] = field(default_factory=dict)
    """How a value was written, where the file does not tell numbers from text (CSV)."""
    text: str = ""
    """The whole file as it was read, where it is YAML."""

    def problem(self, path: Path, message: str, remedy: str = "") -> Problem:
        """A complaint about the part at `path`, or about its nearest written parent."""
        line = 0
        for length in range(len(path), -1, -1):
            line = self.lines.get(path[:length], 0)
            if line:
                break
        return Problem(self.name, line, dotted(path), message, remedy)


def read(path: FilePath) -> YamlFile:
    """Read a file. Raises `Misconfigured` if it is missing or no YAML at all."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        why = error.strerror or str(error)
        raise Misconfigured([Problem(str(path), 0, "", f"can't be read: {why}")]) from None
    except UnicodeDecodeError:
        raise Misconfigured([not_utf8(path, "save the file as UTF-8")]) from None
    return parse(text, str(path))


def not_utf8(path: FilePath, remedy: str) -> Problem:
    """Where a file that is no UTF-8 stops being it."""
    whole = path.read_bytes()
    try:
        whole.decode("utf-8")
        line = 0  # mended since
    except UnicodeDecodeError as error:
        line = whole[: error.start].count(b"\n") + 1
    return Problem(str(path), line, "", "is not UTF-8", remedy)


def read_model(
    path: FilePath, model: type[Model], context: Mapping[str, Any] | None = None
) -> Model:
    """A file as what `model` makes of it; its validators are given the context.

    Raises `Misconfigured`, each mistake with its line.
    """
    file = read(path)
    problems = list(file.problems)
    try:
        found = model.model_validate({} if file.data is None else file.data, context=context)
    except ValidationError as error:
        problems += [file.problem(*wrong) for wrong in from_pydantic(error, model)]
    raise_if(problems)
    return found


def parse(text: str, name: str) -> YamlFile:
    """Parse YAML text. Raises `Misconfigured` on a syntax error; repeated keys are problems."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        found = YamlFile(name, None, text=text)
        if node is not None:
            _mark(node, (), found)
            found.data = _data(loader, node, found)
        return found
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        message = "is not valid YAML: " + " ".join(
            part for part in (error.context, error.problem) if part
        )
        raise Misconfigured(
            [Problem(name, line, "", message, "check indentation, colons and quotes")]
        ) from None
    except yaml.YAMLError as error:
        raise Misconfigured([Problem(name, 0, "", f"is not valid YAML: {error}")]) from None
    except RecursionError:
        why = "is nested too deeply, or an alias (`*name`) holds itself"
        raise Misconfigured([Problem(name, 0, "", why, "write it out")]) from None
    finally:
        loader.dispose()


def _data(loader: Any, node: yaml.Node, found: YamlFile) -> Any:
    """What the nodes say. Raises `Misconfigured` naming each that looks like a date or number and
    is none."""
    try:
        return loader.construct_document(node)
    except (ValueError, TypeError, AttributeError):  # as YAML's own constructors raise them
        wrong = list(_impossible(node, (), found))
        if not wrong:
            raise
        raise Misconfigured(wrong) from None


def _impossible(node: yaml.Node, path: Path, found: YamlFile) -> Iterator[Problem]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _impossible(value, (*path, str(key.value)), found)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _impossible(value, (*path, index), found)
    else:
        try:
            yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, TypeError, AttributeError) as error:
            kind = node.tag.rpartition(":")[2].replace("timestamp", "date or time")
            why = f"{node.value!r} is no {kind}" + f": {error}" * isinstance(error, ValueError)
            yield found.problem(path, why, "put it in quotes, if it is text")


def plain(text: str) -> Any:
    """The data of a text that was found good before: without its lines, in half the time."""
    return yaml.load(text, _Loader)  # noqa: S506 (a safe loader, one way or the other)


def _mark(node: yaml.Node, path: Path, found: YamlFile) -> None:
    found.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            found.lines[here] = key_node.start_mark.line + 1
            if key in seen:
                found.problems.append(found.problem(here, "stands twice", "keep one of them"))
            seen.add(key)
            _mark(value_node, here, found)
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            found.lines[(*path, index)] = child.start_mark.line + 1
            _mark(child, (*path, index), found)


def raise_if(problems: Iterable[Problem]) -> None:
    """Raise `Misconfigured` if there is any problem."""
    found = list(problems)
    if found:
        raise Misconfigured(found)
