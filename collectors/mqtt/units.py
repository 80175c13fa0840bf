"""Units that payloads state, and how they become ours: `value * scale + offset`.

Names are those of UCUM, SenML (RFC 8428 §12.1, RFC 8798), Home Assistant, Tasmota and Homie.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from collectors.mqtt.fields import ALIASES, CANONICAL, Rule
from hub.api import MOLAR_MASS

_SAME: Mapping[str, tuple[str, ...]] = {
    "°C": ("Cel", "C", "degC", "℃", "celsius", "degree Celsius"),
    "%RH": ("%", "percent"),
    "%": ("%EL", "percent"),
    "hPa": ("mbar", "mb"),
    "µg/m³": ("ug/m3", "µg/m3", "μg/m³", "μg/m3", "ug/m³"),
    "mg/L": ("mg/l",),
    "m/s": ("mps",),
    "dB(A)": ("dBA", "dB", "dba"),
    "dB": (),
    "dBm": ("dBW-30",),
    "lx": ("lux",),
    "µS/cm": ("uS/cm", "μS/cm"),
    "ppm": (),
    "NTU": ("FNU",),
    "pH": ("",),
    "mm": ("l/m2", "L/m²"),
    "°": ("deg",),
    "lqi": ("",),
    "m": (),
    "V": (),
}
"""Other words for our own units."""

_OTHER: Mapping[str, tuple[tuple[str, float, float], ...]] = {
    "°F": (("°C", 5 / 9, -160 / 9),),
    "F": (("°C", 5 / 9, -160 / 9),),
    "degF": (("°C", 5 / 9, -160 / 9),),
    "K": (("°C", 1.0, -273.15),),
    "/": (("%RH", 100.0, 0.0), ("%", 100.0, 0.0)),
    "Pa": (("hPa", 0.01, 0.0),),
    "kPa": (("hPa", 10.0, 0.0),),
    "bar": (("hPa", 1000.0, 0.0),),
    "mmHg": (("hPa", 1.333224, 0.0),),
    "inHg": (("hPa", 33.86389, 0.0),),
    "psi": (("hPa", 68.94757, 0.0),),
    "mg/m3": (("µg/m³", 1000.0, 0.0),),
    "mg/m³": (("µg/m³", 1000.0, 0.0),),
    "kg/m3": (("µg/m³", 1e9, 0.0),),
    "g/m3": (("µg/m³", 1e6, 0.0),),
    "km/h": (("m/s", 1 / 3.6, 0.0),),
    "mph": (("m/s", 0.44704, 0.0),),
    "kn": (("m/s", 0.514444, 0.0),),
    "kt": (("m/s", 0.514444, 0.0),),
    "ft/s": (("m/s", 0.3048, 0.0),),
    "cm": (("m", 0.01, 0.0), ("mm", 10.0, 0.0)),
    "mm": (("m", 0.001, 0.0),),
    "m": (("mm", 1000.0, 0.0),),
    "ft": (("m", 0.3048, 0.0),),
    "in": (("m", 0.0254, 0.0), ("mm", 25.4, 0.0)),
    "mV": (("V", 0.001, 0.0),),
    "mS/cm": (("µS/cm", 1000.0, 0.0),),
    "S/m": (("µS/cm", 10_000.0, 0.0),),
    "ppb": (("ppm", 0.001, 0.0),),
    "rad": (("°", 57.29578, 0.0),),
    "dBW": (("dBm", 1.0, 30.0),),
}
"""Other units of the same quantity."""


def _table() -> dict[tuple[str, str], tuple[float, float]]:
    """(stated unit, our unit) → scale, offset."""
    table = {(unit, unit): (1.0, 0.0) for unit in CANONICAL.values()}
    for unit, words in _SAME.items():
        table |= {(word, unit): (1.0, 0.0) for word in words}
    for word, ways in _OTHER.items():
        table |= {(word, unit): (scale, offset) for unit, scale, offset in ways}
    return table


_TABLE = _table()


@lru_cache(4096)
def into(field: str, stated: str) -> Rule | None:
    """How a value in the stated unit becomes `field`; None when it is no unit of that quantity.

    Of a gas the unit says which of its two fields it is: µg/m³, or ppb and µg/m³ beside it.
    """
    gas = field.removesuffix("_ppb")
    if gas in MOLAR_MASS:
        if stated in ("ppb", "ppm"):
            return ALIASES[f"{gas}_{stated}"]
        field = gas
    found = _TABLE.get((stated, CANONICAL[field]))
    return None if found is None else Rule(field, *found)
