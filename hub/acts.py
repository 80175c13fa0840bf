"""What a person may do to alerts: checked before it is written, since the journal keeps all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import fields
from typing import Any

from hub.api import BadItem
from hub.clock import NS
from hub.configuration import Configuration, identity_tags, matchable
from hub.journal import Kind, Reader
from hub.ledger import Ledger
from hub.problems import nearest
from hub.records import unpack_map
from hub.rulebook import things
from rules.act import Act, Silence
from rules.matching import Matcher
from rules.model import THING_KEYS
from rules.watch import Watch

LONGEST_S = 366 * 86_400
MOST_CHARACTERS = 32_768


def act_of(said: Mapping[str, Any]) -> Act:
    """An act as it came over the wire. Raises `BadItem` with words for the person."""
    strange = [key for key in said if key not in {field.name for field in fields(Act)}]
    if strange:
        raise BadItem(f"an act has no {strange[0]!r}")
    texts = {key: said.get(key, "") for key in ("kind", "who", "why", "key")}
    matcher, until_ns = said.get("matcher", {}), said.get("until_ns", 0)
    if not isinstance(matcher, dict):
        raise BadItem("a matcher is an object of names and globs")
    said_by = [*texts.items(), *((name, name) for name in matcher)]
    for name, value in matcher.items():
        said_by += [(name, one) for one in (value if isinstance(value, list) else [value])]
    for key, text in said_by:
        if not _is_text(text):
            raise BadItem(f"{key} is no text of at most {MOST_CHARACTERS} characters")
    if not isinstance(until_ns, int) or isinstance(until_ns, bool) or not 0 <= until_ns < 2**63:
        raise BadItem("until_ns is no time in nanoseconds since 1970")
    act = Act(**texts, matcher=matcher, until_ns=until_ns)
    if act.problem():
        raise BadItem(act.problem())
    return act


def _is_text(value: object) -> bool:
    """JSON can hold half a character (a lone surrogate), which no file can."""
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def refusal(act: Act, now_ns: int, tags: Collection[str]) -> str:
    """Why a silence makes no sense now; empty: it does. `tags` are the series' identity tags."""
    if act.kind not in ("silence", "maintenance"):
        return ""
    known = matchable(tags)
    for key in act.matcher:
        if key not in known:
            return f"a silence can't match by {key!r}: {nearest(key, known)}"
    if act.until_ns <= now_ns:
        return "a silence must end in the future"
    if act.until_ns > now_ns + LONGEST_S * NS:
        return "a silence lasts a year at most"
    return ""


def length_ns(hours: float) -> int:
    """Hours as nanoseconds. Raises ValueError for what is no length of a silence."""
    if not 0 < hours * 3600 <= LONGEST_S:  # not a number is neither
        raise ValueError(f"a silence of {hours:g} hours can't be: more than 0, at most a year")
    return max(1, round(hours * 3600)) * NS


def meets_nothing(matcher: Mapping[str, str | list[str]], conf: Configuration) -> str:
    """Why no alert of today's inventory and rules can match; empty: one can."""
    patterns = Matcher(matcher)
    of_things = patterns.only(frozenset(THING_KEYS))
    if not any(of_things.matches(thing.attributes()) for thing in things(conf.inventory)):
        return "no device of the inventory matches"
    of_rules = patterns.only(frozenset(("rule",)))
    if not any(of_rules.matches({"rule": rule.name}) for rule in conf.rules):
        return "no rule matches"
    return ""


def tags_of(conf: Configuration) -> set[str]:
    return identity_tags(conf.plugins.values())


def silences(conf: Configuration, now_ns: int) -> list[Silence]:
    """The silences in force: the last snapshot of the rules and the acts since, so that what was
    done a moment ago is in it."""
    with closing(Ledger(conf.settings.ledger_file)) as ledger:
        last_id, state = ledger.snapshot()
    known = things(conf.inventory)
    watch = Watch.restore(conf.rules, known, state) if state else Watch(conf.rules, known)
    reader = Reader(conf.settings.journal_folder, last_id)
    try:
        while records := reader.read():
            for record in records:
                if record.kind == Kind.ACT:
                    watch.act(record.id, record.time_ns, Act(**unpack_map(record.payload)))
    finally:
        reader.close()
    return [silence for silence in watch.silences() if silence.until_ns > now_ns]


def words(matcher: Matcher) -> str:
    """`device=r-dlh|r-core rule=*`, as a person would type it."""
    return " ".join(f"{key}={'|'.join(one)}" for key, one in matcher.plain().items())
