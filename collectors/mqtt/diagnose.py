"""For `toba-hub doctor`: does each broker let us in, and has it thrown messages away?"""

from __future__ import annotations

import asyncio
import contextlib

import aiomqtt

from collectors.mqtt.config import Broker
from hub.api import Check, NeverWorks

VERSION = "$SYS/broker/version"
DROPPED = "$SYS/broker/publish/messages/dropped"
LISTEN_S = 2.0


async def examine(broker: Broker) -> list[Check]:
    """Connect beside the hub's own session and listen to what the broker says of itself."""
    name = f"broker {broker.name} ({broker.host}:{broker.port})"
    try:
        told = await _ask(broker)
    except (aiomqtt.MqttError, OSError, TimeoutError, NeverWorks) as error:
        why = str(error) or "no answer"
        remedy = "is it on, are host, port, user and password right?"
        return [Check("bad", name, why, remedy)]
    version = told.get(VERSION, "")
    found = [Check("good", name, f"lets us in{f', {version}' if version else ''}")]
    if DROPPED not in told:
        remedy = f"let the user read $SYS/#, or look there for the queue's limits: {HINT}"
        found.append(Check("warn", f"{name}: losses", "it does not tell", remedy))
    elif told[DROPPED] != "0":
        what = f"{told[DROPPED]} messages thrown away since it started"
        found.append(Check("warn", f"{name}: losses", what, HINT))
    else:
        found.append(Check("good", f"{name}: losses", "none since it started"))
    return found


HINT = "max_queued_messages and max_inflight_messages 0, as in hub/deploy/mosquitto.conf"


async def _ask(broker: Broker) -> dict[str, str]:
    """What the broker tells of `VERSION` and `DROPPED` within `LISTEN_S`."""
    told: dict[str, str] = {}
    async with aiomqtt.Client(
        broker.host,
        broker.port,
        # Another name than the hub's: two clients of one name end each other.
        identifier=f"{broker.client_id}-doctor",
        username=broker.username,
        password=broker.password.get_secret_value() if broker.password else None,
        tls_context=broker.tls.context() if broker.tls else None,
        timeout=broker.connect_timeout_s,
    ) as client:
        await client.subscribe([(VERSION, 0), (DROPPED, 0)])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LISTEN_S):
                async for message in client.messages:
                    if isinstance(message.payload, bytes):
                        told[str(message.topic)] = message.payload.decode("utf-8", "replace")
                    if len(told) == 2:
                        break
    return told
