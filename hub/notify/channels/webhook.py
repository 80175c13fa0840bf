"""JSON by HTTP POST, signed as the Standard Webhooks specification (standardwebhooks.com) wants:
`webhook-id` is the idempotency key, `webhook-signature` is `v1,` and the base64 of
HMAC-SHA256(secret, "{id}.{timestamp}.{body}").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import msgspec
from pydantic import SecretStr, field_validator

from hub.clock import NS, from_datetime, to_datetime
from hub.network import said
from hub.notify.channels.base import NeverWorks, Policy, Tools, TryAgain
from hub.notify.message import Message

_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


class WebhookConfig(Policy, frozen=True):
    type: Literal["webhook"]
    audience: Literal["people", "machine"] = "machine"
    url: SecretStr
    """http or https; kept secret because many services put a token into it."""
    secret: SecretStr | None = None
    """Key of the signature: any text, or `whsec_` and base64."""
    proxy: str = ""

    @field_validator("url")
    @classmethod
    def _has_host(cls, value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http://… or https://… with a host name")
        return value

    @field_validator("secret")
    @classmethod
    def _is_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _key(value)
        return value

    def build(self, name: str, tools: Tools) -> WebhookChannel:
        return WebhookChannel(name, self, tools)


class WebhookChannel:
    def __init__(self, name: str, config: WebhookConfig, tools: Tools) -> None:
        self.name = name
        self._config = config
        self._now_ns = tools.now_ns
        self._url = config.url.get_secret_value()
        self._place = urlsplit(self._url).hostname
        self._session: aiohttp.ClientSession | None = None

    async def send(self, message: Message) -> None:
        body = msgspec.json.encode(payload(message))
        try:
            async with self._open().post(
                self._url,
                data=body,
                headers=self._headers(message.key, body),
                allow_redirects=False,
                proxy=self._config.proxy or None,
            ) as response:
                judge(self._place or "", response, self._now_ns())
        except (aiohttp.ClientError, OSError) as error:
            raise TryAgain(f"{self._place}: {said(error).replace(self._url, '…')}") from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._config.timeout_s)
            )
        return self._session

    def _headers(self, key: str, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": key,
            "webhook-id": key,
            "webhook-timestamp": str(self._now_ns() // NS),
        }
        if self._config.secret is not None:
            headers["webhook-signature"] = sign(
                self._config.secret, key, headers["webhook-timestamp"], body
            )
        return headers


def payload(message: Message) -> dict[str, Any]:
    """The body: everything that the words were made of, times in RFC 3339 (UTC)."""
    facts = message.facts
    return {
        "type": f"alert.{message.state}",
        "key": message.key,
        "alert": message.alert,
        "state": message.state,
        "kind": message.kind,
        "severity": message.severity,
        "rule": message.rule,
        "device": message.device,
        "tags": message.tags,
        "value": message.value,
        "unit": facts.unit,
        "threshold": facts.threshold,
        "since": _utc(message.since_ns),
        "time": _utc(message.time_ns),
        "language": message.language,
        "title": message.title,
        "text": message.text,
        "place": {"opd": facts.opd, "site": facts.site, "kecamatan": facts.kecamatan,
                  "lat": facts.lat, "lon": facts.lon},
        "dependants": facts.dependants,
        "collapsed": message.collapsed,
        "link": message.link,
    }  # fmt: skip


def sign(secret: SecretStr, key: str, timestamp: str, body: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = f"{key}.{timestamp}.".encode() + body
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def judge(place: str, response: aiohttp.ClientResponse, now_ns: int) -> None:
    """Accept 2xx; raise NeverWorks or TryAgain for the rest."""
    status = response.status
    if 200 <= status < 300:
        return
    text = f"{place} answered {status} {response.reason or ''}".rstrip()
    if status >= 500 or status in _PASSING:
        raise TryAgain(text, retry_after(response.headers.get("Retry-After", ""), now_ns))
    raise NeverWorks(text)


def retry_after(value: str, now_ns: int) -> float | None:
    """Seconds of a Retry-After header (RFC 9110 10.2.3): a number or a date; None if neither."""
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        return max(0.0, (from_datetime(moment) - now_ns) / NS)
    except (ValueError, TypeError):
        return None


def _key(secret: SecretStr) -> bytes:
    text = secret.get_secret_value()
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("after whsec_ base64 must follow") from None


def _utc(time_ns: int) -> str:
    return to_datetime(time_ns).isoformat(timespec="milliseconds").replace("+00:00", "Z")
