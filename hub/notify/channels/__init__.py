"""Ways to reach people. A new kind is a module with a config and a channel, and a line here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from hub.notify.channels.alertmanager import AlertmanagerConfig
from hub.notify.channels.apprise import AppriseConfig
from hub.notify.channels.base import Channel, NeverWorks, Policy, Tools, TryAgain
from hub.notify.channels.log import LogConfig
from hub.notify.channels.mqtt import MqttConfig
from hub.notify.channels.smtp import SmtpConfig
from hub.notify.channels.telegram import TelegramConfig
from hub.notify.channels.webhook import WebhookConfig

__all__ = [
    "Channel",
    "ChannelConfig",
    "NeverWorks",
    "Policy",
    "Tools",
    "TryAgain",
    "build",
    "unknown_fallbacks",
]

ChannelConfig = Annotated[
    LogConfig
    | WebhookConfig
    | TelegramConfig
    | SmtpConfig
    | AppriseConfig
    | MqttConfig
    | AlertmanagerConfig,
    Field(discriminator="type"),
]


def build(configs: Mapping[str, ChannelConfig], tools: Tools) -> dict[str, tuple[Channel, Policy]]:
    """Every channel of the settings by name. Touches no network."""
    return {name: (config.build(name, tools), config) for name, config in configs.items()}


def unknown_fallbacks(configs: Mapping[str, ChannelConfig]) -> Iterator[tuple[str, str]]:
    """(channel, what is wrong with its fallback), for the check of the settings."""
    for name, config in configs.items():
        if config.fallback == name:
            yield name, "a channel can't be its own fallback"
        elif config.fallback and config.fallback not in configs:
            yield name, f"no channel {config.fallback!r}"
