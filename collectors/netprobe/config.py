"""Settings under `collectors.netprobe` and a device's section in the inventory."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

MOST_ADDRESSES = 1024
"""Of a network that is swept: a /22."""


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
    sweep_s: Annotated[float, Field(ge=0.2, le=60)] = 5.0
    """How long a sweep of a network takes: its questions are spread over that."""
    listen_s: Annotated[float, Field(ge=0.2, le=60)] = 5.0
    """How long a stream may be silent."""
    tiers: dict[Literal["ping", "lan", "rtp"], TierChange] = {}


def _wrong(what: str, given: object, remedy: str) -> PydanticCustomError:
    said = {"what": what, "given": repr(given), "remedy": remedy}
    return PydanticCustomError("netprobe", "{what}: {given}", said)


def _interface(name: Any) -> Any:
    if isinstance(name, str) and name and not re.fullmatch(r"[^\s/:]{1,15}", name):
        raise _wrong("is no name of an interface", name, "such as eth0, as `ip link` calls it")
    return name


def _network(text: Any) -> Any:
    try:
        return IPv4Network(text)
    except ValueError:
        raise _wrong("is no IPv4 network", text, "such as 10.12.1.0/24, host bits zero") from None


def _server(text: Any) -> Any:
    try:
        return IPv4Address(text)
    except ValueError:
        raise _wrong("is no IPv4 address", text, "such as 10.12.1.1") from None


def _mac(text: Any) -> Any:
    plain = re.sub(r"[:.-]", "", str(text)).lower()
    if not re.fullmatch(r"[0-9a-f]{12}", plain):
        raise _wrong("is no MAC", text, "such as 48:8f:5a:00:12:7c")
    return ":".join(re.findall("..", plain))


def _list(value: Any) -> Any:
    """One alone may be written without brackets; in a table `;` parts several."""
    return [part.strip() for part in value.split(";")] if isinstance(value, str) else value


Interface = Annotated[str, BeforeValidator(_interface)]
Networks = Annotated[
    list[Annotated[IPv4Network, BeforeValidator(_network)]], BeforeValidator(_list)
]
Servers = Annotated[list[Annotated[IPv4Address, BeforeValidator(_server)]], BeforeValidator(_list)]
Macs = Annotated[list[Annotated[str, BeforeValidator(_mac)]], BeforeValidator(_list)]


class NetprobeSection(BaseModel, extra="forbid"):
    """`collect: {netprobe: {}}` of a device."""

    address: str = ""
    """Whom to ask, when that is not the device's own address."""
    ping: bool = True
    mac: Macs = []
    """The MACs that it may have; without it, whatever it had first."""
    interface: Interface = ""
    """This machine's interface on the device's network, which is swept and heard there."""
    sweep: Networks = []
    """What is swept; empty: the interface's own network."""
    guests: Networks = []
    """Where unlisted devices may be: the pools of DHCP."""
    dhcp_servers: Servers | None = None
    """DHCP servers that may answer on that network; None: nobody is watched."""
    rtp: Interface = ""
    """This machine's interface where the device's stream passes by."""

    @model_validator(mode="after")
    def _belongs_together(self) -> NetprobeSection:
        if not self.interface:
            for key in ("sweep", "guests", "dhcp_servers"):
                if getattr(self, key) not in ([], None):
                    raise PydanticCustomError(
                        "netprobe",
                        "{key} without interface",
                        {"key": key, "remedy": "say on which interface, such as interface: eth0"},
                    )
        if sum(network.num_addresses for network in self.sweep) > MOST_ADDRESSES:
            raise PydanticCustomError(
                "netprobe",
                "sweep has over {most} addresses",
                {"most": MOST_ADDRESSES, "remedy": "a /22 at most; name the parts that matter"},
            )
        return self
