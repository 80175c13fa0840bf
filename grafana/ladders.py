"""Colour ladders of the environment panels, and where their numbers come from.

Numbers of law were read in secondary copies, not in the official texts; low-cost sensors are
indicative, never an official ISPU. Alerts come from the rules, not from these colours.
"""

from __future__ import annotations

from grafana.panels import BLUE, DARK, GREEN, GREY, ORANGE, RED, YELLOW, Steps, Words

# ISPU classes and their official colours, Permen LHK P.14/2020, upper limits of 24 h means, µg/m³:
# baik, sedang, tidak sehat, sangat tidak sehat, berbahaya.
PM25: Steps = [(None, GREEN), (15.5, BLUE), (55.4, YELLOW), (150.4, RED), (250.4, DARK)]
PM10: Steps = [(None, GREEN), (50, BLUE), (150, YELLOW), (350, RED), (420, DARK)]

# The index itself, rounded, in the same colours; and the classes as `air_index` numbers them.
ISPU: Steps = [(None, GREEN), (51, BLUE), (101, YELLOW), (201, RED), (301, DARK)]
ISPU_CLASS: Words = {
    "1": ("Baik", GREEN),
    "2": ("Sedang", BLUE),
    "3": ("Tidak Sehat", YELLOW),
    "4": ("Sangat Tidak Sehat", RED),
    "5": ("Berbahaya", DARK),
}
PARAMETER: Words = {
    "pm25": ("PM2.5", GREY),
    "pm10": ("PM10", GREY),
    "so2": ("SO₂", GREY),
    "co": ("CO", GREY),
    "o3": ("O₃", GREY),
    "no2": ("NO₂", GREY),
    "hc": ("HC", GREY),
}
INDICATIVE: Words = {"0": ("Alat acuan", GREEN), "1": ("Indikatif", GREY)}

# Rain per hour as a river authority (BBWS) uses it: 5–10 sedang, 10–20 lebat, over 20 sangat lebat.
RAIN_HOUR: Steps = [(None, GREEN), (5, YELLOW), (10, ORANGE), (20, RED)]
# Rain per day: 50 lebat, 100 sangat lebat, 150 ekstrem (BMKG); 61 is the landslide threshold
# of the national early warning (Hidayat & Zahro 2020).
RAIN_DAY: Steps = [(None, GREEN), (50, YELLOW), (61, ORANGE), (100, RED), (150, DARK)]

# Dissolved oxygen for floating net cages (KJA), mg/L: deaths were seen at 3.9; 6 is class I water.
OXYGEN: Steps = [(None, RED), (2, ORANGE), (4, YELLOW), (5, BLUE), (6, GREEN)]

# Lake Toba, metres above sea level: 902.4 lowest on record, 905 official highest
# (Kepmen PUPR 1695/2022); the bands between are the hub's proposal.
LAKE: Steps = [(None, RED), (902.6, YELLOW), (903.0, GREEN), (904.6, YELLOW), (905.0, RED)]

# Class I water, PP 22/2021: 6 to 9.
ACIDITY: Steps = [(None, RED), (6, GREEN), (9, RED)]

# Government offices 60, housing, schools, hospitals 55 dB(A), KepMenLH 48/1996.
NOISE: Steps = [(None, GREEN), (55, YELLOW), (60, RED)]
