"""The small files beside the segments: the mark and the cursors."""

from __future__ import annotations

import mmap
import os
import secrets
from contextlib import suppress
from pathlib import Path
from struct import Struct
from zlib import crc32

_MARK = Struct("<QqI")
_MARK_BYTES = 2 * _MARK.size


def segments(folder: Path) -> list[tuple[int, Path]]:
    """First id and path of every segment, in order."""
    return sorted((int(path.stem), path) for path in folder.glob("[0-9]*.seg"))


def sync_folder(folder: Path) -> None:
    """Make created, renamed and unlinked names durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Mark:
    """The highest fsynced id and its record's time, shared by a memory-mapped file.

    It is kept twice, so that a reader in another process finds one whole copy whenever it looks,
    and so that one spoiled byte does not void it.
    """

    def __init__(self, folder: Path, *, write: bool) -> None:
        """Raises OSError; ValueError where the writer has only just begun to make it."""
        flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        self._handle = os.open(folder / "mark", flags, 0o640)
        try:
            if write and os.fstat(self._handle).st_size < _MARK_BYTES:
                os.pwrite(self._handle, _mark(0, 0) * 2, 0)
            access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
            self._map = mmap.mmap(self._handle, _MARK_BYTES, access=access)
        except BaseException:
            os.close(self._handle)
            raise

    def get(self) -> int:
        """The id; 0 if both copies are spoiled."""
        return (self.read() or (0, 0))[0]

    def read(self) -> tuple[int, int] | None:
        """The id and its record's time; None if both copies are spoiled."""
        whole = self._map[:_MARK_BYTES]
        found = []
        for offset in (0, _MARK.size):
            number, time_ns, crc = _MARK.unpack_from(whole, offset)
            if crc == crc32(whole[offset : offset + 16]):
                found.append((number, time_ns))
        return max(found, default=None)

    def set(self, number: int, time_ns: int) -> None:
        copy = _mark(number, time_ns)
        self._map[: _MARK.size] = copy
        self._map[_MARK.size : _MARK_BYTES] = copy

    def sync(self) -> None:
        self._map.flush()
        os.fsync(self._handle)

    def close(self) -> None:
        self._map.close()
        os.close(self._handle)


def _mark(number: int, time_ns: int) -> bytes:
    head = _MARK.pack(number, time_ns, 0)[:16]
    return head + crc32(head).to_bytes(4, "little")


class Cursor:
    """The last id that a reader is done with, for good.

    Set it only after what was read is durable elsewhere. It need not be synced: an older value
    only keeps a segment longer. It is written in place, since a full disk has room for nothing
    else, and a disk filled by the journal is only freed by cursors that move.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / "cursors" / name
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def get(self) -> int:
        """0 if it was never set or can't be read."""
        for _ in range(10):
            try:
                value, crc = self._path.read_bytes().split()
                if int(crc, 16) == crc32(value):
                    return int(value)
            except (OSError, ValueError):
                return 0
        return 0

    def set(self, value: int) -> None:
        """Raises OSError; the cursor may then stand where it stood or read as 0."""
        text = b"%020d" % value
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o640)
        try:
            os.pwrite(handle, b"%s %08x\n" % (text, crc32(text)), 0)
        finally:
            os.close(handle)


def identity(folder: Path) -> str:
    """Tells this journal from one that stood in the same place before; made when first asked for.

    Ids begin at 1 in every journal, so whoever keeps one of them must know whose it is.
    """
    path = folder / "identity"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f"identity.{os.getpid()}"
        fresh.write_text(secrets.token_hex(8))
        # Both processes may be the first to ask: the link is made by one of them.
        with suppress(FileExistsError):
            path.hardlink_to(fresh)
        fresh.unlink()
    return path.read_text()
