"""The webhook against a real HTTP server: what is sent, and how each answer is judged."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from pydantic import ValidationError

from hub.clock import NS
from hub.notify.channels.base import NeverWorks, Tools, TryAgain
from hub.notify.channels.log import LogConfig
from hub.notify.channels.webhook import WebhookChannel, WebhookConfig, retry_after
from tests.notify_support import NOON, Lines, Stub, http_stub, message, tools


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with http_stub() as running:
        yield running


@pytest.fixture
async def hook(stub: Stub) -> AsyncIterator[WebhookChannel]:
    url = f"{stub.url}/hooks/t0ken"
    config = WebhookConfig.model_validate({"type": "webhook", "url": url, "secret": "kunci"})
    channel = config.build("hook", tools())
    yield channel
    await channel.close()


async def test_the_body_is_json_and_the_signature_can_be_checked(
    stub: Stub, hook: WebhookChannel
) -> None:
    sent = message()
    await hook.send(sent)
    (asked,) = stub.asked
    assert asked.path == "/hooks/t0ken"
    body = json.loads(asked.body)
    assert body["type"] == "alert.firing"
    assert body["time"] == "2026-11-22T05:05:00.000Z"
    assert body["title"] == sent.title
    assert body["value"] == 62.34
    assert asked.headers["Idempotency-Key"] == asked.headers["webhook-id"] == sent.key
    stamp = asked.headers["webhook-timestamp"]
    assert stamp == str(NOON // NS)
    signed = f"{sent.key}.{stamp}.".encode() + asked.body
    mac = base64.b64encode(hmac.new(b"kunci", signed, hashlib.sha256).digest()).decode()
    assert asked.headers["webhook-signature"] == f"v1,{mac}"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
async def test_busy_answers_are_tried_again_when_the_server_says(
    stub: Stub, hook: WebhookChannel, status: int
) -> None:
    stub.answers = [web.Response(status=status, headers={"Retry-After": "17"})]
    with pytest.raises(TryAgain, match=str(status)) as error:
        await hook.send(message())
    assert error.value.retry_after_s == 17


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 302])
async def test_refusals_are_for_ever_and_redirects_are_not_followed(
    stub: Stub, hook: WebhookChannel, status: int
) -> None:
    stub.answers = [web.Response(status=status, headers={"Location": "/elsewhere"})]
    with pytest.raises(NeverWorks, match=str(status)) as error:
        await hook.send(message())
    assert len(stub.asked) == 1
    assert "t0ken" not in str(error.value)


async def test_nobody_listening_is_temporary_and_the_address_stays_secret(
    unused_tcp_port: int,
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/hooks/t0ken"
    config = WebhookConfig.model_validate({"type": "webhook", "url": url})
    assert "t0ken" not in repr(config)
    channel = config.build("hook", tools())
    with pytest.raises(TryAgain) as error:
        await channel.send(message())
    await channel.close()
    assert "t0ken" not in str(error.value)
    assert error.value.__cause__ is None


async def test_without_a_secret_nothing_is_signed(stub: Stub) -> None:
    config = WebhookConfig.model_validate({"type": "webhook", "url": stub.url})
    channel = config.build("hook", tools())
    await channel.send(message())
    await channel.close()
    assert "webhook-signature" not in stub.asked[0].headers


@pytest.mark.parametrize(
    ("key", "value"),
    [("url", "ftp://x/"), ("url", "http:///x"), ("url", "x"), ("secret", "whsec_%"), ("tls", 1)],
)
def test_mistakes_in_the_settings_are_found_without_the_network(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        WebhookConfig.model_validate({"type": "webhook", "url": "http://x/", key: value})


def test_retry_after_is_seconds_or_a_date_or_nothing() -> None:
    assert retry_after("120", NOON) == 120
    assert retry_after("Sun, 22 Nov 2026 05:06:00 GMT", NOON) == 60
    assert retry_after("Sun, 22 Nov 2026 05:00:00 GMT", NOON) == 0
    assert retry_after("", NOON) is None
    assert retry_after("soon", NOON) is None
    assert retry_after("-5", NOON) is None
    assert retry_after("²", NOON) is None


async def test_the_log_channel_writes_one_line() -> None:
    lines = Lines()
    channel = LogConfig(type="log").build("log", Tools(lines))
    await channel.send(message())
    await channel.close()
    level, event, values = lines.told[0]
    assert (level, event) == ("info", "AKTIF · PERINGATAN · PM2.5 tidak sehat di Balige")
    assert "\n" not in values["text"]
