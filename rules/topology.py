"""What depends on what: device → router → uplink. The graph is passed in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence


class Topology:
    """`parents[x]` is what x needs; a name that has no entry needs nothing.

    A device with several parents needs each of them. Cycles do no harm here (nobody is visited
    twice); `find_cycle` is for the one who checks the inventory.
    """

    __slots__ = ("_ancestors", "_children", "_parents")

    def __init__(self, parents: Mapping[str, Sequence[str]]) -> None:
        self._parents = {name: tuple(needs) for name, needs in parents.items() if needs}
        self._ancestors: dict[str, tuple[str, ...]] = {}
        self._children: dict[str, list[str]] = {}
        for name, needs in self._parents.items():
            for parent in needs:
                self._children.setdefault(parent, []).append(name)

    def ancestors(self, name: str) -> tuple[str, ...]:
        """All that it depends on, nearest first."""
        found = self._ancestors.get(name)
        if found is None:
            found = self._ancestors[name] = _reach(name, self._parents)
        return found

    def descendants(self, name: str) -> tuple[str, ...]:
        """All that depends on it, nearest first."""
        return _reach(name, self._children)

    def children(self, name: str) -> tuple[str, ...]:
        """What depends on it directly."""
        return tuple(self._children.get(name, ()))


def _reach(start: str, edges: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Breadth first, without the start."""
    seen, found, ring = {start}, [], [start]
    while ring:
        following = []
        for name in ring:
            for other in edges.get(name, ()):
                if other not in seen:
                    seen.add(other)
                    following.append(other)
        found += following
        ring = following
    return tuple(found)


def find_cycle(parents: Mapping[str, Sequence[str]]) -> list[str] | None:
    """A circle of dependencies with its first name repeated, `[a, b, a]`; None: there is none."""
    done: set[str] = set()
    for start in parents:
        if start in done:
            continue
        trail: dict[str, None] = {start: None}
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(parents.get(start, ())))]
        while stack:
            name, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                done.add(name)
                trail.pop(name)
            elif following in trail:
                names = list(trail)
                return [*names[names.index(following) :], following]
            elif following not in done:
                trail[following] = None
                stack.append((following, iter(parents.get(following, ()))))
    return None
