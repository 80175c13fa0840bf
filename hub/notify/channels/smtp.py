"""Mail by SMTP (RFC 5321). 4xx replies are temporary, 5xx for ever, as the RFC says.

smtplib blocks, so each channel has one thread of its own: a dead mail server can't take the
threads of others. The Message-ID is made of the idempotency key, so a mail that comes twice is
recognised, and mails about one trouble name a common thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import smtplib
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Annotated, Literal

from pydantic import Field, FilePath, SecretStr, StringConstraints, model_validator

from hub.api import Log
from hub.clock import to_datetime
from hub.network import said
from hub.notify.channels.base import NeverWorks, Policy, Tools, TryAgain
from hub.notify.message import Message

Address = Annotated[str, StringConstraints(pattern=r"^[^\s@<>,;]+@[^\s@<>,;]+$")]

_PORTS = {"none": 25, "starttls": 587, "ssl": 465}
_REMEMBERED = 1_000


class SmtpConfig(Policy, frozen=True):
    type: Literal["smtp"]
    per_minute: int = Field(default=10, ge=0, le=600)
    host: str = Field(min_length=1)
    port: int | None = Field(default=None, ge=1, le=65535)
    """Default: 25, 587 (starttls) or 465 (ssl)."""
    security: Literal["none", "starttls", "ssl"] = "starttls"
    ca_file: FilePath | None = None
    """Certificates to believe instead of the system's."""
    username: str = ""
    password: SecretStr | None = None
    sender: Address
    recipients: list[Address] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> SmtpConfig:
        if self.username and self.security == "none":
            raise ValueError("a password needs security: starttls or ssl")
        return self

    def build(self, name: str, tools: Tools) -> SmtpChannel:
        return SmtpChannel(name, self, tools.log, tools.now_ns)


class SmtpChannel:
    def __init__(self, name: str, config: SmtpConfig, log: Log, now_ns: Callable[[], int]) -> None:
        self.name = name
        self._config = config
        self._log = log
        self._now_ns = now_ns
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"smtp {name}")
        self._reached: dict[str, set[str]] = {}
        """By key: who has it already, while others were put off."""

    async def send(self, message: Message) -> None:
        mail = compose(message, self._config, self._now_ns())
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._deliver, message.key, mail)

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, key: str, mail: EmailMessage) -> None:
        reached = self._reached.pop(key, set())
        wanted = [one for one in self._config.recipients if one not in reached]
        try:
            with self._connect() as server:
                refused = server.send_message(mail, self._config.sender, wanted)
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        except smtplib.SMTPNotSupportedError as error:
            raise NeverWorks(f"{self._place}: {said(error)}") from None
        except smtplib.SMTPResponseException as error:
            kind = NeverWorks if error.smtp_code >= 500 else TryAgain
            raise kind(f"{self._place}: {error.smtp_code} {_text(error.smtp_error)}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise TryAgain(f"{self._place}: {said(error)}") from None
        self._judge(key, reached | set(wanted) - set(refused), refused)

    def _judge(self, key: str, reached: set[str], refused: dict[str, tuple[int, bytes]]) -> None:
        """Some may have it, some be put off, some be refused for ever."""
        put_off = {one: reply for one, reply in refused.items() if reply[0] < 500}
        for one, (code, text) in refused.items():
            reason = f"{code} {_text(text)}"
            self._log.warning("recipient refused", channel=self.name, recipient=one, reason=reason)
        if put_off:
            if len(self._reached) >= _REMEMBERED:  # keys that expired meanwhile
                self._reached.clear()
            self._reached[key] = reached | (set(refused) - set(put_off))
            raise TryAgain(f"{self._place}: {_replies(put_off)}")
        if not reached:
            raise NeverWorks(f"{self._place}: {_replies(refused)}")

    def _connect(self) -> smtplib.SMTP:
        config = self._config
        port = config.port or _PORTS[config.security]
        # Said to the server as our name: looking up our real one may hang without a DNS server.
        hello = config.sender.partition("@")[2]
        context = ssl.create_default_context(cafile=config.ca_file)
        if config.security == "ssl":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                config.host, port, hello, timeout=config.timeout_s, context=context
            )
        else:
            server = smtplib.SMTP(config.host, port, hello, timeout=config.timeout_s)
        try:
            if config.security == "starttls":
                server.starttls(context=context)
            if config.username and config.password is not None:
                server.login(config.username, config.password.get_secret_value())
        except BaseException:
            server.close()
            raise
        return server

    @property
    def _place(self) -> str:
        return f"mail server {self._config.host}"


def compose(message: Message, config: SmtpConfig, now_ns: int) -> EmailMessage:
    """The mail as plain text, UTF-8."""
    domain = config.sender.partition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["From"] = config.sender
    mail["To"] = ", ".join(config.recipients)
    mail["Subject"] = message.title
    mail["Date"] = format_datetime(to_datetime(now_ns))
    mail["Message-ID"] = f"<{_atom(message.key)}@{domain}>"
    trouble = f"{message.alert} {message.since_ns}".encode()
    mail["References"] = f"<{hashlib.sha256(trouble).hexdigest()[:32]}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Idempotency-Key"] = _atom(message.key)
    mail.set_content(message.text + "\n", charset="utf-8")
    return mail


def _atom(key: str) -> str:
    """Only what RFC 5322 lets stand in a Message-ID without quotes."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", key).strip(".-")


def _replies(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{one}: {code} {_text(text)}" for one, (code, text) in refused.items())


def _text(reply: bytes | str) -> str:
    text = reply.decode("utf-8", errors="replace") if isinstance(reply, bytes) else reply
    return " ".join(text.split())[:200]
