"""`toba-hub doctor` on the broker of the cameras' heartbeats."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.camera.collector import CameraCollector
from collectors.camera.config import CameraConfig
from hub.api import Target
from tests.mosquitto_support import free_port, mosquitto

CAMERA = Target("cam1", "camera", "", {})


@pytest.mark.parametrize("protocol", [4, 5])
async def test_a_broker_that_lets_us_in_is_good(tmp_path: Path, protocol: int) -> None:
    with mosquitto(tmp_path) as port:
        broker = {"port": port, "protocol": protocol}
        config = CameraConfig.model_validate({"broker": broker})
        (check,) = await CameraCollector.diagnose(config, [CAMERA])
    assert check.level == "good", check


async def test_a_broker_that_is_not_there_is_bad_and_says_what_to_look_at() -> None:
    config = CameraConfig.model_validate({"broker": {"port": free_port()}})
    (check,) = await CameraCollector.diagnose(config, [CAMERA])
    assert check.level == "bad"
    assert "broker: null" in check.remedy


async def test_without_cameras_or_a_broker_nobody_is_asked() -> None:
    assert await CameraCollector.diagnose(CameraConfig(), []) == []
    assert await CameraCollector.diagnose(CameraConfig(broker=None), [CAMERA]) == []
