"""SNMPv3 with the user-based security model, pure: a PDU in, a sealed message out, and back.

    30 message
      02 03                        version
      30 id, size, flags, model    header            (RFC 3412)
      04 30 engine id, boots, time, user, digest, salt   (RFC 3414)
      30 context engine, name, PDU   or, with privacy, 04 of that encrypted

Keys come from passwords (RFC 3414 A.2), digests are HMAC over the whole message with the digest's
own octets zeroed: MD5, SHA-1 (RFC 3414), SHA-2 (RFC 7860). Privacy is DES-CBC (RFC 3414) or
AES-CFB (RFC 3826). No RFC says how AES-192 and AES-256 get a key that is longer than the digest:
`aes192` and `aes256` extend it as net-snmp and most vendors do (draft-blumenthal-aes-usm-04),
`aes192c` and `aes256c` as Cisco does (draft-reeder-snmpv3-usm-3desede-00).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from collectors.snmp.codec import (
    OCTETS,
    V3,
    Malformed,
    Message,
    integer,
    open_element,
    read_int,
    read_pdu,
    tlv,
)
from collectors.snmp.oids import oid

if TYPE_CHECKING:
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import CBC

AUTH = {
    "md5": ("md5", 12),
    "sha1": ("sha1", 12),
    "sha224": ("sha224", 16),
    "sha256": ("sha256", 24),
    "sha384": ("sha384", 32),
    "sha512": ("sha512", 48),
}
"""Protocol → hash and octets of the digest on the wire."""
PRIV = {"des": 16, "aes128": 16, "aes192": 24, "aes256": 32, "aes192c": 24, "aes256c": 32}
"""Protocol → octets of the key; DES takes eight for the key and eight for the pre-IV."""
_REEDER = frozenset({"aes192c", "aes256c"})

_AUTH_FLAG, _PRIV_FLAG, _REPORTABLE = 1, 2, 4
_USM_MODEL = 3
MAX_SIZE = 65_507
"""Octets that we take in one message: what fits a UDP datagram."""
_STRETCHED = 1 << 20
"""A password is repeated to this many octets before it is hashed (RFC 3414 A.2)."""

_STATS = "1.3.6.1.6.3.15.1.1."
UNSUPPORTED_LEVEL = oid(_STATS + "1.0")
NOT_IN_TIME_WINDOW = oid(_STATS + "2.0")
UNKNOWN_USER = oid(_STATS + "3.0")
UNKNOWN_ENGINE = oid(_STATS + "4.0")
WRONG_DIGEST = oid(_STATS + "5.0")
DECRYPTION_ERROR = oid(_STATS + "6.0")


@dataclass(frozen=True, slots=True)
class User:
    """Who asks. No `auth`: noAuthNoPriv; no `priv`: authNoPriv; both: authPriv."""

    name: str
    auth: str = ""
    """A key of `AUTH`."""
    auth_password: bytes = field(default=b"", repr=False)
    priv: str = ""
    """A key of `PRIV`."""
    priv_password: bytes = field(default=b"", repr=False)
    context: str = ""

    @property
    def level(self) -> str:
        """Of security, as SNMP-USER-BASED-SM calls it."""
        return "authPriv" if self.priv else "authNoPriv" if self.auth else "noAuthNoPriv"


class Keys(NamedTuple):
    """A user's keys at one engine."""

    auth: bytes
    priv: bytes


class Engine(NamedTuple):
    """An agent's engine, and where its clock stands."""

    id: bytes
    boots: int = 0
    time_s: int = 0


class Envelope(NamedTuple):
    """A message whose outside is read; whether it is genuine, `unseal` tells."""

    message_id: int
    flags: int
    engine: Engine
    user: bytes
    digest_at: int
    digest: bytes
    salt: bytes
    body_at: int
    data: bytes

    @property
    def authenticated(self) -> bool:
        """It claims to be; see `genuine`."""
        return bool(self.flags & _AUTH_FLAG)

    @property
    def reportable(self) -> bool:
        """It may be answered by a report: a request or an inform, not a trap."""
        return bool(self.flags & _REPORTABLE)

    @property
    def secret(self) -> bool:
        """Its inside is encrypted."""
        return bool(self.flags & _PRIV_FLAG)


class Scoped(NamedTuple):
    """A PDU, and the context (engine, name) that it is about."""

    context: tuple[bytes, bytes]
    pdu: bytes


# ---------------------------------------------------------------- keys


@lru_cache(maxsize=1024)
def master_key(password: bytes, hash_name: str) -> bytes:
    """The password as a key; a million octets are hashed, so it is kept."""
    repeats = _STRETCHED // len(password) + 1
    return hashlib.new(hash_name, (password * repeats)[:_STRETCHED], usedforsecurity=False).digest()


def localized(master: bytes, engine_id: bytes, hash_name: str) -> bytes:
    """The key at one engine only: an agent that is broken open betrays no other."""
    return hashlib.new(hash_name, master + engine_id + master, usedforsecurity=False).digest()


def keys(user: User, engine_id: bytes) -> Keys:
    """The user's keys at that engine."""
    if not user.auth:
        return Keys(b"", b"")
    name, _ = AUTH[user.auth]
    auth = localized(master_key(user.auth_password, name), engine_id, name)
    if not user.priv:
        return Keys(auth, b"")
    priv = localized(master_key(user.priv_password, name), engine_id, name)
    while len(priv) < PRIV[user.priv]:
        if user.priv in _REEDER:
            last = priv[-len(auth) :]
            priv += localized(master_key(last, name), engine_id, name)
        else:
            priv += hashlib.new(name, priv, usedforsecurity=False).digest()
    return Keys(auth, priv[: PRIV[user.priv]])


# ---------------------------------------------------------------- seal and unseal


def seal(
    user: User,
    keys: Keys,
    engine: Engine,
    message_id: int,
    pdu: bytes,
    salt: int,
    *,
    reportable: bool = True,
    context: tuple[bytes, bytes] | None = None,
) -> bytes:
    """The whole message around a PDU. `salt` (64 bits) must differ from message to message.

    `reportable`: a question, which may be answered by a report. `context`: engine and name, where
    they are not the engine's own and the user's.
    """
    whose, name = context or (engine.id, user.context.encode())
    scoped = tlv(0x30, tlv(OCTETS, whose) + tlv(OCTETS, name) + pdu)
    flags, salt_octets = _REPORTABLE if reportable else 0, b""
    if user.auth:
        flags |= _AUTH_FLAG
    if user.priv:
        flags |= _PRIV_FLAG
        salt_octets = _salt(user.priv, engine, salt)
        scoped = tlv(OCTETS, _encrypt(user.priv, keys.priv, engine, salt_octets, scoped))
    header = tlv(
        0x30,
        integer(message_id)
        + integer(MAX_SIZE)
        + tlv(OCTETS, bytes((flags,)))
        + integer(_USM_MODEL),
    )
    size = AUTH[user.auth][1] if user.auth else 0
    before = tlv(OCTETS, engine.id) + integer(engine.boots) + integer(engine.time_s)
    before += tlv(OCTETS, user.name.encode())
    security = tlv(OCTETS, tlv(0x30, before + tlv(OCTETS, bytes(size)) + tlv(OCTETS, salt_octets)))
    message = tlv(0x30, integer(V3) + header + security + scoped)
    if not user.auth:
        return message
    # The digest ends where the salt's element begins.
    at = len(message) - len(scoped) - len(salt_octets) - 2 - size
    return message[:at] + _digest(user.auth, keys.auth, message) + message[at + size :]


def read(data: bytes) -> Envelope:
    """The outside of a message, believed by nobody yet. Raises `Malformed`, and nothing else."""
    try:
        return _read(data)
    except IndexError:
        raise Malformed("the message is cut off") from None


def _read(data: bytes) -> Envelope:
    at, end = open_element(data, 0, len(data), 0x30)
    if end != len(data):
        raise Malformed(f"{len(data) - end} octets follow the message")
    version, at = read_int(data, at, end)
    if version != V3:
        raise Malformed(f"version {version} where 3 is due")
    at, stop = open_element(data, at, end, 0x30)
    message_id, at = read_int(data, at, stop)
    _, at = read_int(data, at, stop)
    flags, at = _octets(data, at, stop)
    model, at = read_int(data, at, stop)
    if model != _USM_MODEL or len(flags) != 1 or at != stop:
        raise Malformed(f"security model {model}; only the user-based one (3) is read here")
    at, body_at = open_element(data, stop, end, OCTETS)
    at, stop = open_element(data, at, body_at, 0x30)
    if stop != body_at:
        raise Malformed("octets follow the security parameters")
    engine_id, at = _octets(data, at, stop)
    boots, at = read_int(data, at, stop)
    time_s, at = read_int(data, at, stop)
    user, at = _octets(data, at, stop)
    digest, at = _octets(data, at, stop)
    digest_at = at - len(digest)
    salt, at = _octets(data, at, stop)
    if at != stop:
        raise Malformed("octets follow the salt")
    engine = Engine(engine_id, boots, time_s)
    return Envelope(message_id, flags[0], engine, user, digest_at, digest, salt, body_at, data)


def genuine(user: User, keys: Keys, envelope: Envelope) -> bool:
    """Made by somebody who knows the password, and not changed since. False without a digest."""
    if not user.auth or not envelope.authenticated:
        return False
    size = AUTH[user.auth][1]
    if len(envelope.digest) != size:
        return False
    at, data = envelope.digest_at, envelope.data
    blank = data[:at] + bytes(size) + data[at + size :]
    return hmac.compare_digest(_digest(user.auth, keys.auth, blank), envelope.digest)


def unseal(user: User, keys: Keys, envelope: Envelope) -> Message:
    """What is inside; `genuine` tells whether to believe it. Raises `Malformed`, nothing else."""
    pdu = inside(user, keys, envelope).pdu
    try:
        return Message(V3, b"", *read_pdu(pdu, 0, len(pdu)))
    except IndexError:
        raise Malformed("the message is cut off") from None


def inside(user: User, keys: Keys, envelope: Envelope) -> Scoped:
    """What is inside, decrypted but not read. Raises `Malformed`, nothing else."""
    data, at = envelope.data, envelope.body_at
    try:
        if envelope.secret:
            start, stop = open_element(data, at, len(data), OCTETS)
            if not user.priv or stop != len(data) or len(envelope.salt) != 8:
                raise Malformed("encrypted, but not for us")
            engine, salt = envelope.engine, envelope.salt
            # DES pads to whole blocks: what follows the scoped PDU inside is filling.
            data, at = _decrypt(user.priv, keys.priv, engine, salt, data[start:stop]), 0
        at, stop = open_element(data, at, len(data), 0x30)
        engine_id, at = _octets(data, at, stop)
        name, at = _octets(data, at, stop)
        return Scoped((engine_id, name), data[at:stop])
    except IndexError:
        raise Malformed("the message is cut off") from None


def _octets(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    start, stop = open_element(data, at, end, OCTETS)
    return data[start:stop], stop


def _digest(auth: str, key: bytes, message: bytes) -> bytes:
    name, size = AUTH[auth]
    return hmac.digest(key, message, name)[:size]


# ---------------------------------------------------------------- privacy


def _salt(priv: str, engine: Engine, salt: int) -> bytes:
    if priv == "des":
        return struct.pack(">II", engine.boots & 0xFFFFFFFF, salt & 0xFFFFFFFF)
    return (salt & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")


def _encrypt(priv: str, key: bytes, engine: Engine, salt: bytes, plain: bytes) -> bytes:
    if priv == "des":
        plain += bytes(-len(plain) % 8)
    work = _cipher(priv, key, engine, salt).encryptor()
    done: bytes = work.update(plain) + work.finalize()
    return done


def _decrypt(priv: str, key: bytes, engine: Engine, salt: bytes, secret: bytes) -> bytes:
    if priv == "des" and len(secret) % 8:
        raise Malformed(f"{len(secret)} octets are no whole blocks of DES")
    work = _cipher(priv, key, engine, salt).decryptor()
    done: bytes = work.update(secret) + work.finalize()
    return done


def _cipher(priv: str, key: bytes, engine: Engine, salt: bytes) -> Cipher[CBC | CFB]:
    # Only who uses privacy pays for the import.
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC

    if priv == "des":
        pre_iv = bytes(a ^ b for a, b in zip(key[8:16], salt, strict=True))
        # Three times the same key is single DES.
        return Cipher(TripleDES(key[:8] * 3), CBC(pre_iv))
    clock = struct.pack(">II", engine.boots & 0xFFFFFFFF, engine.time_s & 0xFFFFFFFF)
    return Cipher(AES(key), CFB(clock + salt))
