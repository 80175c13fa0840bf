"""Telegram by the Bot API's sendMessage (core.telegram.org/bots/api#sendmessage).

Only an answer of the Bot API itself (JSON with `ok`) can say "never"; a proxy's page can't.
The API knows no idempotency key: after a crash one message may come twice.
"""

from __future__ import annotations

from typing import Any, Literal

import aiohttp
import msgspec
from pydantic import Field, SecretStr

from hub.api import Log
from hub.network import said
from hub.notify.channels.base import NeverWorks, Policy, Tools, TryAgain
from hub.notify.message import Message

_LONGEST = 4096
"""UTF-16 code units in one message."""
_REFUSALS = {400, 401, 403, 404}


class TelegramConfig(Policy, frozen=True):
    type: Literal["telegram"]
    per_minute: int = Field(default=20, ge=0, le=600)
    token: SecretStr = Field(min_length=1)
    """Of the bot, from @BotFather: `123456:ABC…`."""
    chat_id: int | str
    """A person's or group's number, or a channel's @name. The bot must be a member."""
    thread_id: int | None = None
    """A topic in a group with topics."""
    api: str = Field(default="https://api.telegram.org", pattern=r"^https?://[^/]+")
    proxy: str = ""

    def build(self, name: str, tools: Tools) -> TelegramChannel:
        return TelegramChannel(name, self, tools.log)


class _Parameters(msgspec.Struct):
    retry_after: float | None = None
    migrate_to_chat_id: int | None = None


class _Answer(msgspec.Struct):
    ok: bool
    error_code: int = 0
    description: str = ""
    parameters: _Parameters = msgspec.field(default_factory=_Parameters)


class TelegramChannel:
    def __init__(self, name: str, config: TelegramConfig, log: Log) -> None:
        self.name = name
        self._config = config
        self._log = log
        self._token = config.token.get_secret_value()
        self._url = f"{config.api.rstrip('/')}/bot{self._token}/sendMessage"
        self._chat = config.chat_id
        self._session: aiohttp.ClientSession | None = None

    async def send(self, message: Message) -> None:
        answer = await self._ask(message)
        moved = answer.parameters.migrate_to_chat_id
        if not answer.ok and moved is not None:
            self._log.warning(
                "the group became a supergroup, change chat_id in the settings",
                channel=self.name,
                chat_id=moved,
            )
            self._chat = moved
            answer = await self._ask(message)
        if answer.ok:
            return
        text = self._clean(f"Telegram: {answer.error_code} {answer.description}")
        if answer.error_code in _REFUSALS:
            raise NeverWorks(text)
        raise TryAgain(text, answer.parameters.retry_after)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, message: Message) -> _Answer:
        try:
            async with self._open().post(
                self._url,
                json=self._body(message),
                allow_redirects=False,
                proxy=self._config.proxy or None,
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TryAgain(self._clean(f"Telegram: {said(error)}")) from None
        try:
            return msgspec.json.decode(content, type=_Answer)
        except msgspec.DecodeError:
            raise TryAgain(
                f"Telegram: {response.status}, not an answer of the Bot API; a proxy's?"
            ) from None

    def _body(self, message: Message) -> dict[str, Any]:
        body: dict[str, Any] = {
            "chat_id": self._chat,
            "text": _cut(f"{message.title}\n\n{message.text}"),
            "link_preview_options": {"is_disabled": True},
            "disable_notification": message.severity == "info",
        }
        if self._config.thread_id is not None:
            body["message_thread_id"] = self._config.thread_id
        return body

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._config.timeout_s)
            )
        return self._session

    def _clean(self, text: str) -> str:
        """The token stands in the URL and must not come back in an error's text."""
        return text.replace(self._token, "…")


def _cut(text: str) -> str:
    units = text.encode("utf-16-le")
    if len(units) <= 2 * _LONGEST:
        return text
    return units[: 2 * (_LONGEST - 1)].decode("utf-16-le", errors="ignore") + "…"
