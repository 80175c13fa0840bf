"""Logging in: the examples of the RFCs, and challenges that nobody should send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.camera.auth import Login, authorization
from collectors.camera.wire import Ended

NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
OPAQUE = "5ccc069c403ebaf9f0171e9517f40e41"
OLD = f'Digest realm="testrealm@host.com", nonce="{NONCE}", opaque="{OPAQUE}"'
NEW = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={},'
    ' nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"'
)
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
MUFASA = Login("Mufasa", "Circle of Life")


def answer(*challenges: str, login: Login = MUFASA, cnonce: str = CNONCE) -> str:
    return authorization(challenges, login, "GET", "/dir/index.html", cnonce)


def test_rfc_2069_without_qop() -> None:
    """With the response that erratum 749 corrects."""
    said = answer(OLD, login=Login("Mufasa", "CircleOfLife"))
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in said
    assert f'opaque="{OPAQUE}"' in said
    assert "qop" not in said


def test_rfc_2617_with_qop() -> None:
    login = Login("Mufasa", "Circle Of Life")
    said = answer(OLD + ', qop="auth,auth-int"', login=login, cnonce="0a4f113b")
    assert 'response="6629fae49393a05397450978507c4ef1"' in said
    assert "qop=auth, nc=00000001" in said


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616(algorithm: str, response: str) -> None:
    said = answer(NEW.format(algorithm))
    assert f'response="{response}"' in said
    assert f"algorithm={algorithm}" in said


def test_rfc_7617() -> None:
    said = answer('Basic realm="WallyWorld"', login=Login("Aladdin", "open sesame"))
    assert said == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_the_strongest_challenge_is_answered() -> None:
    offers = ['Basic realm="x"', NEW.format("MD5"), NEW.format("SHA-256")]
    assert "algorithm=SHA-256" in answer(*offers)
    assert "algorithm=MD5" in answer(*offers[:2])


@pytest.mark.parametrize(
    "challenges", [[], ["Negotiate"], [NEW.format("SHA-512-256")], [OLD + ', qop="auth-int"']]
)
def test_a_way_that_we_do_not_know_is_named(challenges: list[str]) -> None:
    with pytest.raises(Ended, match="don't know"):
        answer(*challenges)


def test_a_password_is_never_shown() -> None:
    assert "Circle" not in repr(MUFASA)
    assert "Circle" not in f"{[MUFASA]}"


@given(st.lists(st.text(max_size=80).map(lambda text: "Digest " + text), max_size=3))
def test_no_challenge_breaks_it_or_makes_a_second_header(challenges: list[str]) -> None:
    one_line = [text.replace("\r", "").replace("\n", "") for text in challenges]
    try:
        said = answer(*one_line)
    except Ended:
        return
    assert "\n" not in said
