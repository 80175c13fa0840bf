"""Traps and informs of v3, pure: whose engine counts, what is believed, what is reported.

A trap is sealed for its sender's engine, an inform for ours, which the sender finds by our
reports: so we are an agent here, with an engine id that stays the same over restarts and a count
of boots that grows with each (the time of our start serves as one: nothing need be kept on disk).
A user must speak at exactly the level it is set up with; keys fit any engine, since they are made
from the password. A trap older than what its engine sent before is refused as replayed; an engine
that was silent for an hour may begin anew, for agents that forget how often they booted.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from collectors.snmp import usm
from collectors.snmp.codec import (
    COUNTER32,
    OBJECT_ID,
    REPORT,
    Malformed,
    integer,
    tlv,
)
from collectors.snmp.oids import Oid
from collectors.snmp.traps.notification import Notification, answer_pdu, from_pdu
from collectors.snmp.usm import Engine, Envelope, Keys, User

WINDOW_S = 150
"""RFC 3414 §2.2.3."""
FORGOTTEN_S = 3600.0
MOST_ENGINES = 20_000
_BOOTS_SINCE_S = 1_700_000_000
"""Seconds since 1970 that are boots 0, so that the count fits 31 bits until 2091."""


class Refusal(Exception):
    """Not believed; `str` is the reason that is counted."""

    def __init__(self, reason: str, report: bytes = b"") -> None:
        super().__init__(reason)
        self.report = report
        """What to answer, if anything."""


class Heard(NamedTuple):
    """A notification that is believed."""

    user: str
    notification: Notification
    answer: bytes
    """To an inform; empty for a trap."""


def engine_id(of_this_machine: str) -> bytes:
    """Ours: stays the same, differs from machine to machine (RFC 3411, format 5: octets)."""
    return b"\x80\x00\x00\x00\x05" + hashlib.sha256(of_this_machine.encode()).digest()[:16]


@lru_cache(maxsize=4096)
def _keys(user: User, engine: bytes) -> Keys:
    return usm.keys(user, engine)


class Secure:
    """Opens what agents seal."""

    def __init__(self, own_id: bytes, started_s: float) -> None:
        """`started_s`: UTC, which is the count of boots."""
        self._own = Engine(own_id, max(1, int(started_s) - _BOOTS_SINCE_S))
        self._started_s = started_s
        self._clocks: OrderedDict[bytes, tuple[int, int, float]] = OrderedDict()
        """Engine → boots, time, and when we heard it."""
        self._salt = int(started_s * 1e9)

    def open(self, data: bytes, users: Mapping[str, User], now_s: float) -> Heard:
        """One datagram of version 3. Raises `Malformed` and `Refusal`."""
        envelope = usm.read(data)
        ours = envelope.engine.id == self._own.id
        if envelope.reportable and not ours:
            report = self._report(envelope, usm.UNKNOWN_ENGINE, User(""), now_s)
            raise Refusal("engine_asked", report)
        user = users.get(envelope.user.decode("utf-8", "replace"))
        if user is None:
            raise Refusal("unknown_user", self._report_if_asked(envelope, usm.UNKNOWN_USER, now_s))
        if (envelope.authenticated, envelope.secret) != (bool(user.auth), bool(user.priv)):
            report = self._report_if_asked(envelope, usm.UNSUPPORTED_LEVEL, now_s)
            raise Refusal("wrong_level", report)
        keys = _keys(user, envelope.engine.id)
        if user.auth:
            if not usm.genuine(user, keys, envelope):
                report = self._report_if_asked(envelope, usm.WRONG_DIGEST, now_s)
                raise Refusal("wrong_digest", report)
            self._in_time(envelope, user, now_s)
        context, pdu = usm.inside(user, keys, envelope)
        try:
            notification = from_pdu(pdu)
        except IndexError:
            raise Malformed("the message is cut off") from None
        if notification.confirmed and not ours:
            raise Malformed("an inform that is not for us")
        answer = b""
        if notification.confirmed:
            answer = self._sealed(envelope, user, answer_pdu(pdu), now_s, context)
        return Heard(user.name, notification, answer)

    def _in_time(self, envelope: Envelope, user: User, now_s: float) -> None:
        """Raises `Refusal` for what was sent before, or long ago."""
        sent = envelope.engine
        if sent.id == self._own.id:
            own = self._engine(now_s)
            if sent.boots != own.boots or abs(sent.time_s - own.time_s) > WINDOW_S:
                signed = User(user.name, user.auth, user.auth_password)
                report = self._report(envelope, usm.NOT_IN_TIME_WINDOW, signed, now_s)
                raise Refusal("clock_asked", report)
            return
        known = self._clocks.get(sent.id)
        if known is not None and now_s - known[2] < FORGOTTEN_S:
            boots, time_s, _ = known
            if (sent.boots, sent.time_s) < (boots, time_s - WINDOW_S):
                raise Refusal("replayed")
            if (sent.boots, sent.time_s) < (boots, time_s):
                return
        self._clocks[sent.id] = (sent.boots, sent.time_s, now_s)
        self._clocks.move_to_end(sent.id)
        if len(self._clocks) > MOST_ENGINES:
            self._clocks.popitem(last=False)

    def _engine(self, now_s: float) -> Engine:
        return self._own._replace(time_s=max(0, int(now_s - self._started_s)))

    def _report_if_asked(self, envelope: Envelope, name: Oid, now_s: float) -> bytes:
        if not envelope.reportable:
            return b""
        return self._report(envelope, name, User(envelope.user.decode("utf-8", "replace")), now_s)

    def _report(self, envelope: Envelope, name: Oid, user: User, now_s: float) -> bytes:
        binding = tlv(0x30, tlv(OBJECT_ID, name) + integer(1, COUNTER32))
        pdu = integer(envelope.message_id) + integer(0) * 2 + tlv(0x30, binding)
        return self._sealed(envelope, user, tlv(REPORT, pdu), now_s)

    def _sealed(
        self,
        envelope: Envelope,
        user: User,
        pdu: bytes,
        now_s: float,
        context: tuple[bytes, bytes] | None = None,
    ) -> bytes:
        self._salt += 1
        engine = self._engine(now_s)
        return usm.seal(
            user,
            _keys(user, engine.id),
            engine,
            envelope.message_id,
            pdu,
            self._salt,
            reportable=False,
            context=context,
        )
