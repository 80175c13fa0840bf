"""Signed links in messages: whoever has the message may do one act to one alert for a while.

A link holds what it allows in the clear (act, alert, since when, channel, expiry) and an
HMAC-SHA256 over it. Following it shows a page that asks; only its button acts. It is bound to one
occurrence: when the alert is over and fires again, old links do nothing. The key lies in the data
folder; deleting it makes every link that is under way worthless.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from pathlib import Path
from typing import NamedTuple

import msgspec

from hub import wholefile
from hub.clock import NS
from rules.transition import Transition

PATH = "/tindak/"
"""Where the page is, below `web.public_url`."""
LASTS_NS = 24 * 3_600 * NS
_MAC = 20
"""Bytes of the HMAC that are kept; RFC 2104 wants half of it at least."""


class BadLink(Exception):
    """The link allows nothing; the message says why: `unknown` or `expired`."""


class Link(NamedTuple):
    """What a link allows."""

    act: str
    alert: str
    since_ns: int
    channel: str
    expires_ns: int


class Signer:
    """Makes and reads links. `base` is the public URL of the board."""

    def __init__(self, key: bytes, base: str) -> None:
        self._key = key
        self._base = base.rstrip("/")

    def link(self, act: str, transition: Transition, channel: str) -> str:
        """The URL that lets the readers of a channel do an act to a transition's alert."""
        expires_ns = transition.time_ns + LASTS_NS
        allowed = Link(act, transition.key, transition.since_ns, channel, expires_ns)
        return f"{self._base}{PATH}{self.token(allowed)}"

    def token(self, link: Link) -> str:
        body = msgspec.json.encode(tuple(link))
        return _text(self._mac(body) + body)

    def read(self, token: str, now_ns: int) -> Link:
        """What a token allows. Raises `BadLink`."""
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            mac, body = raw[:_MAC], raw[_MAC:]
            if not hmac.compare_digest(mac, self._mac(body)):
                raise BadLink("unknown")
            link = msgspec.json.decode(body, type=Link)
        except (ValueError, binascii.Error):
            raise BadLink("unknown") from None
        if now_ns >= link.expires_ns:
            raise BadLink("expired")
        return link

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, b"toba-hub link 1\n" + body, hashlib.sha256).digest()[:_MAC]


def key(path: Path) -> bytes:
    """The key in that file, made where there is none. Raises OSError."""
    try:
        found = path.read_bytes()
        if len(found) >= 32:
            return found
    except FileNotFoundError:
        pass
    made = secrets.token_bytes(32)
    wholefile.replace(path, made)
    return made


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
