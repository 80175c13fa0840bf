"""Apprise, through its own JSON service, to a real HTTP server."""

from __future__ import annotations

import json
import logging

import pytest
from aiohttp import web
from pydantic import ValidationError

from hub.notify.channels.apprise import AppriseChannel, AppriseConfig
from hub.notify.channels.base import TryAgain
from hub.problems import from_pydantic
from hub.settings import Settings
from tests.notify_support import http_stub, message, tools


def channel_to(url: str) -> AppriseChannel:
    config = AppriseConfig.model_validate({"type": "apprise", "url": url})
    assert "s3cret" not in repr(config)
    return config.build("other", tools())


async def test_title_text_and_kind_get_through() -> None:
    async with http_stub() as stub:
        channel = channel_to(stub.url.replace("http://", "json://user:s3cret@"))
        firing = message(severity="critical")
        await channel.send(firing)
        await channel.send(message(id="8-0", after="resolved"))
        await channel.close()
        first, second = (json.loads(asked.body) for asked in stub.asked)
    assert (first["title"], first["message"], first["type"]) == (
        firing.title,
        firing.text,
        "failure",
    )
    assert second["type"] == "success"


async def test_every_failure_is_temporary_and_tells_apprises_reason_without_the_url() -> None:
    async with http_stub() as stub:
        stub.usual = lambda: web.Response(status=403)
        channel = channel_to(stub.url.replace("http://", "json://user:s3cret@"))
        with pytest.raises(TryAgain, match="403") as error:
            await channel.send(message())
        await channel.close()
    assert "s3cret" not in str(error.value)


def test_an_unusable_url_and_its_token_reach_no_log_and_no_list_of_problems() -> None:
    seen: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    listener = Listener()
    logging.getLogger().addHandler(listener)
    data = {"channels": {"wa": {"type": "apprise", "url": "whatsapp://s3cret@x/1"}}}
    try:
        with pytest.raises(ValidationError, match="is no URL that apprise knows") as error:
            Settings(**data)  # type: ignore[arg-type]
    finally:
        logging.getLogger().removeHandler(listener)
    assert seen == []
    assert "s3cret" not in str(from_pydantic(error.value, Settings))
