"""Which names sensors use, and what they become. A new name is one line here.

The right side is the canonical field of measurement `environment` with `scale` and `offset`
(`value * scale + offset`) from the unit that the name implies.

Gases that come as a mixing ratio are kept as they came, in ppb, and converted to µg/m³ beside it,
always at the same reference, 25 °C and 1 atm: the law's limits are meant so, and a station at 900 m
would otherwise report some 9 % less for the same share of gas.
"""

from __future__ import annotations

from typing import NamedTuple

from hub.api import MOLAR_MASS, micrograms


class Rule(NamedTuple):
    """`field` = payload value * `scale` + `offset`."""

    field: str
    scale: float = 1.0
    offset: float = 0.0
    also: tuple[str, float] | None = None
    """A second field of the same value, and its scale."""


def _mixing_ratio(gas: str, ppb: float) -> Rule:
    """Of a payload value whose unit is so many ppb."""
    return Rule(f"{gas}_ppb", ppb, also=(gas, micrograms(gas, ppb)))


CANONICAL = {
    "pm25": "µg/m³",
    "pm10": "µg/m³",
    "so2": "µg/m³",
    "no2": "µg/m³",
    "o3": "µg/m³",
    "co": "µg/m³",
    "hc": "µg/m³",
    "so2_ppb": "ppb",
    "no2_ppb": "ppb",
    "o3_ppb": "ppb",
    "co_ppb": "ppb",
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
    **{f"{gas}_ppb": _mixing_ratio(gas, 1) for gas in MOLAR_MASS},
    **{f"{gas}_ppm": _mixing_ratio(gas, 1000) for gas in MOLAR_MASS},
    **{f"{gas}_ugm3": Rule(gas) for gas in MOLAR_MASS},
    **{f"{gas}_mgm3": Rule(gas, 1000) for gas in MOLAR_MASS},
    "pm2_5": Rule("pm25"),
    "pm2.5": Rule("pm25"),
    "t": Rule("temperature"),
    "temp": Rule("temperature"),
    "temp_f": Rule("temperature", 5 / 9, -160 / 9),
    "rh": Rule("humidity"),
    "hum": Rule("humidity"),
    "p": Rule("pressure"),
    "pressure_pa": Rule("pressure", 0.01),
    "pressure_kpa": Rule("pressure", 10),
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
    "wind_kt": Rule("wind_ms", 1852 / 3600),
    "wind_deg": Rule("wind_dir_deg"),
    "wind_dir": Rule("wind_dir_deg"),
    "ec_mscm": Rule("conductivity_uscm", 1000),
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
