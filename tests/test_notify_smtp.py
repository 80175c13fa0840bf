"""Mail against a real SMTP server (aiosmtpd), in the clear, with STARTTLS and over TLS."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from hub.notify.channels.base import NeverWorks, Tools, TryAgain
from hub.notify.channels.smtp import SmtpChannel, SmtpConfig
from tests.notify_support import NOON, Lines, message


@dataclass
class Post:
    """What the server's handler got, and the replies that it was told to give."""

    port: int = 0
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    rcpt: dict[str, str] = field(default_factory=dict)
    """Replies to RCPT by address."""
    data: list[str] = field(default_factory=list)
    """Replies to DATA, then 250."""

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.rcpt:
            return self.rcpt[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data:
            return self.data.pop(0)
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, EmailMessage, policy=policy.default)
        self.mails.append((list(envelope.rcpt_tos), mail))
        return "250 OK"


def login(server: SMTP, session: Session, envelope: Envelope, kind: str, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    return AuthResult(success=data.password == b"rahasia", handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that signs itself, key in the same file."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(file),
         "-out", str(file) + ".crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


Serve = Callable[..., Any]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers in this loop; they end with the test."""
    import asyncio

    servers: list[asyncio.Server] = []

    async def start(tls: ssl.SSLContext | None = None, **options: Any) -> Post:
        post = Post()
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(post, hostname="mail.test", **options), "127.0.0.1", 0, ssl=tls
        )
        servers.append(server)
        post.port = server.sockets[0].getsockname()[1]
        return post

    yield start
    for server in servers:
        server.close()


def channel_to(post: Post, **config: Any) -> SmtpChannel:
    settings = {
        "type": "smtp",
        "host": "localhost",
        "port": post.port,
        "security": "none",
        "sender": "hub@toba.go.id",
        "recipients": ["a@toba.go.id", "b@toba.go.id"],
        "timeout_s": 5,
        **config,
    }
    return SmtpConfig.model_validate(settings).build("mail", Tools(Lines(), lambda: NOON))


async def test_the_mail_says_it_in_utf8_and_is_known_by_its_key(serve: Serve) -> None:
    post = await serve()
    channel = channel_to(post)
    firing, over = message(), message(id="8-0", after="resolved")
    for each in (firing, firing, over):
        await channel.send(each)
    await channel.close()
    recipients, mail = post.mails[0]
    assert recipients == ["a@toba.go.id", "b@toba.go.id"]
    assert mail["Subject"] == "AKTIF · PERINGATAN · PM2.5 tidak sehat di Balige"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"] == "Sun, 22 Nov 2026 05:05:00 +0000"
    assert mail.get_content().strip().splitlines() == firing.text.splitlines()
    ids = [str(m["Message-ID"]) for _, m in post.mails]
    assert ids[0] == ids[1] != ids[2]
    assert len({str(m["References"]) for _, m in post.mails}) == 1


async def test_a_key_can_put_no_line_into_the_header(serve: Serve) -> None:
    post = await serve()
    channel = channel_to(post)
    await channel.send(message("x\r\nBcc: evil@x>", title={"id": "a\r\nBcc: evil@x"}))
    await channel.close()
    assert post.mails[0][1]["Bcc"] is None
    assert post.mails[0][0] == ["a@toba.go.id", "b@toba.go.id"]


@pytest.mark.parametrize(
    ("reply", "error"),
    [("451 try later", TryAgain), ("452 full", TryAgain), ("554 spam", NeverWorks)],
)
async def test_the_first_digit_of_a_reply_tells_whether_to_try_again(
    serve: Serve, reply: str, error: type[Exception]
) -> None:
    post = await serve()
    post.data = [reply]
    channel = channel_to(post)
    with pytest.raises(error, match=reply):
        await channel.send(message())
    await channel.close()


async def test_who_was_put_off_gets_it_later_and_nobody_gets_it_twice(serve: Serve) -> None:
    post = await serve()
    post.rcpt = {"b@toba.go.id": "450 greylisted"}
    channel = channel_to(post)
    with pytest.raises(TryAgain, match=r"b@toba\.go\.id: 450 greylisted"):
        await channel.send(message())
    post.rcpt = {}
    await channel.send(message())
    await channel.close()
    assert [recipients for recipients, _ in post.mails] == [["a@toba.go.id"], ["b@toba.go.id"]]


async def test_one_wrong_address_is_named_and_the_others_get_it(serve: Serve) -> None:
    post = await serve()
    post.rcpt = {"b@toba.go.id": "550 no such user"}
    lines = Lines()
    channel = channel_to(post)
    channel._log = lines
    await channel.send(message())
    assert [recipients for recipients, _ in post.mails] == [["a@toba.go.id"]]
    assert lines.told[0][2]["recipient"] == "b@toba.go.id"
    post.rcpt["a@toba.go.id"] = "550 no such user"
    with pytest.raises(NeverWorks, match="550"):
        await channel.send(message(id="9-0"))
    await channel.close()


# aiosmtpd doesn't know that the whole connection is inside TLS.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
@pytest.mark.parametrize("security", ["starttls", "ssl"])
async def test_a_password_goes_only_through_tls_and_a_wrong_one_is_for_ever(
    serve: Serve, certificate: Path, security: str
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    post = await serve(
        tls=context if security == "ssl" else None,
        tls_context=context if security == "starttls" else None,
        require_starttls=security == "starttls",
        authenticator=login,
        auth_required=True,
        auth_require_tls=security == "starttls",
    )
    options = {"security": security, "ca_file": str(certificate), "username": "hub"}
    good = channel_to(post, **options, password="rahasia")
    await good.send(message())
    await good.close()
    assert len(post.mails) == 1
    wrong = channel_to(post, **options, password="salah")
    with pytest.raises(NeverWorks, match="535") as error:
        await wrong.send(message())
    await wrong.close()
    assert "salah" not in str(error.value)


async def test_a_certificate_nobody_vouches_for_stops_the_mail_until_it_is_repaired(
    serve: Serve, certificate: Path
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    post = await serve(tls_context=context)
    channel = channel_to(post, security="starttls")
    with pytest.raises(TryAgain, match="certificate verify failed"):
        await channel.send(message())
    await channel.close()
    assert post.mails == []


async def test_a_server_without_starttls_never_works_with_starttls(serve: Serve) -> None:
    channel = channel_to(await serve(), security="starttls")
    with pytest.raises(NeverWorks, match="STARTTLS"):
        await channel.send(message())
    await channel.close()


async def test_nobody_listening_is_temporary(unused_tcp_port: int) -> None:
    channel = channel_to(Post(port=unused_tcp_port))
    with pytest.raises(TryAgain, match="mail server localhost"):
        await channel.send(message())
    await channel.close()
