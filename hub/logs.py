"""The log: people read it on a terminal, machines read JSON lines; secrets never reach it."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRETS = ("password", "token", "secret", "community", "authorization")


def _redact(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key in event:
        if any(word in key.lower() for word in _SECRETS):
            event[key] = "***"
    return event


def set_up(level: str = "info", *, json: bool = False, process: str = "") -> None:
    """Log to stderr from `level` on. `process` names who speaks when several share a terminal."""
    structlog.contextvars.bind_contextvars(**({"process": process} if process else {}))
    colours = sys.stderr.isatty()
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=34)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if json else "%H:%M:%S", utc=json),
            _redact,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    for noisy in ("amqtt", "transitions", "aiohttp.access", "uvicorn.access", "mqtt", "apprise"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def get(name: str) -> Any:
    """A structlog logger that says who speaks."""
    return structlog.get_logger(part=name)
