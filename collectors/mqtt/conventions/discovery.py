"""Words of Home Assistant's discovery: short keys, and which device class is which field.

https://www.home-assistant.io/integrations/mqtt/#supported-abbreviations-in-mqtt-discovery-messages
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHORT = {
    "avty": "availability", "avty_t": "availability_topic", "avty_tpl": "availability_template",
    "cmps": "components", "cns": "connections", "dev": "device", "dev_cla": "device_class",
    "exp_aft": "expire_after", "ids": "identifiers", "mf": "manufacturer", "mdl": "model",
    "o": "origin", "p": "platform", "pl_avail": "payload_available",
    "pl_not_avail": "payload_not_available", "stat_cla": "state_class", "stat_t": "state_topic",
    "sa": "suggested_area", "sw": "sw_version", "t": "topic", "uniq_id": "unique_id",
    "unit_of_meas": "unit_of_measurement", "val_tpl": "value_template", "via_device": "via_device",
}  # fmt: skip

CLASSES: Mapping[str, str] = {
    "atmospheric_pressure": "pressure",
    "battery": "battery_pct",
    "carbon_dioxide": "co2_ppm",
    "carbon_monoxide": "co",
    "conductivity": "conductivity_uscm",
    "humidity": "humidity",
    "illuminance": "illuminance_lx",
    "nitrogen_dioxide": "no2",
    "ozone": "o3",
    "ph": "ph",
    "pm10": "pm10",
    "pm25": "pm25",
    "precipitation": "rain_mm",
    "pressure": "pressure",
    "signal_strength": "rssi_dbm",
    "sound_pressure": "noise_dba",
    "sulphur_dioxide": "so2",
    "temperature": "temperature",
    "voltage": "battery_v",
    "wind_direction": "wind_dir_deg",
    "wind_speed": "wind_ms",
}
"""device_class → our field."""

IGNORED = frozenset({
    "timestamp", "duration", "energy", "power", "current", "data_rate", "data_size", "enum",
    "frequency", "date", "monetary", "apparent_power", "power_factor", "pm1", "aqi",
    "volatile_organic_compounds", "volatile_organic_compounds_parts", "moisture",
    "gas", "water", "distance",
})  # fmt: skip
"""Classes that are no field of ours."""


def expand(said: Mapping[str, Any]) -> dict[str, Any]:
    """Short keys written out, and the base topic `~` put into topics; one level, and `device`."""
    base = said.get("~")
    whole: dict[str, Any] = {}
    for key, value in said.items():
        name = SHORT.get(key, key)
        if isinstance(base, str) and isinstance(value, str) and name.endswith("topic"):
            if value.startswith("~"):
                value = base + value[1:]
            elif value.endswith("~"):
                value = value[:-1] + base
        if name == "device" and isinstance(value, dict):
            value = {SHORT.get(k, k): v for k, v in value.items()}
        whole[name] = value
    whole.pop("~", None)
    return whole
