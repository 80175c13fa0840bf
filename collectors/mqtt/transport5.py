"""MQTT 5 over asyncio: sockets and timers only, the packets are `mqtt5`'s, the rest `Delivery`'s.

    data_received ─ all packets of a read ─► take each ─► flush: one write for all PUBACKs

Back-pressure is the protocol's own: the broker sends at most `receive_maximum` messages that we
have not acknowledged.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Sequence

from mqtt5 import (
    ConnAckPacket,
    ConnAckReasonCode,
    ConnectPacket,
    DisconnectPacket,
    DisconnectReasonCode,
    PingReqPacket,
    PubAckPacket,
    PublishPacket,
    QoS,
    SubAckPacket,
    SubscribePacket,
    TopicFilter,
    read,
)

from collectors.mqtt.canary import Canary
from collectors.mqtt.config import Broker
from collectors.mqtt.delivery import Acknowledger, Delivery, Publish
from collectors.mqtt.link import TAKEN_OVER, HungUp, Link
from hub.api import Host, TryAgain

MAX_PACKET = 2 << 20
"""Bytes of one packet. Larger than any payload we take, so that what is too large is seen here,
refused and counted, and not dropped by the broker in silence."""

PUBACK = 0x4002
"""Type and length of a PUBACK whose reason code is 0 and left out; the packet id follows (3.4)."""
REFUSED = 0x80
"""From here on a reason code is a refusal (MQTT 5, 2.4)."""
_SUBSCRIBE_ID = 1
_PING = PingReqPacket().write()


async def serve(
    broker: Broker,
    tls: ssl.SSLContext | None,
    delivery: Delivery,
    link: Link,
    canary: Canary,
    host: Host,
) -> None:
    """Connect, subscribe and take messages until it breaks. Raises `TryAgain` with the reason."""
    loop = asyncio.get_running_loop()
    connection = Connection(broker, delivery, link, canary, host)
    try:
        async with asyncio.timeout(broker.connect_timeout_s):
            await loop.create_connection(
                lambda: connection,
                broker.host,
                broker.port,
                ssl=tls,
                server_hostname=broker.host if tls else None,
            )
            await asyncio.shield(connection.subscribed)
    except TimeoutError:
        connection.abort()
        raise TryAgain(f"no answer within {broker.connect_timeout_s:g} s") from None
    except (OSError, ssl.SSLError) as error:
        raise TryAgain(str(error) or repr(error)) from error
    except BaseException:
        connection.close()
        raise
    try:
        await asyncio.shield(connection.ended)
    finally:
        connection.close()


class Connection(asyncio.Protocol):
    """One TCP connection to the broker, from CONNECT to its end."""

    def __init__(
        self, broker: Broker, delivery: Delivery, link: Link, canary: Canary, host: Host
    ) -> None:
        loop = asyncio.get_running_loop()
        self.subscribed: asyncio.Future[None] = loop.create_future()
        """Done when the broker granted every subscription; fails with `TryAgain`."""
        self.ended: asyncio.Future[None] = loop.create_future()
        """Fails with `TryAgain` when the connection ends, whoever ended it."""
        self._broker = broker
        self._delivery = delivery
        self._link = link
        self._canary = canary
        self._host = host
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._acknowledger = Acknowledger(self._send_pubacks, self._fail)
        self._keepalive_s = float(broker.keepalive_s)
        self._heard_s = loop.time()
        self._pinged_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._canary_timer: asyncio.TimerHandle | None = None
        self._packet_id = _SUBSCRIBE_ID

    # --- asyncio's side -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's promise for TCP
        self._transport = transport
        broker = self._broker
        password = broker.password
        self._write(
            ConnectPacket(
                broker.client_id,
                username=broker.username,
                password=password.get_secret_value().encode() if password else None,
                clean_start=False,
                keep_alive=broker.keepalive_s,
                session_expiry_interval=broker.session_expiry_s,
                receive_max=broker.receive_maximum,
                max_packet_size=MAX_PACKET,
            ).write()
        )

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        view = memoryview(self._rest + data if self._rest else data)
        offset, end = 0, len(view)
        publishes: list[PublishPacket] = []
        try:
            while offset < end:
                packet, size = read(view[offset:])
                offset += size
                if type(packet) is PublishPacket:
                    publishes.append(packet)
                else:
                    self._control(packet)
        except IndexError:
            pass  # the packet's rest is still on its way
        except ValueError as error:
            self._fail(TryAgain(self._not_understood(error)))
        self._rest = bytes(view[offset:])
        if len(self._rest) > MAX_PACKET:
            self._fail(TryAgain(f"a packet of more than {MAX_PACKET} bytes was announced"))
        if publishes:
            self._deliver(publishes, end)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(HungUp(f"connection lost: {error}") if error else HungUp())

    # --- ours -----------------------------------------------------------------------------

    def close(self) -> None:
        """Say good-bye (the session stays at the broker) and hang up."""
        if self._transport is not None and not self._transport.is_closing():
            self._write(DisconnectPacket().write())
            self._transport.close()
        self._fail(TryAgain("closed by us"))

    def abort(self) -> None:
        """Hang up without a word: the other end does not listen."""
        self._fail(TryAgain("gave up"))
        if self._transport is not None:
            self._transport.abort()

    def _deliver(self, publishes: list[PublishPacket], size: int) -> None:
        self._host.count("messages", len(publishes))
        self._host.count("bytes", size)
        before = self._delivery.take(publishes, self._host.now_ns())
        self._acknowledger.add([p for p in publishes if p.packet_id], before)
        self._canary.heard()

    def _send_pubacks(self, publishes: Sequence[Publish]) -> None:
        ids = [PUBACK] * (2 * len(publishes))
        ids[1::2] = [publish.packet_id or 0 for publish in publishes]
        self._write(struct.pack(f">{len(ids)}H", *ids))
        self._link.progress()

    def _control(self, packet: object) -> None:
        if isinstance(packet, ConnAckPacket):
            self._connected(packet)
        elif isinstance(packet, SubAckPacket):
            self._granted(packet)
        elif isinstance(packet, PubAckPacket):  # only canaries are published here
            if int(packet.reason_code) >= REFUSED:
                self._canary.refused(packet.reason_code.name)
        elif isinstance(packet, DisconnectPacket):
            self._fail(_disconnected(packet))
        # PINGRESP needs nothing: hearing anything proves that the other end lives.

    def _connected(self, packet: ConnAckPacket) -> None:
        if packet.reason_code != ConnAckReasonCode.SUCCESS:
            self._fail(TryAgain(_refusal(packet, self._broker)))
            return
        if packet.server_keep_alive:
            self._keepalive_s = float(packet.server_keep_alive)
        if not packet.session_present:
            self._link.note_new_session()
        self._delivery.connected()
        filters = [
            TopicFilter(
                one,
                max_qos=QoS.AT_LEAST_ONCE,
                retain_as_published=False,
            )
            for one in self._broker.filters
        ]
        if self._canary.wanted:
            filters.append(TopicFilter(self._canary.topic, max_qos=QoS.AT_LEAST_ONCE))
        if self._broker.dropped_topic:
            filters.append(TopicFilter(self._broker.dropped_topic, max_qos=QoS.AT_MOST_ONCE))
        self._write(SubscribePacket(_SUBSCRIBE_ID, filters).write())
        self._tick()

    def _granted(self, packet: SubAckPacket) -> None:
        for one, code in zip(self._broker.filters, packet.reason_codes, strict=False):
            if int(code) >= REFUSED:  # no IntEnum at run time, whatever its stub says
                self._fail(
                    TryAgain(
                        f"subscribing to {one!r} was refused: "
                        f"{code.name}; allow client {self._broker.client_id!r} to read it"
                    )
                )
                return
        own = packet.reason_codes[len(self._broker.filters) :]
        if self._canary.wanted and own and int(own[0]) >= REFUSED:
            self._canary.refused(f"subscribing: {own[0].name}")
        if not self.subscribed.done():
            self.subscribed.set_result(None)
            self._link.up()
            self._delivery.publish = self._publish
            self._send_canary()

    def _send_canary(self) -> None:
        if self.ended.done() or not self._canary.wanted:
            return
        try:
            payload = self._canary.next(self._acknowledger.waiting)
        except TryAgain as error:
            self._fail(error)
            return
        if payload is not None:
            self._packet_id = self._packet_id % 0xFFFF + 1
            packet = PublishPacket(
                self._canary.topic, payload, qos=QoS.AT_LEAST_ONCE, packet_id=self._packet_id
            )
            self._write(packet.write())
        self._canary_timer = self._loop.call_later(self._broker.canary_s, self._send_canary)

    def _publish(self, topic: str, payload: bytes) -> None:
        """Once, unacknowledged: who asks a device asks again."""
        self._write(PublishPacket(topic, payload).write())

    def _tick(self) -> None:
        """Ping at half the keep-alive; silence for as long again means a dead line."""
        if self.ended.done():
            return
        now = self._loop.time()
        half = self._keepalive_s / 2
        if self._pinged_s is not None and self._heard_s >= self._pinged_s:
            self._pinged_s = None
        if self._pinged_s is not None and now - self._pinged_s >= half:
            self._fail(TryAgain(f"no sign of life for {now - self._heard_s:.0f} s"))
            if self._transport is not None:
                self._transport.abort()
            return
        if self._pinged_s is None:
            self._write(_PING)
            self._pinged_s = now
        self._timer = self._loop.call_later(half, self._tick)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _fail(self, error: Exception) -> None:
        """End this connection; the first reason counts."""
        self._acknowledger.close()
        for timer in (self._timer, self._canary_timer):
            if timer is not None:
                timer.cancel()
        if not self.ended.done():
            self._canary.ended()
            self._delivery.publish = None
        for future in (self.subscribed, self.ended):
            if not future.done():
                future.set_exception(error)
                future.exception()  # looked at, also when nobody waits for this one
        if self._transport is not None:
            self._transport.close()

    def _not_understood(self, error: Exception) -> str:
        if not self.subscribed.done():
            return (
                f"the broker's answer is no MQTT 5 ({error}); "
                "if it speaks only 3.1.1, set protocol: 4"
            )
        return f"the broker sent a malformed packet: {error}"


def _refusal(packet: ConnAckPacket, broker: Broker) -> str:
    code = packet.reason_code
    remedy = {
        int(ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION): "set protocol: 4",
        int(ConnAckReasonCode.BAD_USER_NAME_OR_PASSWORD): "check username and password",
        int(ConnAckReasonCode.NOT_AUTHORIZED): "check username, password and the broker's ACL",
        int(ConnAckReasonCode.CLIENT_ID_NOT_VALID): f"change client_id {broker.client_id!r}",
    }.get(int(code), packet.reason_str or "")
    return f"the broker refused us: {code.name}" + (f"; {remedy}" if remedy else "")


def _disconnected(packet: DisconnectPacket) -> TryAgain:
    if packet.reason_code == DisconnectReasonCode.SESSION_TAKEN_OVER:
        return HungUp(TAKEN_OVER)
    return TryAgain(f"the broker ended the connection: {packet.reason_code.name}")
