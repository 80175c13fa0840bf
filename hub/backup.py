"""`toba-hub backup` and `restore`: the data folder in one tar file, while the hub runs.

What must hold in the copy, so that a restored hub goes on as after a `kill -9`:
  every cursor (the forwarder's file, DuckDB's last id, the engine's snapshot in serve.db) stands at
  or before the end of the copied journal, and the journal's records behind it are all there.

The journal grows at its end and is freed at its front, up to the slowest cursor. Hence the order:
  1. cursor files          they only move on: taken first, they are the oldest of all
  2. hold the segments     by open file descriptors: what is unlinked or replaced from now on can
                           still be read, so nothing behind a cursor of step 1 or 3 gets lost
  3. serve.db and DuckDB   of one moment (see snapshot.py). Whatever they have folded was durable
                           in the journal before, so it is in what is copied later
  4. segments made since   their first ids follow on what is held
  5. the mark              read before the segments' lengths, so that it never promises a record
                           that the copied bytes don't hold
  6. the bytes             of each segment as long as it is now. A tail behind the mark is what a
                           crash leaves, too: opening the journal keeps its whole records
Copying the journal before the databases would let their cursors point behind its end; not holding
the segments would let the hub free what the copied cursors still need.

A backup ends in `manifest.json`, the sum of every file in it; one without is not whole. Passwords
in the settings are in it: the file is made readable for its owner alone.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import io
import json
import os
import resource
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from hub import __version__, rulebook, snapshot, supervisor
from hub.clock import now_ns
from hub.configuration import Configuration
from hub.journal.files import segments
from hub.supervisor import FolderLock

FORMAT = 1
MANIFEST = "manifest.json"
CONFIGURATION = "configuration"
"""Folder of copies of settings, inventory and rules: to look at, the hub reads its own."""
_LEFT_OUT = ("hub.lock", "backup.lock", "lock")
_CHUNK = 1024 * 1024


class Refused(Exception):
    """When a backup or restore can't or must not be done; says what to do instead."""


Progress = Callable[[str, int, int], None]
"""What is being copied, bytes so far, bytes in all (0: not known yet)."""


@dataclass
class Held:
    """The journal's segments by name, open for reading."""

    folder: Path
    stack: ExitStack
    files: dict[str, IO[bytes]] = field(default_factory=dict)

    def hold(self) -> None:
        """Open the segments that are not held yet."""
        known = segments(self.folder)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if len(known) + 100 > soft and (hard < 0 or soft < hard):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for _, path in known:
            if path.name in self.files:
                continue
            try:
                self.files[path.name] = self.stack.enter_context(path.open("rb"))
            except FileNotFoundError:  # freed just now: every cursor has passed it
                continue


def write(conf: Configuration, target: Path, *, readings: bool, progress: Progress) -> int:
    """Back up a data folder into `target`; return its size in bytes.

    `readings`: with the embedded store's file. Raises Refused, TryAgain, OSError.
    """
    data = conf.settings.data
    if target.exists():
        raise Refused(f"{target} is there already; give another name")
    if not (data / "journal").is_dir():
        raise Refused(f"there is nothing to back up in {data}: no hub has run on it yet")
    own = conf.settings.store.path
    with ExitStack() as stack:
        _only_one(data, stack)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".backup-", dir=data)))
        cursors = {
            f"journal/cursors/{path.name}": path.read_bytes()
            for path in (data / "journal" / "cursors").glob("*")
        }
        held = Held(data / "journal", stack)
        held.hold()
        whole = readings and conf.settings.store.kind == "duckdb"
        progress("databases", 0, 0)
        if supervisor.running(data) is not None:
            asyncio.run(snapshot.ask(data, folder, whole))
        else:
            lock = FolderLock.take(data, "no board: a backup is made")
            stack.callback(lock.release)
            _copy_resting(data, folder, (own or data / snapshot.READINGS) if whole else None)
        held.hold()
        part = target.with_name(target.name + ".part")
        try:
            with os.fdopen(
                os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as file:
                _pack(file, conf, folder, cursors, held, progress)
                file.flush()
                os.fsync(file.fileno())
            part.rename(target)
        except FileExistsError:
            raise Refused(
                f"{part} is there: another backup is being made, or one broke off; remove it"
            ) from None
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    return target.stat().st_size


def _new_file(path: Path) -> IO[bytes]:
    """A file that nobody else may read. Raises FileExistsError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _only_one(data: Path, stack: ExitStack) -> None:
    handle = os.open(data / "backup.lock", os.O_RDWR | os.O_CREAT, 0o600)
    stack.callback(os.close, handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Refused(f"a backup of {data} is being made already") from None
    for left in data.glob(".backup-*"):  # of one that was killed
        shutil.rmtree(left, ignore_errors=True)


def _copy_resting(data: Path, folder: Path, readings: Path | None) -> None:
    """The databases of a hub that does not run."""
    if (data / snapshot.LEDGER).exists():
        snapshot.copy_ledger(data / snapshot.LEDGER, folder / snapshot.LEDGER)
    for suffix in ("", ".wal"):
        source = readings and readings.with_name(readings.name + suffix)
        if source and source.exists():
            shutil.copyfile(source, folder / (snapshot.READINGS + suffix))


def _pack(
    file: IO[bytes],
    conf: Configuration,
    folder: Path,
    cursors: Mapping[str, bytes],
    held: Held,
    progress: Progress,
) -> None:
    data = conf.settings.data
    sums: dict[str, str] = {}
    small: dict[str, bytes] = dict(cursors)
    # The mark first, then how long the segments are: see the order above.
    for name in ("mark", "identity"):
        if (data / "journal" / name).exists():
            small[f"journal/{name}"] = (data / "journal" / name).read_bytes()
    large: list[tuple[str, IO[bytes], int]] = [
        (f"journal/{name}", one, os.fstat(one.fileno()).st_size)
        for name, one in sorted(held.files.items())
    ]
    for path in sorted(folder.iterdir()):
        one = held.stack.enter_context(path.open("rb"))
        large.append((path.name, one, path.stat().st_size))
    small |= {path.name: path.read_bytes() for path in _others(data)}
    small |= _configuration(conf)
    total = sum(size for _, _, size in large) + sum(map(len, small.values()))
    done = 0
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in small.items():
            sums[name] = hashlib.sha256(content).hexdigest()
            _add(tar, name, io.BytesIO(content), len(content))
            done += len(content)
        for name, source, size in large:
            summed = _Summed(source, size, partial(_tell, progress, name, done, total))
            _add(tar, name, summed, size)
            sums[name] = summed.sum.hexdigest()
            done += size
        manifest = {"format": FORMAT, "version": __version__, "made_ns": now_ns(), "sums": sums}
        content = json.dumps(manifest, indent=1).encode()
        _add(tar, MANIFEST, io.BytesIO(content), len(content))
    progress("", total, total)


def _tell(progress: Progress, name: str, before: int, total: int, here: int) -> None:
    progress(name, before + here, total)


def _others(data: Path) -> Iterator[Path]:
    """Tokens, parked points and what else lies in the data folder: no sockets, locks, databases."""
    for path in sorted(data.iterdir()):
        database = path.name.startswith((snapshot.LEDGER, snapshot.READINGS))
        hidden = path.name.startswith(".") or path.name in _LEFT_OUT
        if path.is_file() and not path.is_symlink() and not database and not hidden:
            yield path


def _configuration(conf: Configuration) -> dict[str, bytes]:
    """Settings, inventory and the officer's own rules, by names that can't collide."""
    rules = [p for p in rulebook.paths(conf.settings.rules) if p.parent != rulebook.LIBRARY]
    own = [conf.path, *conf.settings.inventory, *rules]
    found: dict[str, bytes] = {}
    for path in own:
        name = f"{CONFIGURATION}/{path.name}"
        while name in found:
            name += "_"
        if path.is_file():
            found[name] = path.read_bytes()
    return found


class _Summed(io.RawIOBase):
    """Exactly `size` bytes of a file, summed up on the way; zeros where it has become shorter."""

    def __init__(self, source: IO[bytes], size: int, tell: Callable[[int], None]) -> None:
        self.sum = hashlib.sha256()
        self._source, self._size, self._at, self._tell = source, size, 0, tell

    def readable(self) -> bool:
        return True

    def read(self, length: int = -1) -> bytes:
        left = self._size - self._at
        wanted = left if length < 0 else min(length, left)
        found = os.pread(self._source.fileno(), min(wanted, _CHUNK), self._at)
        if wanted and not found:
            # A tail that a failed append took back: nobody was told of it.
            found = bytes(min(wanted, _CHUNK))
        self._at += len(found)
        self.sum.update(found)
        self._tell(self._at)
        if len(found) < wanted:
            return found + self.read(wanted - len(found))
        return found


def _add(tar: tarfile.TarFile, name: str, source: Any, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, now_ns() // 1_000_000_000
    tar.addfile(info, source)


def restore(source: Path, folder: Path, progress: Progress) -> dict[str, Any]:
    """Unpack a backup into a new data folder; return its manifest.

    Raises Refused for a folder that holds something and a backup that is not whole; then nothing
    is left behind.
    """
    if supervisor.running(folder) is not None:
        raise Refused(f"a hub is running on {folder}; stop it and name an empty folder")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"{folder} is not empty; name a new folder, nothing is overwritten")
    existed = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with _undone(folder, existed):
        try:
            return _unpack(source, folder, progress)
        except (tarfile.TarError, EOFError) as error:
            raise Refused(f"{source} is no whole backup: {error}") from error


@contextmanager
def _undone(folder: Path, existed: bool) -> Iterator[None]:
    """Take away what was unpacked when it fails."""
    try:
        yield
    except BaseException:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        if not existed:
            folder.rmdir()
        raise


def _unpack(source: Path, folder: Path, progress: Progress) -> dict[str, Any]:
    sums: dict[str, str] = {}
    manifest: dict[str, Any] | None = None
    total, done = source.stat().st_size, 0
    with tarfile.open(source, "r:") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                raise Refused(f"{source} holds {member.name!r}, which is no file: not our backup")
            if member.name == MANIFEST:
                manifest = json.load(content)
                continue
            path = (folder / member.name).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise Refused(f"{source} holds {member.name!r}, which leads out of the folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            summing = hashlib.sha256()
            with os.fdopen(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb"
            ) as file:
                while chunk := content.read(_CHUNK):
                    file.write(chunk)
                    summing.update(chunk)
                    done += len(chunk)
                    progress(member.name, done, total)
                file.flush()
                os.fsync(file.fileno())
            if path.stat().st_size != member.size:
                raise Refused(f"{source} is no whole backup: {member.name} is cut short")
            sums[member.name] = summing.hexdigest()
    if manifest is None:
        raise Refused(f"{source} is no whole backup: it broke off before its end")
    if manifest.get("format", 0) > FORMAT:
        made_by = f"toba-hub {manifest.get('version')}"
        raise Refused(f"{source} was made by the newer {made_by}; restore it with that one")
    wrong = sorted(n for n in {*sums, *manifest["sums"]} if sums.get(n) != manifest["sums"].get(n))
    if wrong:
        raise Refused(f"{source} is spoiled: {', '.join(wrong)}")
    progress("", total, total)
    return manifest
