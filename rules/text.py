"""Numbers, durations and sentences in Bahasa Indonesia and English."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rules.duration import DAY, HOUR, MINUTE, SECOND
from rules.rule import LANGUAGES, NO_TEXT, Rule, Text, When
from rules.words import field_word, truth_word

_WORDS = {
    "id": (("hari", "hari"), ("jam", "jam"), ("menit", "menit"), ("detik", "detik")),
    "en": (("day", "days"), ("hour", "hours"), ("minute", "minutes"), ("second", "seconds")),
}
_FUNCTIONS = {
    "id": {
        "mean": "rata-rata",
        "min": "terendah",
        "max": "tertinggi",
        "sum": "jumlah",
        "p95": "persentil ke-95",
        "rate": "laju perubahan",
        "count": "banyaknya pembacaan",
        "changes": "banyaknya perubahan",
    },
    "en": {
        "mean": "mean",
        "min": "lowest",
        "max": "highest",
        "sum": "total",
        "p95": "95th percentile",
        "rate": "rate of change",
        "count": "number of readings",
        "changes": "number of changes",
    },
}
_YESTERDAY = {"id": "dibanding kemarin", "en": "against yesterday"}
_SIBLING = {"id": "dibanding {other}", "en": "against {other}"}
_PER = {"id": "per", "en": "per"}
_JOINT = {
    ("id", "parts"): "{value} dari {all} syarat terpenuhi (batas: {threshold})",
    ("en", "parts"): "{value} of {all} conditions hold (limit: {threshold})",
    ("id", "place"): "{value} alat bersamaan (batas: {threshold})",
    ("en", "place"): "{value} devices at once (limit: {threshold})",
}
_COMPARISONS = {
    "id": {"above": "di atas", "below": "di bawah", "equals": "sama dengan", "not_equals": "bukan"},
    "en": {"above": "above", "below": "below", "equals": "equal to", "not_equals": "other than"},
}
_KINDS = {
    "router": ("router", "router", "routers"),
    "switch": ("switch", "switch", "switches"),
    "ap": ("titik akses", "access point", "access points"),
    "camera": ("kamera", "camera", "cameras"),
    "sensor": ("sensor", "sensor", "sensors"),
    "ups": ("UPS", "UPS", "UPSes"),
    "server": ("server", "server", "servers"),
    "other": ("perangkat lain", "other device", "other devices"),
}
"""Kinds of devices in Bahasa Indonesia, and one and many of them in English; as they are told."""

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([a-z_]+)\}")


def number(value: float, language: str) -> str:
    """`55,4` in Bahasa Indonesia, `55.4` in English; two decimals at most, none from 1 000 on."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}".rstrip("0").rstrip(".")
    if text == "-0":
        text = "0"
    return text.translate(str.maketrans(",.", ".,")) if language == "id" else text


def span(duration_ns: int, language: str) -> str:
    """`1 jam 30 menit`, `2 days 4 hours`: the two largest units, never less than a second."""
    parts = []
    rest = max(duration_ns, SECOND)
    for size, (one, many) in zip((DAY, HOUR, MINUTE, SECOND), _WORDS[language], strict=True):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {one if count == 1 else many}")
        elif parts:
            break
    return " ".join(parts[:2])


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values in place of `{name}`; `{{` and `}}` are plain braces."""

    def one(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return match.group(0)[0]
        return values.get(match.group(1), "")

    return _PLACEHOLDER.sub(one, template)


def counted(kinds: Iterable[tuple[str, int]], language: str) -> str:
    """`1 router, 14 kamera, 6 sensor`: routers first, kinds that nobody knows last."""
    order = list(_KINDS)
    rank = {kind: number for number, kind in enumerate(order)}
    told = sorted(kinds, key=lambda one: (rank.get(one[0], len(order)), one[0]))
    return ", ".join(f"{number} {kind_of(kind, number, language)}" for kind, number in told)


def kind_of(kind: str, number: int, language: str) -> str:
    """What so many devices of a kind are called."""
    names = _KINDS.get(kind)
    if names is None:
        return kind
    return names[0] if language == "id" else names[1 if number == 1 else 2]


def cut_off(kinds: Sequence[tuple[str, int]], language: str) -> str:
    """What `{cut_off}` stands for: a colon and the devices, or nothing."""
    return f": {counted(kinds, language)}" if kinds else ""


def amount(rule: Rule, value: float, language: str) -> str:
    """A value of this rule: seconds of silence as a duration, everything else as a number."""
    if rule.when.is_absence:
        return span(round(value * SECOND), language)
    return number(value, language)


def values(rule: Rule, value: float | None, language: str) -> dict[str, str]:
    """What `{value}`, `{threshold}`, `{clear}` and `{unit}` stand for."""
    when = rule.when
    threshold = when.absent_ns / SECOND if when.is_absence else when.threshold
    if rule.together:
        threshold = float(rule.together.at_least)
    return {
        "value": "–" if value is None else amount(rule, value, language),
        "threshold": amount(rule, threshold, language),
        "clear": "" if when.clear is None else amount(rule, when.clear, language),
        "unit": unit_of(rule),
    }


def detail(rule: Rule, value: float | None) -> Text:
    """The measured value beside the limit, in one phrase; of a truth (0 or 1) nothing, since the
    title says it."""
    if _is_truth(rule):
        return NO_TEXT
    return Text(*(_detail(rule, value, language) for language in LANGUAGES))


def _is_truth(rule: Rule) -> bool:
    when = rule.when
    asks = not (when.is_absence or rule.is_joint) and when.comparison in ("equals", "not_equals")
    plain = when.window is None and when.against is None
    return asks and plain and not rule.unit and when.threshold in (0.0, 1.0)


def _detail(rule: Rule, value: float | None, language: str) -> str:
    when = rule.when
    texts = values(rule, value, language)
    if when.is_absence:
        form = (
            "tidak ada data selama {value} (batas {threshold})"
            if language == "id"
            else "no data for {value} (limit {threshold})"
        )
        return fill(form, texts)
    if rule.is_joint:
        form = _JOINT[language, "parts" if when.parts else "place"]
        return fill(form, texts | {"all": str(len(when.parts))})
    unit = f" {unit_of(rule)}" if unit_of(rule) else ""
    limit = "batas" if language == "id" else "limit"
    comparison = _COMPARISONS[language][when.comparison]
    asked = " ".join(filter(None, (named(when.field, language), *_asked(when, language))))
    return f"{asked} {texts['value']}{unit} ({limit}: {comparison} {texts['threshold']}{unit})"


def _asked(when: When, language: str) -> Iterator[str]:
    """The window and what its number is held against."""
    if when.window:
        function, length_ns, per_ns = when.window
        yield f"{_FUNCTIONS[language][function]} {span(length_ns, language)}"
        if per_ns:
            yield f"{_PER[language]} {span(per_ns, language)}"
    if when.against and when.against.sibling:
        other = ", ".join(name for _, name in when.against.sibling)
        yield fill(_SIBLING[language], {"other": other})
    elif when.against:
        yield _YESTERDAY[language]


def unit_of(rule: Rule) -> str:
    """What the shown value is measured in."""
    against = rule.when.against
    return "%" if against and against.percent else rule.unit


def named(field: str, language: str) -> str:
    """What people call a field, as it begins a sentence: `Suhu`, but `pH`; else its own name."""
    word = field_word(field, language)
    plain = word != field and word.partition(" ")[0].islower()
    return word[:1].upper() + word[1:] if plain else word


def truth(rule: Rule, value: float, language: str) -> str:
    """`Menjawab: ya`: a value of a rule that asks for what is true or not."""
    field = rule.when.field
    word = truth_word(field, value, language) or number(value, language)
    return f"{named(field, language)}: {word}"
