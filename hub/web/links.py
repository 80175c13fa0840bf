"""The links that offices hang on, and whether each is up; the inventory says which there are."""

from __future__ import annotations

from collections.abc import Iterator

from hub.inventory import Device
from hub.web.headlines import marks_uplinks, uplinks
from hub.web.live import DeviceLive, SeriesLive
from hub.web.states import SHORTEST_SILENCE_NS, usual_gap_ns

GAPS = 3
"""What a port was known to be is believed for that many of its usual gaps."""


def of(device: Device, live: DeviceLive, *, reached: bool, now_ns: int) -> Iterator[bool | None]:
    """Up or not, of each link of the device: the ports that the inventory marks as uplinks, never
    heard ones included; of a router that marks none, the ports that it reports as uplinks, or the
    router as one link. A port that somebody shut on purpose is no link. None: the device is reached
    and tells nothing of the port, so nobody knows."""
    ports = {one.series.tag("ifname"): one for one in live.of("interface")}
    told = not _agent_silent(device, live)
    names = sorted(uplinks(device))
    if not names:
        if device.kind != "router":
            return
        names = sorted(name for name, one in ports.items() if one.fields.get("uplink"))
    if not names:
        yield reached and (told or None)
    for name in names:
        port = ports.get(name)
        if port is None or port.fields.get("admin_up", 1):
            yield reached and (_is_up(port, now_ns) if told else None)


def _is_up(port: SeriesLive | None, now_ns: int) -> bool | None:
    if port is None or "oper_up" not in port.fields:
        return None
    gap = usual_gap_ns(port, "oper_up")
    old = gap > 0 and now_ns - port.times["oper_up"] > max(GAPS * gap, SHORTEST_SILENCE_NS)
    return None if old else bool(port.fields["oper_up"])


def _agent_silent(device: Device, live: DeviceLive) -> bool:
    """The collector that reads the marked ports gets no answer: nothing is known of them."""
    probes = [one for one in live.of("device") if one.series.tag("probe") in marks_uplinks(device)]
    said = [bool(one.fields["up"]) for one in probes if "up" in one.fields]
    return bool(said) and not any(said)
