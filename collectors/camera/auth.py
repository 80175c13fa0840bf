"""Answers to "who are you?": Basic (RFC 7617) and Digest (RFC 2069, 2617, 7616). Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from collectors.camera.wire import Unfit

_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(r"\s*(basic|digest)\b", re.IGNORECASE)
_HASHES = {"md5": hashlib.md5, "sha-256": hashlib.sha256}


class Login(NamedTuple):
    """Who we are. Its `repr` has no password."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.username!r})"


def authorization(
    challenges: Sequence[str], login: Login, method: str, uri: str, cnonce: str
) -> str:
    """The header for the strongest challenge that we know: SHA-256, MD5, Basic.

    `challenges`: the values of `WWW-Authenticate`. `cnonce`: ours, fresh for each question.
    Raises `Unfit` when none can be answered.
    """
    offers = [_read(text) for text in challenges]
    digests = [said for scheme, said in offers if scheme == "digest" and _hash_name(said)]
    digests.sort(key=lambda said: _hash_name(said) == "md5")
    if digests:
        return _digest(digests[0], login, method, uri, cnonce)
    if any(scheme == "basic" for scheme, _ in offers):
        pair = f"{login.username}:{login.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()
    raise Unfit("wants a way to log in that we don't know")


def _read(text: str) -> tuple[str, dict[str, str]]:
    """Scheme and parameters of one challenge; names in lower case."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        return "", {}
    said = {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
        for name, quoted, bare in _PARAMETER.findall(text[scheme.end() :])
    }
    return scheme[1].lower(), said


def _hash_name(said: Mapping[str, str]) -> str:
    """md5 or sha-256; empty for one that we don't know."""
    name = said.get("algorithm", "md5").lower().removesuffix("-sess")
    return name if name in _HASHES else ""


def _digest(said: Mapping[str, str], login: Login, method: str, uri: str, cnonce: str) -> str:
    """RFC 7616 §3.4.1; without `qop` in the challenge RFC 2069's shorter form."""
    make = _HASHES[_hash_name(said)]

    def hashed(*words: str) -> str:
        return make(":".join(words).encode()).hexdigest()

    realm, nonce = said.get("realm", ""), said.get("nonce", "")
    secret = hashed(login.username, realm, login.password)
    if said.get("algorithm", "").lower().endswith("-sess"):
        secret = hashed(secret, nonce, cnonce)
    asked = hashed(method, uri)
    parts = {"username": login.username, "realm": realm, "nonce": nonce, "uri": uri}
    bare = {}
    qops = [word.strip().lower() for word in said.get("qop", "").split(",")]
    if "auth" in qops:
        bare = {"qop": "auth", "nc": "00000001"}
        parts["cnonce"] = cnonce
        parts["response"] = hashed(secret, nonce, bare["nc"], cnonce, "auth", asked)
    elif qops != [""]:
        raise Unfit("wants a way to log in that we don't know")
    else:
        parts["response"] = hashed(secret, nonce, asked)
    if "opaque" in said:
        parts["opaque"] = said["opaque"]
    if "algorithm" in said:
        bare["algorithm"] = said["algorithm"]
    words = [f'{name}="{_escaped(value)}"' for name, value in parts.items()]
    return "Digest " + ", ".join(words + [f"{name}={value}" for name, value in bare.items()])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
