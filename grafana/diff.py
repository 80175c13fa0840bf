"""What differs between our dashboards and what a Grafana has, in words for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SERVERS_OWN = frozenset({"id", "version", "iteration", "schemaVersion"})
"""Top-level keys that Grafana sets when it saves or migrates."""


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Where `theirs` is not what `ours` asks for: `panel "CPU": targets[0].query`.

    Keys that only Grafana has are its own defaults and no difference; panels and variables
    that only Grafana has are named, since saving removes them.
    """
    found = [
        key
        for key in sorted(ours.keys() - SERVERS_OWN - {"panels", "templating"})
        if _paths(ours[key], theirs.get(key), key)
    ]
    found += _members("panel", _panels(ours), _panels(theirs))
    found += _members("variable", _variables(ours), _variables(theirs))
    return found


def _members(
    what: str, ours: Mapping[str, Mapping[str, Any]], theirs: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    found = []
    for name, member in ours.items():
        if name not in theirs:
            found.append(f'{what} "{name}": new')
        elif paths := _paths(member, theirs[name], ""):
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            found.append(f'{what} "{name}": {", ".join(paths[:3])}{more}')
    found += [f'{what} "{name}": removed' for name in theirs if name not in ours]
    return found


def _panels(board: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """By title, numbered where a title comes twice."""
    found: dict[str, Mapping[str, Any]] = {}
    for panel in _walk(board.get("panels") or []):
        title = str(panel.get("title") or "untitled")
        number = sum(name == title or name.startswith(f"{title} (") for name in found)
        found[f"{title} ({number + 1})" if number else title] = panel
    return found


def _walk(panels: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for panel in panels:
        inner = panel.get("panels") or []
        yield {key: value for key, value in panel.items() if key != "panels"}
        yield from _walk(inner)


def _variables(board: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """By name; what is chosen just now is the viewer's, not ours."""
    return {
        each["name"]: {key: value for key, value in each.items() if key not in _VIEWERS}
        for each in (board.get("templating") or {}).get("list") or []
    }


_VIEWERS = frozenset({"current", "options"})


def _paths(ours: Any, theirs: Any, path: str) -> list[str]:
    """The paths at which something of `ours` is missing or other in `theirs`."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return [
            found
            for key in sorted(ours)
            for found in _paths(ours[key], theirs.get(key), f"{path}.{key}".lstrip("."))
        ]
    if isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            return [path]
        return [
            found
            for place, (mine, other) in enumerate(zip(ours, theirs, strict=True))
            for found in _paths(mine, other, f"{path}[{place}]")
        ]
    return [] if ours == theirs or (theirs is None and ours in _EMPTY) else [path]


_EMPTY: tuple[Any, ...] = (None, "", False, [], {})
"""Grafana leaves these out when it saves."""
