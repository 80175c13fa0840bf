"""Any of apprise's hundred services, by its URL (github.com/caronc/apprise/wiki).

Apprise only answers true or false, so every failure counts as temporary; what it logs about a
failure is taken as the reason.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator

from hub.network import said
from hub.notify.channels.base import Policy, Tools, TryAgain
from hub.notify.message import Message


@cache
def _library() -> Any:
    """apprise with its services, loaded on first use: it takes a while, and few need it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports imghdr on Python < 3.13
        import apprise

        apprise.Apprise.instantiate("json://localhost")
    # Its log holds URLs with their tokens. What it says of a failure is in our error's text.
    logging.getLogger("apprise").addHandler(logging.NullHandler())
    logging.getLogger("apprise").propagate = False
    return apprise


_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}


class AppriseConfig(Policy, frozen=True):
    type: Literal["apprise"]
    per_minute: int = Field(default=10, ge=0, le=600)
    url: SecretStr

    @field_validator("url")
    @classmethod
    def _is_known(cls, value: SecretStr) -> SecretStr:
        library = _library()
        if library.Apprise.instantiate(value.get_secret_value(), suppress_exceptions=True) is None:
            raise ValueError("is no URL that apprise knows; see its wiki for the service")
        return value

    def build(self, name: str, tools: Tools) -> AppriseChannel:
        return AppriseChannel(name, self)


class AppriseChannel:
    def __init__(self, name: str, config: AppriseConfig) -> None:
        self.name = name
        self._url = config.url.get_secret_value()
        self._service: Any = _library().Apprise()
        self._service.add(self._url)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"apprise {name}")

    async def send(self, message: Message) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._notify, message)

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _notify(self, message: Message) -> None:
        kind = "success" if message.state == "resolved" else _TYPES.get(message.severity, "info")
        with _library().LogCapture(level=logging.WARNING, fmt="%(message)s") as log:
            try:
                took = self._service.notify(
                    body=message.text, title=message.title, notify_type=kind
                )
            except TypeError as error:  # apprise's word for a message that it can't use
                raise TryAgain(f"apprise: {said(error)}") from None
            reason = " ".join(log.getvalue().split())[:300]
        if not took:
            raise TryAgain(
                f"apprise: {reason or 'not sent, no reason given'}".replace(self._url, "…")
            )
