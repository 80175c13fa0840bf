"""Settings under `collectors.netprobe` and a device's section in the inventory."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class TierChange(BaseModel, extra="forbid"):
    period_s: Annotated[float, Field(gt=0)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] | None = None


class NetprobeConfig(BaseModel, extra="forbid"):
    """`collectors.netprobe`."""

    count: Annotated[int, Field(ge=1, le=20)] = 3
    """Probes a poll."""
    gap_s: Annotated[float, Field(ge=0, le=5)] = 0.2
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 2.0
    """How long each probe waits for its answer."""
    tiers: dict[Literal["ping"], TierChange] = {}


class NetprobeSection(BaseModel, extra="forbid"):
    """`collect: {netprobe: {}}` of a device."""

    address: str = ""
    """Whom to ask, when that is not the device's own address."""
