"""The camera agent on an ESP32-CAM: pictures and MQTT around `camera_core`.

Needs a MicroPython build with the `camera` module and mqtt_as.py beside this file.
"""

import asyncio
import json
import time

import camera
import machine
import ntptime
from camera_core import Agent
from mqtt_as import MQTTClient, config
from node_core import topic, unix_time

PERIOD_S = 15

with open("settings.json") as file:
    settings = json.load(file)

TOPIC = topic(settings["opd"], settings["site"], settings["device"], "status")


async def watch(agent):
    while True:
        picture = camera.capture()
        if picture:
            agent.saw(picture)
        await asyncio.sleep_ms(200)


async def main():
    camera.init(0, format=camera.JPEG)
    agent = Agent()
    config["ssid"] = settings["ssid"]
    config["wifi_pw"] = settings["wifi_password"]
    config["server"] = settings["broker"]
    config["port"] = settings.get("port", 8883)
    config["ssl"] = settings.get("ssl", True)
    config["user"] = settings.get("user", settings["device"])
    config["password"] = settings.get("password", "")
    config["client_id"] = settings["device"]
    client = MQTTClient(config)
    await client.connect()
    try:
        ntptime.settime()
    except OSError:
        pass  # the hub sees the drift
    watchdog = machine.WDT(timeout=5 * 60 * 1000)
    watcher = asyncio.create_task(watch(agent))
    epoch = time.gmtime(0)[0]
    up = 0
    while not watcher.done():  # when it fails, the watchdog restarts the board
        await asyncio.sleep(PERIOD_S)
        up += PERIOD_S
        payload = agent.beat(unix_time(time.time(), epoch), PERIOD_S, up)
        await client.publish(TOPIC, payload, qos=0)  # the next one tells more than a late one
        watchdog.feed()


asyncio.run(main())
