"""SNMP v3: engine discovery, the agent's clock, and what its reports mean.

    unknown engine ─ empty request ─► report: engine id, boots, time; keys are made for that engine
    request ─► response
            ─► report notInTimeWindows: it restarted; its clock is taken, ask again
            ─► report unknownEngineIDs: another device; its engine is taken, ask again
            ─► report unknownUserNames, wrongDigests …: `Refused`, with what to mend
            ─► silence, though it still says its engine: `Refused`, privacy password?

The window of 150 s that protects an agent from old requests (RFC 3414 §3.2.7) is not needed
against old answers here: an answer counts only under the random message id of a request in
flight, which its digest covers. So an agent whose boots fell is followed, and not lost for ever.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

from collectors.snmp import usm
from collectors.snmp.client import Address, AgentSession, Endpoint, NoAnswer, Query, Refused, Reply
from collectors.snmp.codec import (
    GET,
    GET_BULK,
    REPORT,
    RESPONSE,
    Malformed,
    Message,
    Request,
    pdu_request,
)
from collectors.snmp.oids import Oid, dotted
from collectors.snmp.usm import Engine, Envelope, Keys, User

MOST_REPORTS = 4
"""An agent that still reports after so many corrections is not going to answer."""
_NOBODY = User("")
_EMPTY = pdu_request(GET, [])

_REFUSALS = {
    usm.UNKNOWN_USER: "the agent knows no user {user!r}",
    usm.WRONG_DIGEST: "wrong authentication password or protocol for user {user!r}",
    usm.DECRYPTION_ERROR: "wrong privacy password or protocol for user {user!r}",
    usm.UNSUPPORTED_LEVEL: "the agent does not allow user {user!r} this level of security: "
    "give or leave out `auth` and `priv` as it is set up there",
}


class V3Session(AgentSession):
    """SNMP v3 behind the same four methods."""

    def __init__(
        self,
        endpoint: Endpoint,
        address: Address,
        user: User,
        timeout_s: float,
        retries: int,
        count: Callable[[str], None] = lambda what: None,
    ) -> None:
        super().__init__(endpoint, address, timeout_s, retries)
        self._user = user
        self._count = count
        """Told of engines_found, engines_changed and clocks_corrected."""
        self._engine = Engine(b"")
        self._keys = Keys(b"", b"")
        self._clock_at_s = 0.0
        """When `_engine.time_s` was heard."""
        self._proved = False
        """The agent has answered this user, and was not silent since."""
        self._salt = secrets.randbits(64)
        self._loop = asyncio.get_running_loop()

    @property
    def asker(self) -> str:
        return f"user {self._user.name!r} ({self._user.level})"

    async def get(self, oids: Sequence[Oid]) -> Reply:
        return await self._ask(pdu_request(GET, oids))

    async def bulk(self, after: Oid, max_repetitions: int) -> Reply:
        return await self._ask(pdu_request(GET_BULK, [after], 0, max_repetitions))

    async def send(self, query: Query) -> Reply:
        return await self._ask(query.pdu)

    async def _ask(self, pdu: Request) -> Reply:
        async with self.slots:
            for _ in range(MOST_REPORTS):
                if not self._engine.id:
                    await self._discover()
                try:
                    message, seconds, attempts = await self._exchange(self._user, pdu)
                except NoAnswer:
                    await self._why_silent()
                    raise
                if message.pdu == RESPONSE:
                    self._proved = True
                    status, index = message.error_status, message.error_index
                    return Reply(status, index, message.varbinds, seconds, attempts)
                self._heed(message)
        raise Refused(f"the agent reports again and again: {_name(message)}")

    async def _exchange(self, user: User, pdu: Request) -> tuple[Message, float, int]:
        engine = self._engine
        now = engine._replace(
            time_s=engine.time_s + int(self._loop.time() - self._clock_at_s) if engine.id else 0
        )

        def sealed(number: int) -> bytes:
            self._salt += 1
            return usm.seal(user, self._keys, now, number, pdu.datagram(number), self._salt)

        return await self.endpoint.ask(
            self.address, sealed, self.timeout_s, self.retries, self._accept
        )

    async def _discover(self) -> None:
        """Ask nobody's question; the report's outside says who answers (RFC 3414 §4)."""
        await self._exchange(_NOBODY, _EMPTY)
        if not self._engine.id:
            raise Refused("the agent does not say its engine id")

    async def _why_silent(self) -> None:
        """An agent that can't decrypt may say nothing at all: is it there? Raises `Refused`."""
        if self._proved or not self._user.priv:
            self._proved = False
            return
        await self._exchange(_NOBODY, _EMPTY)
        raise Refused(
            f"the agent is there but silent to user {self._user.name!r}: "
            "wrong privacy password or protocol?"
        )

    # ------------------------------------------------------------ answers

    def _accept(self, envelope: Envelope) -> Message:
        """Open what is genuine, or is a report, which may come before anything is agreed on."""
        genuine = usm.genuine(self._user, self._keys, envelope)
        if genuine or not envelope.secret:
            message = usm.unseal(self._user, self._keys, envelope)
        else:
            raise Malformed("encrypted by somebody else")
        if message.pdu == RESPONSE:
            if self._user.auth and not genuine:
                raise Malformed("an answer that is not authentic")
            if self._user.priv and not envelope.secret:
                raise Malformed("an answer that is less secret than the question")
            if envelope.engine.id != self._engine.id:
                raise Malformed("another engine's answer")
            self._set_clock(envelope.engine)
        elif message.pdu == REPORT and message.varbinds:
            self._learn(envelope.engine, message.varbinds[0][0])
        else:
            raise Malformed("neither a response nor a report")
        return message

    def _learn(self, engine: Engine, report: Oid) -> None:
        """What the outside of a report says of the agent itself."""
        if report == usm.NOT_IN_TIME_WINDOW and engine.id == self._engine.id:
            self._count("clocks_corrected")
            self._set_clock(engine)
        elif report == usm.UNKNOWN_ENGINE and engine.id and engine.id != self._engine.id:
            self._count("engines_changed" if self._engine.id else "engines_found")
            self._set_clock(engine)
            self._keys = usm.keys(self._user, engine.id)
            self._proved = False

    def _set_clock(self, engine: Engine) -> None:
        self._engine, self._clock_at_s = engine, self._loop.time()

    def _heed(self, report: Message) -> None:
        """Nothing, if asking again may help. Raises `Refused`."""
        name = report.varbinds[0][0]
        if name in (usm.NOT_IN_TIME_WINDOW, usm.UNKNOWN_ENGINE):
            return
        words = _REFUSALS.get(name, f"the agent reports {_name(report)}")
        raise Refused(words.format(user=self._user.name))


def _name(report: Message) -> str:
    return dotted(report.varbinds[0][0])
