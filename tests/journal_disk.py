"""A disk that can be full, that a process dies on at any instruction, and that loses its power.

It stands between the journal and the real files by replacing the functions of `os` that the journal
writes with. It knows what was synced, so that a power cut takes back what was not: the bytes behind
the last fsync (all, some or none of them), and names that were made, moved or removed since the
folder's last one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

PATCHED = ("open", "close", "pwrite", "fdatasync", "fsync", "ftruncate", "rename", "unlink")


class Died(BaseException):
    """The process was killed at this instruction; nothing of it runs any more."""


class Disk:
    """What lies in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in PATCHED}
        self.calls = 0
        self.die_at = 0
        """The number of the call to die in; 0: never."""
        self.full = False
        self.paths: dict[int, Path] = {}
        self.synced: dict[Path, bytes] = {}
        """What a power cut leaves of each file at least."""
        self.names: dict[Path, bytes | None] = {}
        """What stood under a name before it was changed, since the folder's last sync."""

    @contextmanager
    def plugged_in(self) -> Iterator[None]:
        with patch.multiple(os, **{name: getattr(self, name) for name in PATCHED}):
            yield

    def _step(self) -> bool:
        """Count a call; True for the one to die in, once its work is half done."""
        self.calls += 1
        return self.calls == self.die_at

    def _ours(self, path: object) -> Path | None:
        if not isinstance(path, str | Path):
            return None
        found = Path(path)
        return found if found.parent == self.folder else None

    # what replaces the functions of os

    def open(self, path: Any, flags: int, *more: Any, **named: Any) -> int:
        ours = self._ours(path)
        made = ours is not None and bool(flags & os.O_CREAT) and ours.suffix in (".seg", ".thin")
        if made and ours is not None:
            if self._step():
                raise Died
            self._changes(ours)
            if not ours.exists() or flags & os.O_TRUNC:
                self.synced[ours] = b""
        handle: int = self.real["open"](path, flags, *more, **named)
        if ours is not None:
            self.paths[handle] = ours
        return handle

    def close(self, handle: int) -> None:
        self.paths.pop(handle, None)
        self.real["close"](handle)

    def pwrite(self, handle: int, block: Any, offset: int) -> int:
        path = self.paths.get(handle)
        if path is None or path.suffix not in (".seg", ".thin"):
            return int(self.real["pwrite"](handle, block, offset))
        dies = self._step()
        part = bytes(block)[: len(block) // 2] if dies or self.full else bytes(block)
        self.real["pwrite"](handle, part, offset)
        if dies:
            raise Died
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(part)

    def fdatasync(self, handle: int) -> None:
        self._sync(handle)

    def fsync(self, handle: int) -> None:
        self._sync(handle)

    def _sync(self, handle: int) -> None:
        path = self.paths.get(handle)
        if path == self.folder or (path is None and _is_folder(handle)):
            if self._step():
                raise Died
            self.names.clear()
        elif path is not None and path.suffix in (".seg", ".thin"):
            if self._step():
                raise Died
            self.synced[path] = path.read_bytes()

    def ftruncate(self, handle: int, size: int) -> None:
        path = self.paths.get(handle)
        if path is not None and path.suffix == ".seg" and self._step():
            raise Died
        self.real["ftruncate"](handle, size)

    def rename(self, source: Any, target: Any) -> None:
        a, b = self._ours(source), self._ours(target)
        if a is not None and b is not None:
            if self._step():
                raise Died
            self._changes(a)
            self._changes(b)
            self.synced[b] = self.synced.pop(a, b"")
        self.real["rename"](source, target)

    def unlink(self, path: Any, **named: Any) -> None:
        ours = self._ours(path)
        if ours is not None and ours.suffix in (".seg", ".thin"):
            if self._step():
                raise Died
            self._changes(ours)
        self.real["unlink"](path, **named)

    def _changes(self, path: Path) -> None:
        self.names.setdefault(path, path.read_bytes() if path.exists() else None)

    # what happens to it

    def lose_power(self, random: Random) -> None:
        """Take back what was not synced: of each thing all, some or nothing."""
        for path in sorted(self.folder.glob("*.seg")):
            whole, least = path.read_bytes(), self.synced.get(path, b"")
            if whole != least:
                path.write_bytes(_torn(whole, least, random))
        for path, before in self.names.items():
            if random.random() < 0.5:
                if before is None:
                    path.unlink(missing_ok=True)
                else:
                    path.write_bytes(before)
        self.start()

    def end_process(self) -> None:
        """What the kernel does for one that was killed."""
        for handle in list(self.paths):
            self.real["close"](handle)
        self.paths.clear()
        self.full, self.die_at, self.calls = False, 0, 0

    def start(self) -> None:
        """What is there when the machine starts is there for good."""
        self.names.clear()
        self.synced = {path: path.read_bytes() for path in self.folder.glob("*.seg")}


def _torn(whole: bytes, least: bytes, random: Random) -> bytes:
    """Some of the bytes that were written since; of the last of them perhaps zeros instead."""
    if not whole.startswith(least):  # cut since the last sync: either is possible
        return random.choice((whole, least))
    more = whole[len(least) :]
    kept = more[: random.randint(0, len(more))]
    zeros = random.choice((0, 0, random.randint(0, 40)))
    return least + kept[: len(kept) - zeros] + bytes(min(zeros, len(kept)))


def _is_folder(handle: int) -> bool:
    try:
        return Path(f"/proc/self/fd/{handle}").is_dir()
    except OSError:
        return False
