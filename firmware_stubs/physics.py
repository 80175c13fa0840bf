"""How the simulated regency's air, water and weather go: plausible, alive and repeatable.

Two runs with the same seed, start and speed that ask at the same times get the same values. No
clock, no randomness: noise is a hash of what, where and when. What people do to the world (smoke, a
fish kill, a rising lake, heavy rain) comes in as `Effects`, each between 0 and 1.

Levels are those of the Toba basin: 905 m above sea, 17–29 °C, 85 % humidity, lake at 26 °C.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping

NS = 1_000_000_000
DAY_S = 86_400
WIB_S = 7 * 3600
"""Asia/Jakarta is UTC+7 all year."""
TIP_MM = 0.2
"""One tip of a rain gauge's bucket."""

Effects = Mapping[str, float]
"""Strength, 0 to 1, by name: smoke, fish_kill, lake_rise, heavy_rain."""


def noise(seed: int, name: str, seconds: float, period_s: float) -> float:
    """Smooth noise between -1 and 1 that changes its mind every `period_s`."""
    step = math.floor(seconds / period_s)
    part = seconds / period_s - step
    part = part * part * (3 - 2 * part)
    first, second = _lattice(seed, name, step), _lattice(seed, name, step + 1)
    return first + (second - first) * part


def _lattice(seed: int, name: str, step: int) -> float:
    digest = hashlib.blake2b(f"{seed}/{name}/{step}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 0x7FFF_FFFF - 1


def daily(hour: float, peak: float) -> float:
    """A day's wave: 1 at `peak` o'clock, -1 twelve hours from it."""
    return math.cos((hour - peak) / 24 * math.tau)


def bump(hour: float, peak: float, width: float) -> float:
    """A hill around `peak` o'clock, 1 at its top, `width` hours to either side."""
    away = (hour - peak + 12) % 24 - 12
    return math.exp(-((away / width) ** 2))


class Physics:
    """What any sensor of the regency would measure at a time.

    `origin_ns` is when the simulation began; from there on the day runs `speed` times faster
    than the clock. `sample` must be asked in order of time for each device: rain is counted.
    """

    def __init__(self, seed: int, speed: float, origin_ns: int) -> None:
        self.seed = seed
        self.speed = speed
        self.origin_ns = origin_ns
        self._rain_until: dict[str, float] = {}
        self._rain_mm: dict[str, float] = {}

    def seconds(self, time_ns: int) -> float:
        """Simulated seconds since 1970 (UTC)."""
        return self.origin_ns / NS + (time_ns - self.origin_ns) / NS * self.speed

    def hour(self, time_ns: int) -> float:
        """Simulated hour of the day in the regency, 0 to 24."""
        return (self.seconds(time_ns) + WIB_S) % DAY_S / 3600

    def sample(self, profile: str, device: str, time_ns: int, effects: Effects) -> dict[str, float]:
        """Measures by the names that nodes use on the wire: pm25, t, rh, do_mgl …"""
        return PROFILES[profile](self, device, time_ns, effects)

    def wobble(self, device: str, name: str, time_ns: int, size: float) -> float:
        """Noise that the eye takes for nature: a slow swing and a fast tremble."""
        now = time_ns / NS
        key = f"{device}/{name}"
        slow = noise(self.seed, key, now, 90.0)
        fast = noise(self.seed, key + "/fast", now, 7.0)
        return size * (0.7 * slow + 0.3 * fast)

    def bias(self, device: str, name: str, size: float) -> float:
        """What tells two places apart for good."""
        return size * _lattice(self.seed, f"{device}/{name}/bias", 0)

    def air(self, device: str, time_ns: int, effects: Effects) -> dict[str, float]:
        """PM has its cooking and traffic hours; smoke lifts it far over any threshold."""
        hour = self.hour(time_ns)
        usual = 13 + 9 * bump(hour, 7, 1.5) + 12 * bump(hour, 19, 2.0)
        usual += self.bias(device, "pm25", 3) + self.wobble(device, "pm25", time_ns, 4)
        pm25 = max(2.0, usual) + effects.get("smoke", 0.0) * (
            135 + self.wobble(device, "smoke", time_ns, 12)
        )
        pm10 = pm25 * 1.45 + 5 + self.wobble(device, "pm10", time_ns, 2)
        weather = self.weather(device, time_ns, effects)
        return {
            "pm25": round(pm25, 1),
            "pm10": round(pm10, 1),
            **{name: weather[name] for name in ("t", "rh", "p")},
        }

    def weather(self, device: str, time_ns: int, effects: Effects) -> dict[str, float]:
        hour = self.hour(time_ns)
        rain = effects.get("heavy_rain", 0.0)
        warmth = daily(hour, 13.5) - 0.6 * rain
        return {
            "t": round(21.5 + 4.2 * warmth + self.wobble(device, "t", time_ns, 0.5), 2),
            "rh": round(
                min(99.5, 82 - 11 * warmth + 6 * rain + self.wobble(device, "rh", time_ns, 2)), 1
            ),
            "p": round(909.0 + daily(2 * hour, 20) + self.wobble(device, "p", time_ns, 0.4), 1),
            "wind_ms": round(
                max(0.0, 2.4 + 1.6 * daily(hour, 15) + self.wobble(device, "wind", time_ns, 1.2)), 1
            ),
        }

    def rain_rate(self, device: str, time_ns: int, effects: Effects) -> float:
        """mm/h: now and then a drizzle; heavy rain is 110 and more."""
        drizzle = max(0.0, noise(self.seed, f"{device}/rain", self.seconds(time_ns), 5400.0) - 0.55)
        gust = 1 + 0.3 * noise(self.seed, f"{device}/gust", time_ns / NS, 11.0)
        return (9 * drizzle + 120 * effects.get("heavy_rain", 0.0)) * gust

    def rain(self, device: str, time_ns: int, effects: Effects) -> dict[str, float]:
        """The bucket's tips since the last report, in mm."""
        now = self.seconds(time_ns)
        before = self._rain_until.get(device, now)
        self._rain_until[device] = now
        fallen = self._rain_mm.get(device, 0.0)
        fallen += self.rain_rate(device, time_ns, effects) * max(0.0, now - before) / 3600
        tips = math.floor(fallen / TIP_MM + 1e-9)
        self._rain_mm[device] = fallen - tips * TIP_MM
        return {"rain_mm": round(tips * TIP_MM, 1)}

    def station(self, device: str, time_ns: int, effects: Effects) -> dict[str, float]:
        weather = self.weather(device, time_ns, effects)
        return {**weather, **self.rain(device, time_ns, effects)}

    def water(self, device: str, time_ns: int, effects: Effects) -> dict[str, float]:
        """A fish kill as measured in July 2025: turbid first, then oxygen falls from 6.6 to 1.8."""
        hour = self.hour(time_ns)
        kill = effects.get("fish_kill", 0.0)
        oxygen = 6.7 + 0.35 * daily(hour, 15) + self.bias(device, "do", 0.15)
        oxygen -= (oxygen - 1.8) * kill**1.5
        turbid = 2.6 + self.bias(device, "ntu", 0.5) + 26 * math.sqrt(kill)
        return {
            "do_mgl": round(max(0.2, oxygen + self.wobble(device, "do", time_ns, 0.18)), 2),
            "ph": round(7.7 + 0.15 * daily(hour, 15) + self.wobble(device, "ph", time_ns, 0.05), 2),
            "ntu": round(max(0.3, turbid + self.wobble(device, "ntu", time_ns, 0.5)), 1),
            "t": round(26.2 + 0.5 * daily(hour, 16) + self.wobble(device, "t", time_ns, 0.1), 2),
        }

    def level(self, device: str, time_ns: int, effects: Effects) -> dict[str, float]:
        """Metres above sea level; +905 m is the official highest water level."""
        waves = self.wobble(device, "level", time_ns, 0.015)
        return {"water_level_m": round(904.1 + waves + 1.25 * effects.get("lake_rise", 0.0), 3)}

    def sound(self, device: str, time_ns: int, effects: Effects) -> dict[str, float]:
        """A market: loud by day, loudest in the morning. Rain drums."""
        hour = self.hour(time_ns)
        usual = 54 + 6 * daily(hour, 13) + 6 * bump(hour, 8, 2.5)
        heard = usual + 8 * effects.get("heavy_rain", 0.0)
        return {"dba": round(heard + self.wobble(device, "noise", time_ns, 3.5), 1)}


_Profile = Callable[[Physics, str, int, Effects], dict[str, float]]

PROFILES: dict[str, _Profile] = {
    "aq": Physics.air,
    "do": Physics.water,
    "rain": Physics.rain,
    "level": Physics.level,
    "wx": Physics.station,
    "noise": Physics.sound,
}
"""What a node measures, by the first part of its id: `aq-balige` measures air quality."""


def profile_of(device: str) -> str:
    """The profile of a device's id; a name that tells nothing is a weather station."""
    head = device.split("-", 1)[0]
    return head if head in PROFILES else "wx"
