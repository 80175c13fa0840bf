"""Units of measure: what may be converted into what, always by the same numbers.

Gases are converted between a mixing ratio (ppb, ppm) and a concentration (µg/m³) at one fixed
reference, 25 °C and 1 atm: the law's limits are meant so, and a station at 900 m would otherwise
report some 9 % less for the same share of gas.
"""

from __future__ import annotations

from typing import NamedTuple

MOLAR_VOLUME = 24.465
"""Litres of a mole of ideal gas at 25 °C (298.15 K) and 1 atm."""
MOLAR_MASS = {"so2": 64.066, "no2": 46.0055, "o3": 47.998, "co": 28.010}
"""g/mol (IUPAC's atomic weights). Hydrocarbons are no one gas, so they have none."""


def micrograms(gas: str, ppb: float) -> float:
    """µg/m³ at 25 °C and 1 atm of a gas given in ppb (parts by volume). Raises KeyError."""
    return ppb * MOLAR_MASS[gas] / MOLAR_VOLUME


class Conversion(NamedTuple):
    """value * `scale` + `offset`"""

    scale: float = 1.0
    offset: float = 0.0

    def __call__(self, value: float) -> float:
        return value * self.scale + self.offset


SAME = Conversion()

_TO: dict[str, dict[str, Conversion]] = {
    "µg/m³": {"mg/m³": Conversion(1000), "ng/m³": Conversion(0.001)},
    "ppb": {"ppm": Conversion(1000)},
    "°C": {"°F": Conversion(5 / 9, -160 / 9), "K": Conversion(1, -273.15)},
    "hPa": {
        "Pa": Conversion(0.01),
        "kPa": Conversion(10),
        "mbar": SAME,
        "mmHg": Conversion(1.33322387415),
    },
    "mm": {"cm": Conversion(10), "in": Conversion(25.4)},
    "m": {"cm": Conversion(0.01), "mm": Conversion(0.001), "ft": Conversion(0.3048)},
    "m/s": {"km/h": Conversion(1 / 3.6), "kt": Conversion(1852 / 3600)},
    "µS/cm": {"mS/cm": Conversion(1000)},
    "V": {"mV": Conversion(0.001)},
    "s": {"ms": Conversion(0.001), "min": Conversion(60), "h": Conversion(3600)},
    "bit/s": {"kbit/s": Conversion(1e3), "Mbit/s": Conversion(1e6)},
}
"""Canonical unit → unit → how."""

_SPELLED = {
    "ug/m3": "µg/m³",
    "ugm3": "µg/m³",
    "μg/m3": "µg/m³",  # with the Greek letter instead of the micro sign
    "μg/m³": "µg/m³",
    "µg/m3": "µg/m³",
    "mg/m3": "mg/m³",
    "ng/m3": "ng/m³",
    "c": "°C",
    "degc": "°C",
    "f": "°F",
    "degf": "°F",
    "%": "%RH",
    "% rh": "%RH",
    "mb": "mbar",
    "kn": "kt",
    "knot": "kt",
    "knots": "kt",
    "kmh": "km/h",
    "kph": "km/h",
    "dba": "dB(A)",
    "db(a)": "dB(A)",
    "us/cm": "µS/cm",
    "μs/cm": "µS/cm",
    "inch": "in",
    "deg": "°",
    "mg/l": "mg/L",
    "ntu": "NTU",
}


def spelled(unit: str) -> str:
    """The unit as it is written here."""
    text = unit.strip()
    return _SPELLED.get(text.lower(), text)


def conversion(unit: str, canonical: str, field: str = "") -> Conversion:
    """How a value in `unit` becomes one in `canonical`; `field` names the gas for mixing ratios.

    Raises ValueError naming the units that can be converted.
    """
    unit = spelled(unit)
    if unit in ("", canonical):
        return SAME
    known = dict(_TO.get(canonical, {}))
    if canonical == "µg/m³" and field in MOLAR_MASS:
        known["ppb"] = Conversion(micrograms(field, 1))
        known["ppm"] = Conversion(micrograms(field, 1000))
    if unit not in known:
        can = ", ".join([canonical or "no unit", *known])
        raise ValueError(f"{unit!r} can't become {canonical or 'a number without unit'}: use {can}")
    return known[unit]
