"""Named tokens with a role, kept as hashes in `<data>/tokens.json` (mode 0600).

A token is 256 random bits, so one SHA-256 of it is as hard to reverse as the token is to guess.
The clear text is shown once, when it is made.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Literal, cast, get_args

from hub import wholefile

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From least to most; each may do what those before it may."""

PREFIX = "toba_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}")


class TokenError(Exception):
    """A token can't be made, read or taken back; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token as it is stored: who, what they may do, when it was made."""

    name: str
    role: Role
    created_ns: int
    sha256: str


def allows(role: Role, needed: Role) -> bool:
    return ROLES.index(role) >= ROLES.index(needed)


class Tokens:
    """The file of tokens; read again when it changes, so the CLI and the hub may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: tuple[Token, ...] = ()
        self._stamp: tuple[int, int, int] | None = None

    def list(self) -> Sequence[Token]:
        """Every token. Raises `TokenError` when the file can't be understood."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._known, self._stamp = (), None
            return self._known
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if stamp != self._stamp:
            self._known, self._stamp = _read(self.path), stamp
        return self._known

    def create(self, name: str, role: Role, now_ns: int) -> str:
        """Make a token and return its clear text, which is kept nowhere. Raises `TokenError`."""
        if not NAME.fullmatch(name):
            raise TokenError(
                f"{name!r} can't name a token: letters, digits, space and . _ @ - only, at most 64"
            )
        if role not in ROLES:
            raise TokenError(f"no role {role!r}; roles are {', '.join(ROLES)}")
        if any(one.name == name for one in self.list()):
            raise TokenError(f"there is a token named {name!r} already; revoke it first")
        clear = PREFIX + secrets.token_urlsafe(32)
        self._write([*self.list(), Token(name, role, now_ns, _hash(clear))])
        return clear

    def revoke(self, name: str) -> None:
        """Take a token back; it stops working at once. Raises `TokenError`."""
        kept = [one for one in self.list() if one.name != name]
        if len(kept) == len(self.list()):
            raise TokenError(f"there is no token named {name!r}")
        self._write(kept)

    def find(self, clear: str) -> Token | None:
        """The token with this clear text; takes the same time whichever it is."""
        wanted, found = _hash(clear), None
        for one in self.list():
            if compare_digest(one.sha256, wanted):
                found = one
        return found

    def _write(self, tokens: Sequence[Token]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        body = json.dumps({"version": 1, "tokens": [asdict(one) for one in tokens]}, indent=1)
        wholefile.replace(self.path, f"{body}\n".encode())
        self._stamp = None


def _hash(clear: str) -> str:
    return hashlib.sha256(clear.encode()).hexdigest()


def _read(path: Path) -> tuple[Token, ...]:
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["tokens"]
        tokens = tuple(
            Token(str(o["name"]), cast(Role, o["role"]), int(o["created_ns"]), str(o["sha256"]))
            for o in listed
        )
        wrong = [one.role for one in tokens if one.role not in ROLES]
        if wrong:
            raise ValueError(f"no role {wrong[0]!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TokenError(
            f"{path}: can't be read as a file of tokens ({error}); restore it from a backup, or "
            "delete it and make new tokens with `toba-hub token create`"
        ) from None
    return tokens
