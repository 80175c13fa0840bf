"""A camera's heartbeat: bytes in, what it says out. Pure.

    {"ts":1790000000,"seq":4,"fps":12.5,"kbps":1800,"uptime":3600,"storage_pct":41,"drift_ms":120,
     "recorded_s":2,"frame":"9a0b1c2d"}

Every key is optional; `frame` is a fingerprint of the newest picture, `recorded_s` how long ago one
was last recorded.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from hub.api import BadItem

MAX_BYTES = 64 * 1024
OLDEST_S = 1_704_067_200.0
"""2024-01-01: an earlier clock was never set, and its drift says nothing."""


class Heartbeat(NamedTuple):
    """What a camera says of itself; None where it says nothing usable."""

    seq: int | None = None
    fps: float | None = None
    kbps: float | None = None
    uptime_s: float | None = None
    storage_pct: float | None = None
    recording_gap_s: float | None = None
    """Since the newest picture that was recorded, by its own clock."""
    drift_s: float | None = None
    """Its clock minus true time, seconds."""
    frame: str = ""
    live: bool = True
    """False: kept back while offline (`buf`), so no sign of life now."""
    refused: tuple[str, ...] = ()
    """Values that were left out, with the reason."""


class Goodbye(NamedTuple):
    """The Will, or a camera that says it goes: a reason to look, no verdict."""

    word: str


_LIMITS = {
    "fps": (0.0, 1000.0),
    "kbps": (0.0, 1e7),
    "uptime": (0.0, 1e11),
    "storage_pct": (0.0, 100.0),
    "recorded_s": (0.0, 1e9),
    "drift_ms": (-1e12, 1e12),
}
_decode = msgspec.json.Decoder().decode


def parse(payload: bytes, received_ns: int) -> Heartbeat | Goodbye:
    """Raises `BadItem` with `reason: detail`. An empty payload is a bare sign of life."""
    if len(payload) > MAX_BYTES:
        raise BadItem(f"too_large: {len(payload)} bytes")
    if not payload.strip():
        return Heartbeat()
    if payload.strip().lower() in (b"online", b"offline", b"sleeping"):
        return _said(payload.strip().lower().decode())
    try:
        said = _decode(payload)
    except (ValueError, RecursionError) as error:
        raise BadItem(f"bad_json: {str(error)[:200]}") from None
    if not isinstance(said, dict):
        raise BadItem("wrong_shape: a heartbeat is a JSON object")
    state = said.get("state")
    if isinstance(state, str):
        return _said(state.lower())
    refused: list[str] = []
    numbers = {name: _number(said, name, refused) for name in _LIMITS}
    drift_ms = numbers["drift_ms"]
    frame = said.get("frame")
    seq = said.get("seq")
    return Heartbeat(
        seq=seq if type(seq) is int and 0 <= seq < 1 << 32 else None,
        fps=numbers["fps"],
        kbps=numbers["kbps"],
        uptime_s=numbers["uptime"],
        storage_pct=numbers["storage_pct"],
        recording_gap_s=numbers["recorded_s"],
        drift_s=_drift(said.get("ts"), received_ns) if drift_ms is None else drift_ms / 1000,
        frame=frame if isinstance(frame, str) and len(frame) <= 128 else "",
        live=said.get("buf") is not True,
        refused=tuple(refused),
    )


def _said(word: str) -> Heartbeat | Goodbye:
    return Heartbeat() if word == "online" else Goodbye(word[:40])


def _number(said: dict[str, Any], name: str, refused: list[str]) -> float | None:
    value = said.get(name)
    if value is None:
        return None
    low, high = _LIMITS[name]
    if type(value) not in (int, float) or not low <= value <= high:  # NaN fails this too
        refused.append(f"{name} is {value!r:.40}")
        return None
    return float(value)


def _drift(stamp: object, received_ns: int) -> float | None:
    """Device time minus receive time, from a stamp in seconds or milliseconds."""
    if type(stamp) not in (int, float):
        return None
    assert isinstance(stamp, (int, float))  # noqa: S101 - for the type checker
    if not abs(stamp) < 1e14:
        return None
    seconds = stamp / 1000 if abs(stamp) >= 1e11 else float(stamp)
    return seconds - received_ns / 1e9 if seconds >= OLDEST_S else None
