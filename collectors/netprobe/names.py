"""Host names to IPv4 addresses."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Mapping

from hub.api import NeverWorks, TryAgain

MOST_AT_ONCE = 16


async def resolve(name: str) -> str:
    """An IPv4 address. Raises `NeverWorks` without one, `TryAgain` for a name not known now."""
    if not name:
        raise NeverWorks("has no address in the inventory: give it one, or remove collect.netprobe")
    try:
        given = ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        if given.version != 4:
            raise NeverWorks(f"{name}: netprobe speaks IPv4 only")
        return str(given)
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_RAW)
    except (OSError, UnicodeError) as error:
        raise TryAgain(f"can't resolve {name!r}: {error}") from None
    return str(found[0][4][0])


class Book:
    """Addresses of many names, each asked for at most once in `keep_s`."""

    def __init__(self, keep_s: float = 600.0) -> None:
        self._keep_s = keep_s
        self._known: dict[str, tuple[str, float]] = {}

    async def look_up(self, names: Iterable[str]) -> Mapping[str, str]:
        """Name → IPv4 address, for those that have one; the last known one stands while a name
        can't be resolved."""
        loop = asyncio.get_running_loop()
        asked = [n for n in names if loop.time() >= self._known.get(n, ("", float("-inf")))[1]]
        for first in range(0, len(asked), MOST_AT_ONCE):
            some = asked[first : first + MOST_AT_ONCE]
            found = await asyncio.gather(*map(resolve, some), return_exceptions=True)
            until = loop.time() + self._keep_s
            for name, address in zip(some, found, strict=True):
                old = self._known.get(name, ("", 0.0))[0]
                self._known[name] = (address if isinstance(address, str) else old), until
        return {name: address for name, (address, _) in self._known.items() if address}
