"""Other people's payload conventions, one module each; `base.py` says what they share."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.mqtt.conventions import (
    chirpstack,
    esphome,
    homeassistant,
    homie,
    senml,
    sensorcommunity,
    sensorthings,
    sparkplug,
    tasmota,
    tts,
    zigbee2mqtt,
)
from collectors.mqtt.conventions.base import Convention

CONVENTIONS: Mapping[str, Convention] = {
    "tts": tts.CONVENTION,
    "chirpstack": chirpstack.CONVENTION,
    "tasmota": tasmota.CONVENTION,
    "zigbee2mqtt": zigbee2mqtt.CONVENTION,
    "homeassistant": homeassistant.CONVENTION,
    "senml": senml.CONVENTION,
    "esphome": esphome.CONVENTION,
    "sensorcommunity": sensorcommunity.CONVENTION,
    "homie": homie.CONVENTION,
    "sensorthings": sensorthings.CONVENTION,
    "sparkplug": sparkplug.CONVENTION,
}
"""By the name that settings use. A new one is a module here and a folder of cases."""
