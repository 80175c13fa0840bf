"""Telegram against a stub that answers as the Bot API does (core.telegram.org/bots/api)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from hub.notify.channels.base import NeverWorks, Tools, TryAgain
from hub.notify.channels.telegram import TelegramChannel, TelegramConfig
from tests.notify_support import Lines, Stub, http_stub, message, until

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


def sent() -> web.Response:
    return web.json_response(
        {"ok": True, "result": {"message_id": 7, "date": 1_795_323_900, "chat": {"id": -100}}}
    )


def refused(code: int, description: str, **parameters: int) -> web.Response:
    body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    if parameters:
        body["parameters"] = parameters
    return web.json_response(body, status=code)


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with http_stub() as running:
        running.usual = sent
        yield running


Open = Callable[..., TelegramChannel]


@pytest.fixture
async def channel(stub: Stub) -> AsyncIterator[TelegramChannel]:
    opened = channel_to(stub.url)
    yield opened
    await opened.close()


def channel_to(api: str, **config: Any) -> TelegramChannel:
    settings = {"type": "telegram", "token": TOKEN, "chat_id": -100, "api": api, **config}
    return TelegramConfig.model_validate(settings).build("tg", Tools(Lines()))


async def test_the_message_goes_to_the_chat_as_plain_text(
    stub: Stub, channel: TelegramChannel
) -> None:
    shown = message(title={"id": "<b>_*[PM2.5]*_</b> & lain"})
    await channel.send(shown)
    (asked,) = stub.asked
    assert asked.path == f"/bot{TOKEN}/sendMessage"
    body = json.loads(asked.body)
    assert body["chat_id"] == -100
    assert body["text"] == f"{shown.title}\n\n{shown.text}"
    assert "parse_mode" not in body
    assert body["disable_notification"] is False


async def test_an_information_makes_no_sound_and_a_topic_is_named(stub: Stub) -> None:
    channel = channel_to(stub.url, chat_id="@toba", thread_id=5)
    await channel.send(message(severity="info"))
    await channel.close()
    body = json.loads(stub.asked[0].body)
    assert (body["chat_id"], body["message_thread_id"]) == ("@toba", 5)
    assert body["disable_notification"] is True


async def test_a_text_is_cut_at_the_limit_counted_as_telegram_counts(
    stub: Stub, channel: TelegramChannel
) -> None:
    await channel.send(message(advice={"id": "🌊" * 4_000}))
    text = json.loads(stub.asked[0].body)["text"]
    assert len(text.encode("utf-16-le")) // 2 in (4_095, 4_096)
    assert text.endswith("🌊…")


@pytest.mark.parametrize(
    ("code", "description"),
    [
        (400, "Bad Request: chat not found"),
        (401, "Unauthorized"),
        (403, "Forbidden: bot was blocked by the user"),
        (404, "Not Found"),
    ],
)
async def test_a_wrong_token_or_chat_is_for_ever(
    stub: Stub, channel: TelegramChannel, code: int, description: str
) -> None:
    stub.answers = [refused(code, description)]
    with pytest.raises(NeverWorks, match=description):
        await channel.send(message())


async def test_flood_control_names_its_seconds(stub: Stub, channel: TelegramChannel) -> None:
    stub.answers = [refused(429, "Too Many Requests: retry after 34", retry_after=34)]
    with pytest.raises(TryAgain, match="retry after 34") as error:
        await channel.send(message())
    assert error.value.retry_after_s == 34


async def test_a_group_that_became_a_supergroup_is_followed(
    stub: Stub, channel: TelegramChannel
) -> None:
    upgraded = "Bad Request: group chat was upgraded to a supergroup chat"
    stub.answers = [refused(400, upgraded, migrate_to_chat_id=-1001234567890)]
    await channel.send(message())
    await channel.send(message())
    assert [json.loads(asked.body)["chat_id"] for asked in stub.asked] == [
        -100,
        -1001234567890,
        -1001234567890,
    ]


@pytest.mark.parametrize("status", [403, 404, 407, 502, 200])
async def test_a_proxys_page_is_never_taken_for_a_refusal(
    stub: Stub, channel: TelegramChannel, status: int
) -> None:
    stub.answers = [web.Response(status=status, text="<html>Internet Positif</html>")]
    with pytest.raises(TryAgain, match=f"{status}, not an answer"):
        await channel.send(message())


async def test_a_server_error_is_temporary(stub: Stub, channel: TelegramChannel) -> None:
    stub.answers = [refused(500, "Internal Server Error")]
    with pytest.raises(TryAgain):
        await channel.send(message())


async def test_the_token_is_in_no_error_no_repr_and_no_log(
    stub: Stub, unused_tcp_port: int
) -> None:
    config = TelegramConfig.model_validate({"type": "telegram", "token": TOKEN, "chat_id": 1})
    assert TOKEN not in repr(config) + config.model_dump_json()
    stub.answers = [refused(401, f"Unauthorized: {TOKEN}")]
    for api, error_type in [
        (stub.url, NeverWorks),
        (f"http://127.0.0.1:{unused_tcp_port}", TryAgain),
        ("http://no such host", TryAgain),
    ]:
        channel = channel_to(api)
        with pytest.raises(error_type) as error:
            await channel.send(message())
        await channel.close()
        assert TOKEN not in str(error.value)
        assert error.value.__cause__ is None
        assert error.value.__suppress_context__ or error.value.__context__ is None


async def test_no_answer_is_temporary(stub: Stub) -> None:
    import asyncio

    stub.hang = asyncio.Event()
    channel = channel_to(stub.url, timeout_s=0.05)
    with pytest.raises(TryAgain):
        await channel.send(message())
    await until(lambda: len(stub.asked) == 1)
    await channel.close()
