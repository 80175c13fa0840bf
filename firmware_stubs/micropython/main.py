"""The air quality node on an ESP32: Wi-Fi, MQTT, watchdog and pins around `node_core`.

Needs MicroPython 1.22 or newer and, beside this file, mqtt_as.py (MIT) of
github.com/peterhinch/micropython-mqtt. `settings.json` on the board: see README.md.
"""

import asyncio
import gc
import json
import time

import drivers
import machine
import ntptime
from mqtt_as import MQTTClient, config
from node_core import SEQ_BLOCK, Node, status, topic, unix_time

PERIOD_S = 60
WATCHDOG_MS = 5 * 60 * 1000  # a WDT can't be stopped or changed later: longer than any good cycle
RESETS = {
    machine.PWRON_RESET: "power",
    machine.HARD_RESET: "hard",
    machine.WDT_RESET: "wdt",
    machine.DEEPSLEEP_RESET: "sleep",
    machine.SOFT_RESET: "soft",
}

with open("settings.json") as file:
    settings = json.load(file)


def first_seq():
    try:
        with open("seq") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def reserve(node):
    until = (node.seq + SEQ_BLOCK) & 0xFFFFFFFF
    with open("seq", "w") as file:
        file.write(str(until))
    node.reserve(until)


class Board:
    """Clock and sensors."""

    def __init__(self):
        self.uart = machine.UART(1, baudrate=9600, rx=settings.get("pms_rx", 16), timeout=1500)
        self.i2c = machine.I2C(
            0, scl=machine.Pin(settings.get("scl", 22)), sda=machine.Pin(settings.get("sda", 21))
        )
        self.epoch = time.gmtime(0)[0]
        self.synced = False
        self.started = time.ticks_ms()
        self.up = 0

    def now(self):
        return unix_time(time.time(), self.epoch)

    def uptime(self):
        """Whole seconds; ticks wrap after 12 days, so they are added up."""
        gone = time.ticks_diff(time.ticks_ms(), self.started) // 1000
        self.up += gone
        self.started = time.ticks_add(self.started, gone * 1000)
        return self.up

    async def sync(self):
        """Set the clock now and then every six hours; until it worked, `tsync` is false."""
        while True:
            try:
                ntptime.settime()
                self.synced = True
            except OSError:
                pass
            await asyncio.sleep(6 * 3600 if self.synced else 60)

    async def measures(self):
        """What the sensors say; a sensor that fails is left out, the others are still told."""
        found = {}
        try:
            self.uart.read()  # old frames
            frame = b""
            for _ in range(8):
                await asyncio.sleep_ms(300)
                frame += self.uart.read() or b""
                start = frame.find(b"BM")
                if start >= 0 and len(frame) >= start + 32:
                    found.update(drivers.pms5003(frame[start : start + 32]))
                    break
        except drivers.FrameError:
            pass
        try:
            self.i2c.writeto(0x44, b"\x24\x00")
            await asyncio.sleep_ms(20)
            found.update(drivers.sht3x(self.i2c.readfrom(0x44, 6)))
        except (OSError, drivers.FrameError):
            pass
        return found


def topic_of(what):
    return topic(settings["opd"], settings["site"], settings["device"], what)


async def announce(client):
    """mqtt_as calls this after every connect."""
    await client.publish(topic_of("status"), status("online"), retain=True, qos=1)


async def say(client, payload):
    """True when the broker has acknowledged; mqtt_as alone would wait for it for ever."""
    if not client.isconnected():
        return False
    try:
        await asyncio.wait_for(client.publish(topic_of("telemetry"), payload, qos=1), 30)
        return True
    except (OSError, asyncio.TimeoutError):
        return False


async def cycle(client, node, board, watchdog):
    measures = await board.measures()
    gc.collect()
    if node.needs_reserve():
        reserve(node)
    payload = node.report(measures, board.now(), board.synced, board.uptime(), heap=gc.mem_free())
    if await say(client, payload):
        # Fed only when sensors and broker worked: a node that is deaf for long restarts.
        if measures:
            watchdog.feed()
        for _ in range(20):
            kept = node.oldest()
            if not kept or not await say(client, kept):
                break
            node.forget()
    else:
        node.keep(payload)
        watchdog.feed()  # nothing is lost, and a restart would not bring the network back


async def main():
    watchdog = machine.WDT(timeout=WATCHDOG_MS)
    board = Board()
    node = Node(
        settings["device"],
        fw=settings.get("fw", "1.0.0"),
        first_seq=first_seq(),
        reset=RESETS.get(machine.reset_cause(), "unknown"),
        path="outbox.jsonl",
    )
    reserve(node)
    config["ssid"] = settings["ssid"]
    config["wifi_pw"] = settings["wifi_password"]
    config["server"] = settings["broker"]
    config["port"] = settings.get("port", 8883)
    config["ssl"] = settings.get("ssl", True)
    config["user"] = settings.get("user", settings["device"])
    config["password"] = settings.get("password", "")
    config["client_id"] = settings["device"]
    config["keepalive"] = 120
    config["will"] = (topic_of("status"), status("offline"), True, 1)
    config["connect_coro"] = announce
    client = MQTTClient(config)
    background = [asyncio.create_task(connect(client)), asyncio.create_task(board.sync())]
    while background:
        began = time.ticks_ms()
        await cycle(client, node, board, watchdog)
        spent = time.ticks_diff(time.ticks_ms(), began)
        await asyncio.sleep_ms(max(0, PERIOD_S * 1000 - spent))


async def connect(client):
    """The first connect is ours to repeat; afterwards mqtt_as reconnects by itself."""
    while True:
        try:
            await client.connect()
            return
        except OSError:
            await asyncio.sleep(30)


asyncio.run(main())
