"""The richest LoRaWAN, the costliest payload and industry's convention through the whole hub.

As in `mqtt`, 2 000 devices: ChirpStack v4 uplinks of some 760 bytes (five decoded fields, radio),
then SenML packs in CBOR (base name, three records), then Sparkplug B: data of three metrics by
alias, after the births of 125 edge nodes with 16 devices each, `seq` running on without a gap (its
messages carry no timestamps, which would be old in the second cycle). QoS 1, five rules a message,
on to DuckDB. A figure counts only if nothing was refused. There is no peer: what is asked for is
20 000 messages a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.loaded import itself, loaded_hub
from tests.bench.mqtt import QUIET, Round, round_of_hub
from tests.bench.publisher import CYCLE, SERIES, Publisher, Write, device
from tests.bench.report import Options, Result, median, say
from tests.hub_support import wait_for
from tests.mosquitto_support import Mosquitto
from tests.wire_support import cbor_of, sparkplug_of


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


NODES = 125
"""Sparkplug's edge nodes; each sends 256 messages of a cycle, so `seq` fits in the next one."""
METRICS = (("pm25", "ug/m3"), ("temperature", "°C"), ("humidity", "%"))


def at(number: int) -> tuple[str, str]:
    """A device's edge node, and its name there."""
    return f"node{number % NODES:03d}", device(number % SERIES)


def sparkplug(number: int, *values: float) -> tuple[str, bytes]:
    node, name = at(number)
    metrics = [
        {"alias": alias, "type": "float", "typeless": True, "value": value}
        for alias, value in enumerate(values)
    ]
    # An edge node counts all its messages, and its births came before.
    seq = (number // NODES + 1 + SERIES // NODES) % 256
    said = {"metrics": metrics, "seq": seq}
    return f"spBv1.0/toba/DDATA/{node}/{name}", sparkplug_of(json.dumps(said))


def births() -> list[tuple[str, bytes]]:
    """Of every edge node, and then of its devices."""
    found = []
    for node in range(NODES):
        said: dict[str, Any] = {"metrics": [{"name": "bdSeq", "type": "int64", "value": 0}]}
        found.append((f"spBv1.0/toba/NBIRTH/{at(node)[0]}", {**said, "seq": 0}))
    for number in range(SERIES):
        node_name, name = at(number)
        metrics = [
            {"name": called, "alias": alias, "type": "float", "value": 20.0, "unit": unit}
            for alias, (called, unit) in enumerate(METRICS)
        ]
        said = {"metrics": metrics, "seq": number // NODES + 1}
        found.append((f"spBv1.0/toba/DBIRTH/{node_name}/{name}", said))
    return [(topic, sparkplug_of(json.dumps(said))) for topic, said in found]


class Kind(NamedTuple):
    """A convention: its topics, a message of it, and what else it needs."""

    topic: dict[str, Any]
    write: Write
    length: int = CYCLE
    """Messages of a cycle."""
    section: Callable[[int], dict[str, Any]] = itself
    """Of a device in the inventory."""
    births: Callable[[], list[tuple[str, bytes]]] = list
    """What is published before."""


KINDS: Mapping[str, Kind] = {
    "chirpstack": Kind(
        {"template": "application/+/device/{device}/event/up", "parser": "chirpstack"},
        chirpstack,
    ),
    "senml_cbor": Kind({"template": "senml/#", "parser": "senml"}, senml),
    "sparkplug": Kind(
        {"template": "spBv1.0/#", "parser": "sparkplug"},
        sparkplug,
        NODES * 256,
        lambda number: {"topic_id": ":".join(("toba", *at(number)))},
        births,
    ),
}


def run(folder: Path, options: Options) -> list[Result]:
    return [measure(folder / name, name, options) for name in KINDS]


def measure(folder: Path, name: str, options: Options) -> Result:
    kind = KINDS[name]
    broker = Mosquitto(folder / "broker", QUIET)
    broker.start()
    rounds: list[Round] = []
    try:
        with loaded_hub(folder / "hub", broker, topics=[kind.topic], section=kind.section) as hub:
            publisher = Publisher(broker.port, name, kind.write, kind.length)
            if announced := kind.births():
                publisher.announce(announced)
                wait_for("the births to be taken", lambda: hub.durable() >= SERIES)
                hub.settle()
            for number in range(options.rounds):
                rounds.append(round_of_hub(hub, publisher, options.seconds))
                say(f"  {name}, round {number + 1}: {rounds[-1].rate:,.0f} msg/s")
            drops, refused = hub.hub.get("/api/v1/health")["drops"], hub.refused()
            assert not refused, f"{refused} were refused\n{hub.hub.log()[-2000:]}"
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
            "bytes": len(kind.write(0, 12.5, 21.4, 81.0)[1]),
            "drops": drops,
            "rates": [round(one.rate) for one in rounds],
        },
    )
