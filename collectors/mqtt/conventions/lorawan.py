"""What both LoRaWAN network servers say alike."""

from __future__ import annotations

from collectors.mqtt.conventions.base import Values

MAX_GATEWAYS = 64


def strongest(values: Values, heard_by: object) -> None:
    """Radio values of the gateway that heard the message best."""
    if not isinstance(heard_by, list):
        return
    best: dict[str, float] = {}
    for gateway in heard_by[:MAX_GATEWAYS]:
        rssi = gateway.get("rssi") if isinstance(gateway, dict) else None
        if isinstance(rssi, int | float) and rssi > best.get("rssi", -1000):
            best = {"rssi": rssi}
            if isinstance(gateway.get("snr"), int | float):
                best["snr"] = gateway["snr"]
    for name, value in best.items():
        values.put(name, value)


def counter(values: Values, count: object) -> int | None:
    """The frame counter, where it is one."""
    if type(count) is int and 0 <= count < 1 << 32:
        return count
    values.refuse("wrong_type", f"the frame counter is {count!r:.40}")
    return None
