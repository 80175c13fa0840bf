"""The hub's own log as a channel: it needs nothing, so a first start already tells."""

from __future__ import annotations

from typing import Literal

from hub.notify.channels.base import Policy, Tools
from hub.notify.message import Message


class LogConfig(Policy, frozen=True):
    type: Literal["log"]

    def build(self, name: str, tools: Tools) -> LogChannel:
        return LogChannel(name, tools)


class LogChannel:
    def __init__(self, name: str, tools: Tools) -> None:
        self.name = name
        self._log = tools.log

    async def send(self, message: Message) -> None:
        self._log.info(message.title, key=message.key, text=message.text.replace("\n", " | "))

    async def close(self) -> None:
        pass
