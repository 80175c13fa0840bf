"""What a Frigate recorder says of its cameras (`frigate/stats`): bytes in, pictures a second out.
Pure. https://docs.frigate.video/integrations/mqtt"""

from __future__ import annotations

import msgspec

from collectors.camera.verdict import Verdict
from hub.api import BadItem

MAX_BYTES = 1024 * 1024
_decode = msgspec.json.Decoder().decode


def fps(payload: bytes) -> dict[str, float]:
    """By Frigate's name of the camera. Raises `BadItem` with `reason: detail`."""
    if len(payload) > MAX_BYTES:
        raise BadItem(f"too_large: {len(payload)} bytes")
    try:
        said = _decode(payload)
    except (ValueError, RecursionError) as error:
        raise BadItem(f"bad_json: {str(error)[:200]}") from None
    cameras = said.get("cameras") if isinstance(said, dict) else None
    if not isinstance(cameras, dict):
        raise BadItem("wrong_shape: Frigate's stats have no cameras")
    found = {}
    for name, camera in cameras.items():
        rate = camera.get("camera_fps") if isinstance(camera, dict) else None
        if isinstance(rate, (int, float)) and not isinstance(rate, bool) and 0 <= rate <= 240:
            found[name] = float(rate)
    return found


def verdict(rate: float) -> Verdict:
    """Frigate's own word for a camera: pictures reach it, or none."""
    return Verdict(True, "ok") if rate > 0 else Verdict(False, "no pictures reach Frigate")
