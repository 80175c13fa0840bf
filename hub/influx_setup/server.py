"""The server that is set up: what it is, and how it is asked."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hub.clock import now_ns
from hub.store.base import StoreRefused
from hub.store.influx_answer import Answer, result, trouble
from hub.store.influx_wire import Wire

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Login:
    """A user and password; a user without a password is one that isn't to be made."""

    name: str = ""
    password: str = ""


NOBODY = Login()


class Server:
    """An InfluxDB and who may set it up: `token` (2.x, 3), or `admin` (1.x), or neither."""

    def __init__(self, url: str, *, token: str = "", admin: Login = NOBODY) -> None:
        self.url = url.rstrip("/")
        self.token = token
        authorization = f"Token {token}" if token else _basic(admin) if admin.name else ""
        self._wire = Wire(self.url, authorization, TIMEOUT_S)

    async def close(self) -> None:
        await self._wire.close()

    async def version(self) -> str:
        """`1.6.7`, `v2.9.1`, `3.0.1`. Raises StoreDown, StoreRefused."""
        answer = await self._wire.get("/ping")
        version = answer.headers.get("x-influxdb-version", "")
        if not version and answer.status in (200, 204):
            raise StoreRefused(
                f"{self.url} is no InfluxDB: /ping names no version; check store.url"
            )
        if not version:
            raise trouble(answer, self.url, now_ns())
        return version

    async def ask(self, statement: str) -> list[Mapping[str, Any]]:
        """InfluxQL of 1.x. Raises StoreDown, StoreRefused."""
        answer = await self._wire.query("", statement)
        said = answer.body.decode(errors="replace")
        if "create admin user first" in said:
            raise StoreRefused(
                f"{self.url} has authentication on and no user yet; make an administrator first, "
                "in its shell: CREATE USER admin WITH PASSWORD '…' WITH ALL PRIVILEGES"
            )
        if answer.status in (401, 403):
            raise StoreRefused(
                f"{self.url} answered {answer.status}: {_words(answer)}; setting it up needs an "
                "administrator: give --username (and INFLUX_ADMIN_PASSWORD)"
            )
        return result(answer, self.url, now_ns())

    async def may(self, login: Login, database: str = "") -> bool:
        """True if this user and password (none: nobody) may ask this database at all."""
        wire = Wire(self.url, _basic(login) if login.name else "", TIMEOUT_S)
        try:
            # 1.x answers 401 to strangers, and to the statement itself only then.
            answer = await wire.query(database, "SHOW DATABASES")
        finally:
            await wire.close()
        return answer.status not in (401, 403)

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The HTTP API of 2.x and 3: a JSON object, empty for 204 and 404 of a GET.

        Raises StoreDown, StoreRefused.
        """
        answer = await self._wire.call(method, path, params, body)
        if answer.status == 404 and method == "GET":
            return {}
        if answer.status in (401, 403):
            raise StoreRefused(
                f"{self.url} answered {answer.status} to {method} {path}: {_words(answer)}; "
                "setting it up needs an administrator's token: set INFLUX_ADMIN_TOKEN"
            )
        if answer.status not in (200, 201, 204):
            raise trouble(answer, f"{self.url}{path}", now_ns())
        try:
            found = json.loads(answer.body) if answer.body.strip() else {}
        except ValueError:
            found = {}
        return found if isinstance(found, dict) else {"databases": found}


def sending(
    server: Server, method: str, path: str, body: Mapping[str, Any]
) -> Callable[[], Awaitable[None]]:
    """A step's `do`."""

    async def send() -> None:
        await server.call(method, path, body=body)

    return send


def _basic(login: Login) -> str:
    return f"Basic {b64encode(f'{login.name}:{login.password}'.encode()).decode()}"


def _words(answer: Answer) -> str:
    try:
        said = json.loads(answer.body)
        return str(said.get("error") or said.get("message") or said)
    except (ValueError, AttributeError):
        return answer.body.decode(errors="replace").strip()[:200] or "nothing more"
