"""Whom a rule or a silence is about."""

from __future__ import annotations

from typing import Any

import pytest

from rules.matching import Matcher


@pytest.mark.parametrize(
    ("patterns", "attributes", "matches"),
    [
        ({"device": ["r-*", "x1"]}, {"device": "x1"}, True),
        ({"device": ["r-*", "x1"]}, {"device": "x2"}, False),
        ({"site": "*"}, {}, True),
        ({"site": "?*"}, {}, False),
        ({"collector": "snmp"}, {"collector": ("snmp", "netprobe")}, True),
        ({"collector": "!snmp"}, {"collector": ("snmp", "netprobe")}, False),
        ({"collector": "!snmp"}, {"collector": ("netprobe",)}, True),
        ({"collector": "!snmp"}, {}, True),
        ({"collector": ["!snmp", "!mqtt"]}, {"collector": ("mqtt",)}, False),
        ({"device": ["r-*", "!r-core"]}, {"device": "r-dlh"}, True),
        ({"device": ["r-*", "!r-core"]}, {"device": "r-core"}, False),
        ({"device": ["r-*", "!r-core"]}, {"device": "cam"}, False),
    ],
)
def test_any_pattern_of_each_key_and_none_that_is_denied(
    patterns: dict[str, Any], attributes: dict[str, Any], matches: bool
) -> None:
    matcher = Matcher(patterns)
    assert matcher.matches(attributes) is matches
    assert Matcher(matcher.plain()) == matcher


def test_only_plain_names_are_found_by_name() -> None:
    assert Matcher({"device": ["a", "b"]}).names("device") == ("a", "b")
    assert Matcher({"device": ["a", "!b"]}).names("device") == ()
