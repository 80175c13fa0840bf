"""The settings file, read and checked: every mistake of it and of the environment with its place.

What was wrong is left out, so that `check` can go on to the inventory and the rules.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from hub import yamlfile
from hub.notify.channels import unknown_fallbacks
from hub.problems import Misconfigured, Path, Problem, from_pydantic, nearest
from hub.settings import ENVIRONMENT, PREFIX, Settings
from hub.yamlfile import YamlFile

NOT_SETTINGS = {"TOBA_SETTINGS", "TOBA_CLOCK"}
"""Where the settings file is, which it can't say itself."""
SOCKET_PATH = 107
"""Longer names the kernel refuses to local sockets (sys/un.h)."""


def read(path: FilePath, environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check the file and the environment. Raises `Misconfigured` with all problems."""
    settings, problems = read_leniently(path, environment)
    yamlfile.raise_if(problems)
    return settings


def read_leniently(
    path: FilePath, environment: Mapping[str, str] | None = None
) -> tuple[Settings, list[Problem]]:
    """All problems, and the settings as they are without the parts that are wrong.

    So that `check` can go on to the inventory and the rules. Raises `Misconfigured` where there is
    no file.
    """
    environment = os.environ if environment is None else environment
    problems = _unknown_variables(environment)
    try:
        path.open("rb").close()
    except OSError as error:
        # Without the file every default would be complained of too.
        why = f"can't be read: {error.strerror or error}"
        remedy = 'name it by -s FILE; an example stands in README.md, "Set it up"'
        raise Misconfigured([*problems, Problem(str(path), 0, "", why, remedy)]) from None
    try:
        file = yamlfile.read(path)
    except Misconfigured as error:
        file = YamlFile(str(path), {})
        problems += error.problems
    problems += file.problems
    data = file.data if file.data is not None else {}
    unread: set[Path] = set()
    data = _with_files(data, file, problems, path.parent, unread)
    if not isinstance(data, dict):
        problems.append(file.problem((), "must hold `key: value` lines"))
        data = {}
    settings, wrong = _validate(data, dict(environment))
    problems += [_place(file, environment, *found) for found in wrong if found[0] not in unread]
    settings = _rooted(settings, path.parent)
    if not settings.regency_folder.is_dir():
        problems.append(file.problem(("regency",), f"no regency {settings.regency!r}"))
    if len(os.fsencode(settings.ingest_socket)) > SOCKET_PATH:
        why = f"the path {settings.data} is too long for the hub's local socket"
        problems.append(file.problem(("data",), why, "choose a folder nearer to the root"))
    problems += _unknown_channels(settings, file) + _unknown_people(settings, file)
    return settings, problems


def _validate(
    data: dict[str, Any], environment: dict[str, str]
) -> tuple[Settings, list[tuple[Path, str, str]]]:
    """Settings of the good parts, and what is wrong with the others."""
    wrong: list[tuple[Path, str, str]] = []
    data, so_far = copy.deepcopy(data), Settings.model_construct()
    for _ in range(50):
        try:
            settings = Settings(**{**data, ENVIRONMENT: environment})
            settings._left_out = so_far._left_out
            return settings, wrong
        except ValidationError as error:
            now = from_pydantic(error, Settings)
            found = [(so_far.written(where), said, remedy) for where, said, remedy in now]
            # What was taken out for being wrong is not complained of again for being missing, nor
            # what it stood in for making no sense without it.
            told = {where[:depth] for where, _, _ in wrong for depth in range(1, len(where) + 1)}
            wrong += [item for item in found if item[0] not in told]
            # From the end: what is removed moves what stands behind it in a list.
            gone = [
                _remove(data, where)
                for where, _, _ in reversed(now)
                if environment.pop(_variable(where), None) is None
            ]
            so_far._left_out = so_far._left_out + [so_far.written(path) for path in gone if path]
    return Settings.model_construct(), wrong


def _remove(data: Any, path: Path) -> Path:
    """Take out the part at `path`, or the nearest part that is there; what was taken out."""
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        inside = data[part] if _has(data, part) else None
        if last or not (isinstance(inside, dict | list) and _has(inside, path[depth + 1])):
            if not _has(data, part):
                return ()
            del data[part]
            return path[: depth + 1]
        data = inside
    return ()


def _has(data: Any, part: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, dict) and part in data


def _place(
    file: YamlFile, environment: Mapping[str, str], path: Path, message: str, remedy: str
) -> Problem:
    """Blame the environment where the value came from there."""
    variable = _variable(path)
    if variable in environment:
        return Problem("environment", 0, variable, message, remedy)
    return file.problem(path, message, remedy)


def _variable(path: Path) -> str:
    return PREFIX + "__".join(str(part).upper() for part in path)


def _unknown_variables(environment: Mapping[str, str]) -> list[Problem]:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return [
        Problem("environment", 0, name, "no such setting", nearest(name, known))
        for name in environment
        if name.startswith(PREFIX) and name.split("__")[0] not in known | NOT_SETTINGS
    ]


def _unknown_channels(settings: Settings, file: YamlFile) -> list[Problem]:
    """Channels that a team or another channel names and that are not there."""
    data = file.data if isinstance(file.data, dict) else {}
    written = data.get("channels")
    # One with a mistake of its own is there all the same.
    known = {*settings.channels, *(written if isinstance(written, dict) else ())}
    fallbacks = [
        file.problem(
            ("channels", name, "fallback"),
            why,
            nearest(settings.channels[name].fallback, settings.channels.keys() - {name}),
        )
        for name, why in unknown_fallbacks(settings.channels)
        if settings.channels[name].fallback not in known - {name}
    ]
    return fallbacks + [
        file.problem(
            settings.written(where), f"no channel {channel!r}", nearest(channel, settings.channels)
        )
        for where, channel in _named_channels(settings)
        if channel not in known
    ]


def _named_channels(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Where teams and people name a channel."""
    for name, person in settings.people.items():
        for index, channel in enumerate(person.channels):
            yield ("people", name, "channels", index), channel
    for name, team in settings.teams.items():
        for index, channel in enumerate(team.channels):
            yield ("teams", name, "channels", index), channel
        for number, step in enumerate(team.escalation):
            for index, channel in enumerate(step.channels):
                yield ("teams", name, "escalation", number, "channels", index), channel


def _unknown_people(settings: Settings, file: YamlFile) -> list[Problem]:
    """People that a rota names, and teams that an escalation names, and that are not there."""
    data = file.data if isinstance(file.data, dict) else {}
    written: dict[str, set[str]] = {}
    for section, right in (("people", settings.people), ("teams", settings.teams)):
        there = data.get(section)
        # One with a mistake of its own is there all the same.
        written[section] = {*right, *(there if isinstance(there, dict) else ())}
    return [
        file.problem(
            settings.written(where), f"no {what} {name!r}", nearest(name, written[section])
        )
        for where, section, what, name in _named_people(settings)
        if name not in written[section]
    ]


def _named_people(settings: Settings) -> Iterator[tuple[Path, str, str, str]]:
    for name, team in settings.teams.items():
        at: Path = ("teams", name)
        for index, person in enumerate(team.rota.people if team.rota else ()):
            yield (*at, "rota", "people", index), "people", "person", person
        for index, one in enumerate(team.rota.overrides if team.rota else ()):
            yield (*at, "rota", "overrides", index, "person"), "people", "person", one.person
        for number, step in enumerate(team.escalation):
            for index, other in enumerate(step.teams):
                yield (*at, "escalation", number, "teams", index), "teams", "team", other
    for index, name in enumerate(settings.digest.teams):
        yield ("digest", "teams", index), "teams", "team", name


def _with_files(
    data: Any,
    file: YamlFile,
    problems: list[Problem],
    folder: FilePath,
    unread: set[Path],
    path: Path = (),
) -> Any:
    """Replace each `{file: path}` by what that file holds; in `unread` stands which can't be."""
    if isinstance(data, dict):
        if set(data) == {"file"} and isinstance(data["file"], str):
            try:
                return (folder / data["file"]).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8"
                why = f"{data['file']} can't be read: {reason}"
                problems.append(file.problem((*path, "file"), why))
                unread.add(path)
                return ""
        return {
            key: _with_files(value, file, problems, folder, unread, (*path, str(key)))
            for key, value in data.items()
        }
    if isinstance(data, list):
        return [
            _with_files(value, file, problems, folder, unread, (*path, index))
            for index, value in enumerate(data)
        ]
    return data


def _rooted(settings: Settings, folder: FilePath) -> Settings:
    """Make relative paths relative to the settings file."""
    settings._folder = folder
    settings.data = folder / settings.data
    if not settings.regency_folder.is_dir():
        settings.regency = str(folder / settings.regency)
    settings.inventory = [folder / path for path in settings.inventory]
    settings.rules.files = [folder / path for path in settings.rules.files]
    if settings.store.path is not None:
        settings.store.path = folder / settings.store.path
    return settings
