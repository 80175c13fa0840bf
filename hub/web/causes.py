"""Which alerts are troubles of their own, and which only follow from another. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hub.web.states import LOUD
from rules.transition import Alert


def roots(alerts: Iterable[Alert]) -> dict[str, str]:
    """Of each alert that follows from another: its key to the key of the first in the chain.

    A cause that is not told (pending, or over) explains nothing, nor does a circle.
    """
    told = {one.key: one for one in alerts if one.state in LOUD}
    found = {}
    for key in told:
        root = _root(key, told)
        if root != key:
            found[key] = root
    return found


def _root(key: str, told: Mapping[str, Alert]) -> str:
    first, seen = key, {key}
    while (cause := told[key].cause) in told:
        if cause in seen:
            return first
        seen.add(cause)
        key = cause
    return key


def dragged(alerts: Iterable[Alert], roots: Mapping[str, str]) -> dict[str, set[str]]:
    """By the key of a root: the devices whose alerts it explains, its own device not counted."""
    by_key = {one.key: one for one in alerts}
    found: dict[str, set[str]] = {}
    for key, root in roots.items():
        if by_key[key].device != by_key[root].device:
            found.setdefault(root, set()).add(by_key[key].device)
    return found
