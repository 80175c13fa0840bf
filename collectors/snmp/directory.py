"""Who has which address, and who calls itself how: thousands of devices name their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hub.api import Target

SEVERAL = ""
"""Instead of an id: a name that several devices have, such as the maker's own, tells nothing."""


class Directory:
    """Made when it is first asked, and again when devices changed; names are added as they come."""

    def __init__(
        self,
        targets: Callable[[], Sequence[Target]],
        names: Callable[[], Iterable[tuple[str, str]]],
    ) -> None:
        """`names`: all ids with what their devices call themselves, as far as is known."""
        self._targets = targets
        self._all_names = names
        self._made_of: Sequence[Target] | None = None
        self._addresses: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def called(self, id: str, before: str, now: str) -> None:
        """A device says how it is called."""
        if before and before != now:
            self._made_of = None  # the name may be the only one of another by now
        elif now:
            self._add(id, now)

    def who(self, name: str, address: str) -> str:
        """The id of the device of that address, or of that id or name; empty: nobody known."""
        targets = self._targets()
        if self._made_of is not targets:
            self._make(targets)
        name = name.lower()
        return (
            self._addresses.get(address, "") or self._ids.get(name, "") or self._names.get(name, "")
        )

    def _make(self, targets: Sequence[Target]) -> None:
        self._made_of = targets
        self._addresses = {t.address: t.id for t in reversed(targets) if t.address}
        self._ids = {target.id.lower(): target.id for target in targets}
        self._names = {}
        there = set(self._ids.values())
        for id, name in self._all_names():
            if name and id in there:
                self._add(id, name)

    def _add(self, id: str, name: str) -> None:
        known = self._names.setdefault(name.lower(), id)
        if known != id:
            self._names[name.lower()] = SEVERAL
