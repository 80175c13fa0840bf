"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mosquitto_support import Mosquitto, broker


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real mosquitto of the test's own."""
    with broker(tmp_path) as running:
        yield running


@pytest.fixture(params=[5, 4], ids=["mqtt5", "mqtt311"])
def protocol(request: pytest.FixtureRequest) -> int:
    """Both versions of MQTT that brokers speak."""
    return int(request.param)
