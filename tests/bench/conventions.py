"""The richest LoRaWAN and the costliest payload convention through the whole hub, as in `mqtt`.

2 000 devices: ChirpStack v4 uplinks of some 760 bytes (five decoded fields, radio), then SenML
packs in CBOR (base name, three records). QoS 1, five rules a message, on to DuckDB. There
is no peer: what is asked for is 20 000 messages a second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.loaded import loaded_hub
from tests.bench.mqtt import QUIET, Round, round_of_hub
from tests.bench.publisher import SERIES, Publisher, Write, device
from tests.bench.report import Options, Result, median, say
from tests.mosquitto_support import Mosquitto
from tests.wire_support import cbor_of


def chirpstack(number: int, pm25: float, temperature: float, humidity: float) -> tuple[str, bytes]:
    name = device(number % SERIES)
    decoded = {"pm25": pm25, "temperature": temperature, "humidity": humidity, "pressure": 908.2}
    said = {
        "deduplicationId": f"3ac7e3c4-4401-4b8d-9386-{number:012x}",
        "deviceInfo": {
            "tenantId": "52f14cd4-c6f1-4fbd-8f87-4025e1d49242", "tenantName": "Toba",
            "applicationId": "17c82e96-be03-4f38-aef3-f83d48582d97", "applicationName": "udara",
            "deviceProfileName": "AQ", "deviceName": name, "devEui": f"{number % SERIES:016x}",
            "tags": {"kecamatan": "balige"},
        },
        "devAddr": "00189440", "adr": True, "dr": 1, "fCnt": 7, "fPort": 1, "confirmed": False,
        "data": "AQIDBAUGBwg=", "object": {**decoded, "battery_v": 3.61},
        "rxInfo": [{"gatewayId": "0016c001f153a14c", "uplinkId": 4217106255, "rssi": -36,
                    "snr": 10.5, "context": "E3OWOQ==", "crcStatus": "CRC_OK"}],
        "txInfo": {"frequency": 923200000, "modulation": {"lora": {"bandwidth": 125000,
                   "spreadingFactor": 7, "codeRate": "CR_4_5"}}},
    }  # fmt: skip
    topic = f"application/17c82e96/device/{name}/event/up"
    return topic, json.dumps(said, separators=(",", ":")).encode()


def senml(number: int, pm25: float, temperature: float, humidity: float) -> tuple[str, bytes]:
    name = device(number % SERIES)
    pack = [
        {"-2": f"{name}/", "0": "pm25", "1": "ug/m3", "2": pm25},
        {"0": "temperature", "1": "Cel", "2": temperature},
        {"0": "humidity", "1": "%RH", "2": humidity},
    ]
    return f"senml/{name}", cbor_of(json.dumps(pack))


KINDS: Mapping[str, tuple[dict[str, Any], Write]] = {
    "chirpstack": (
        {"template": "application/+/device/{device}/event/up", "parser": "chirpstack"},
        chirpstack,
    ),
    "senml_cbor": ({"template": "senml/#", "parser": "senml"}, senml),
}


def run(folder: Path, options: Options) -> list[Result]:
    return [measure(folder / name, name, options) for name in KINDS]


def measure(folder: Path, name: str, options: Options) -> Result:
    topic, write = KINDS[name]
    broker = Mosquitto(folder / "broker", QUIET)
    broker.start()
    rounds: list[Round] = []
    try:
        with loaded_hub(folder / "hub", broker, topics=[topic]) as hub:
            publisher = Publisher(broker.port, name, write)
            for number in range(options.rounds):
                rounds.append(round_of_hub(hub, publisher, options.seconds))
                say(f"  {name}, round {number + 1}: {rounds[-1].rate:,.0f} msg/s")
            refused = hub.hub.get("/api/v1/health")["drops"]
            publisher.close()
    finally:
        broker.stop()
    cpu = {part: median(one.cpu_us[part] for one in rounds) for part in rounds[0].cpu_us}
    return Result(
        f"conventions_{name}",
        median(one.rate for one in rounds),
        "msg/s",
        cpu_us=sum(cpu.values()),
        more={
            "cpu_us_ingest": round(cpu["ingest"], 1),
            "cpu_us_serve": round(cpu["serve"], 1),
            "bytes": len(write(0, 12.5, 21.4, 81.0)[1]),
            "drops": refused,
            "rates": [round(one.rate) for one in rounds],
        },
    )
