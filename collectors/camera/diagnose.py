"""For `toba-hub doctor`: does the broker of the heartbeats let us in?"""

from __future__ import annotations

import asyncio

import aiomqtt

from collectors.camera.config import Broker
from hub.api import Check, NeverWorks

CONNECT_S = 5.0


async def examine(broker: Broker) -> Check:
    """Connect beside the hub's own session and leave again."""
    name = f"broker {broker.name} ({broker.host}:{broker.port})"
    mqtt5 = broker.protocol == 5
    try:
        async with (
            asyncio.timeout(CONNECT_S),
            aiomqtt.Client(
                broker.host,
                broker.port,
                # Another name than the hub's: two clients of one name end each other.
                identifier=f"{broker.client_id}-doctor",
                username=broker.username,
                password=broker.password.get_secret_value() if broker.password else None,
                protocol=aiomqtt.ProtocolVersion.V5 if mqtt5 else aiomqtt.ProtocolVersion.V311,
                tls_context=broker.tls.context() if broker.tls else None,
                timeout=CONNECT_S,
            ),
        ):
            return Check("good", name, "lets us in")
    except (aiomqtt.MqttError, OSError, TimeoutError, NeverWorks) as error:
        remedy = "is it on, are host, port, user and password right? broker: null, if there is none"
        return Check("bad", name, str(error) or "no answer", remedy)
