"""Which of a device's many readings stand on its card, and which one is its sparkline."""

from __future__ import annotations

from collections.abc import Iterator

from hub.inventory import Device
from hub.web.live import DeviceLive, SeriesLive

ENVIRONMENT = (
    "pm25", "water_level_m", "rain_mm", "do_mgl", "temperature", "humidity", "ph",
    "turbidity_ntu", "pm10", "noise_dba", "wind_ms", "pressure",
)  # fmt: skip
NETWORK = (
    ("interface", "in_bps"), ("interface", "out_bps"), ("device", "rtt_ms"), ("device", "cpu_pct"),
)  # fmt: skip
HEADLINES: dict[str, tuple[tuple[str, str], ...]] = {
    "router": NETWORK,
    "switch": NETWORK,
    "ap": NETWORK,
    "camera": (("camera", "fps"), ("camera", "rtsp_ms"), ("camera", "heartbeat_age_s")),
    "sensor": (
        ("environment", "pm25"),
        ("air_index", "ispu"),
        *(("environment", field) for field in ENVIRONMENT[1:]),
    ),
    "ups": (
        ("device", "battery_pct"),
        ("device", "battery_min"),
        ("device", "ups_load_pct"),
        ("device", "temperature_c"),
    ),
}
MOST = 4


def headline(device: Device, live: DeviceLive) -> Iterator[tuple[SeriesLive, str]]:
    """At most four (series, field), the first being the one to draw."""
    found = 0
    for measurement, field in HEADLINES.get(device.kind, NETWORK):
        one = pick(device, live, measurement, field)
        if one is not None and found < MOST:
            found += 1
            yield one, field


def pick(device: Device, live: DeviceLive, measurement: str, field: str) -> SeriesLive | None:
    """The series that speaks for the device: its uplink, else the busiest, else the first."""
    having = [one for one in live.of(measurement) if field in one.fields]
    if measurement == "interface":
        names = uplinks(device)
        having = [one for one in having if one.series.tag("ifname") in names] or having
        return max(having, key=_traffic, default=None)
    return min(having, key=lambda one: one.series.key, default=None)


def uplinks(device: Device) -> frozenset[str]:
    """Interface names that some collector's section calls `uplinks`."""
    sections = (device.collect[name] for name in marks_uplinks(device))
    return frozenset(str(name) for section in sections for name in section["uplinks"])


def marks_uplinks(device: Device) -> frozenset[str]:
    """The collectors whose section names `uplinks` of the device."""
    return frozenset(
        name
        for name, section in device.collect.items()
        if isinstance(section.get("uplinks"), (list, tuple))
    )


def _traffic(one: SeriesLive) -> float:
    value = one.fields.get("in_bps", 0)
    return 0.0 if isinstance(value, str) else float(value)
