"""Settings (`collectors.snmp`) and a device's section (`collect.snmp` in the inventory)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr

BitsPerSecond = Annotated[int, Field(gt=0)]


class Tier(BaseModel, extra="forbid"):
    """What differs from the manifest's tier."""

    period_s: float | None = Field(default=None, gt=0)
    timeout_s: float | None = Field(default=None, gt=0)


class SnmpConfig(BaseModel, extra="forbid"):
    """How every device is asked, unless its section says otherwise."""

    tiers: dict[Literal["liveness", "traffic", "health", "inventory"], Tier] = {}

    timeout_s: float = Field(default=2.0, gt=0, le=60)
    """Wait for an answer; a retry waits up to a fifth longer each time."""
    retries: int = Field(default=2, ge=0, le=10)
    max_repetitions: int = Field(default=40, ge=1, le=1000)
    """The most rows of a GetBulk page; it starts at 10 and halves where an agent stumbles."""
    max_names: int = Field(default=50, ge=8, le=500)
    """The most values of a Get; it starts at 22 and halves where an agent stumbles."""
    max_rows: int = Field(default=10_000, ge=1)
    """A walk that is longer is cut, with a warning."""


class SnmpSection(BaseModel, extra="forbid"):
    """One device."""

    port: int = Field(default=161, ge=1, le=65535)
    version: Literal["2c"] = "2c"
    community: SecretStr = SecretStr("public")
    """Read-only, please: some objects of RouterOS reboot the device when written."""
    uplinks: list[str] = []
    """ifNames of the ports that carry this device's own connection."""
    speed: dict[str, BitsPerSecond] = {}
    """bit/s by ifName, where the agent's own speed is wrong or the line is slower than the port."""
    timeout_s: float | None = Field(default=None, gt=0, le=60)
    retries: int | None = Field(default=None, ge=0, le=10)
