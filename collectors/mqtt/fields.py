"""Which names sensors use, and what they become. A new name is one line here.

The right side is the canonical field of measurement `environment` with `scale` and `offset`
(`value * scale + offset`) from the unit that the name implies.
"""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """`field` = payload value * `scale` + `offset`."""

    field: str
    scale: float = 1.0
    offset: float = 0.0


CANONICAL = {
    "pm25": "µg/m³",
    "pm10": "µg/m³",
    "temperature": "°C",
    "humidity": "%RH",
    "pressure": "hPa",
    "rain_mm": "mm",
    "water_level_m": "m",
    "do_mgl": "mg/L",
    "ph": "pH",
    "turbidity_ntu": "NTU",
    "noise_dba": "dB(A)",
    "wind_ms": "m/s",
    "battery_v": "V",
    "rssi_dbm": "dBm",
    "battery_pct": "%",
    "snr_db": "dB",
    "linkquality": "lqi",
    "co2_ppm": "ppm",
    "illuminance_lx": "lx",
    "conductivity_uscm": "µS/cm",
    "wind_dir_deg": "°",
}
"""The fields of `environment` that this collector emits, and their units."""

ALIASES: dict[str, Rule] = {
    **{name: Rule(name) for name in CANONICAL},
    "pm2_5": Rule("pm25"),
    "pm2.5": Rule("pm25"),
    "t": Rule("temperature"),
    "temp": Rule("temperature"),
    "temp_f": Rule("temperature", 5 / 9, -160 / 9),
    "rh": Rule("humidity"),
    "hum": Rule("humidity"),
    "p": Rule("pressure"),
    "pressure_pa": Rule("pressure", 0.01),
    "rain": Rule("rain_mm"),
    "wl": Rule("water_level_m"),
    "water_level": Rule("water_level_m"),
    "water_level_cm": Rule("water_level_m", 0.01),
    "do": Rule("do_mgl"),
    "turb": Rule("turbidity_ntu"),
    "turbidity": Rule("turbidity_ntu"),
    "ntu": Rule("turbidity_ntu"),
    "noise": Rule("noise_dba"),
    "dba": Rule("noise_dba"),
    "wind": Rule("wind_ms"),
    "wind_kmh": Rule("wind_ms", 1 / 3.6),
    "vbat": Rule("battery_v"),
    "vbat_mv": Rule("battery_v", 0.001),
    "rssi": Rule("rssi_dbm"),
    "snr": Rule("snr_db"),
    "lqi": Rule("linkquality"),
    "co2": Rule("co2_ppm"),
    "illuminance": Rule("illuminance_lx"),
    "lux": Rule("illuminance_lx"),
    "lx": Rule("illuminance_lx"),
    "ec": Rule("conductivity_uscm"),
    "conductivity": Rule("conductivity_uscm"),
    "wind_direction": Rule("wind_dir_deg"),
    "wind_speed": Rule("wind_ms"),
    "relative_humidity": Rule("humidity"),
    "barometric_pressure": Rule("pressure"),
    "battery_voltage": Rule("battery_v"),
    "dissolved_oxygen": Rule("do_mgl"),
    "rainfall": Rule("rain_mm"),
}
"""Names found in payloads."""
