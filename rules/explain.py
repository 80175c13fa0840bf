"""Why an alert is or is not firing right now: one rule on one series. Reads, never changes.

Everything that can hold an alert back is said: no data, old data, a window that is not spanned
yet, a condition that does not hold, a `for` that still runs, a cause, a silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from hub.reading import Quality
from rules.act import Silence
from rules.alert import DataState, State
from rules.inquiry import Hold
from rules.rule import LANGUAGES, Rule, Text
from rules.saying import worded
from rules.text import amount, detail, named, span, truth, unit_of
from rules.thing import Thing
from rules.track import Comparing, Joint, Missing
from rules.windows import Windowed
from rules.words import DOUBTS

Track = Comparing | Joint | Missing


@dataclass(frozen=True, slots=True)
class Explanation:
    """How one rule stands on one series (or, for absence, on one device)."""

    key: str
    """Empty where nothing was ever read that the rule could judge."""
    rule: str
    device: str
    tags: dict[str, str]
    title: dict[str, str]
    state: str
    data_state: str
    value: float | None
    """What is compared: the window's value, where there is a window."""
    last: float | None = None
    """The last reading's value."""
    age_s: float | None = None
    """How old that reading is; for an absence, how long nothing was heard."""
    threshold: float | None = None
    clear: float | None = None
    holds: bool | None = None
    """Does the condition hold? None: it can't be said yet."""
    window_s: float | None = None
    spanned_s: float | None = None
    """How much of the window readings have spanned so far."""
    due_s: float | None = None
    """In how many seconds time alone would change the state."""
    since_ns: int = 0
    """When the trouble began; 0: there is none."""
    severity: str = ""
    unit: str = ""
    comparison: str = ""
    """above, below, equals, not_equals: when the value is trouble; of an absence above, of a number
    of series at_least."""
    for_s: float = 0
    """How long the condition must hold."""
    quality: tuple[str, ...] = ()
    """Why the last reading is doubted."""
    cause: str = ""
    waits: str = ""
    """Why nobody was told of it while it fires: silenced, caused, asked (what it depends on),
    after (its cause is over, and it may come back by itself)."""
    silenced_by: str = ""
    silenced_until_ns: int = 0
    silenced_why: str = ""
    silence: str = ""
    """silence or maintenance; empty: neither is in force."""
    told: bool = False
    notify: tuple[str, ...] = ()
    why: dict[str, list[str]] = field(default_factory=dict)
    """The same in sentences, by language."""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def unheard(rule: Rule, thing: Thing) -> Explanation:
    """A rule that is about the device but never met a reading of it."""
    whens = rule.when.parts or (rule.when,)
    fields = [(when.field, f"{when.measurement}.{when.field}") for when in whens]
    of = {
        language: ", ".join(f"{named(field, language)} ({whole})" for field, whole in fields)
        for language in LANGUAGES
    }
    title, _ = worded(rule, thing, {}, None)
    return Explanation(
        *("", rule.name, thing.id, {}, title.plain(), "ok", str(DataState.NO_DATA), None),
        **_asked(rule),
        why={
            "id": [f"belum pernah ada data dari perangkat ini: {of['id']}"],
            "en": [f"no reading ever came from this device: {of['en']}"],
        },
    )


def explain(
    now_ns: int,
    track: Track,
    title: Text,
    data_state: DataState,
    silence: Silence | None,
    cause: str,
    hold: Hold | None = None,
) -> Explanation:
    """See `Explanation`. Facts first, then the same facts in sentences."""
    rule, due = track.rule, track.due()
    known: dict[str, Any] = {
        "key": track.key,
        "rule": rule.name,
        "device": track.device,
        "tags": dict(track.tags),
        "title": title.plain(),
        "state": str(track.alert.state),
        "data_state": str(data_state),
        "value": track.value_at(now_ns),
        "due_s": None if due is None else max(0, due - now_ns) / 1e9,
        "since_ns": 0 if track.alert.state.resting else track.since_ns,
        "cause": cause,
        "waits": hold or "",
        "told": track.told,
        **_asked(rule),
    }
    if silence is not None:
        known |= {
            "silence": silence.kind,
            "silenced_by": silence.who,
            "silenced_until_ns": silence.until_ns,
            "silenced_why": silence.why,
        }
    if isinstance(track, Missing):
        known |= _missing(track, now_ns)
    else:
        known |= _joint(track) if isinstance(track, Joint) else _comparing(track, now_ns)
    why = {language: list(_sentences(known, track, now_ns, language)) for language in LANGUAGES}
    return Explanation(**known, why=why)


def _asked(rule: Rule) -> dict[str, Any]:
    """What the rule itself says."""
    comparison = "above" if rule.when.is_absence else rule.when.comparison
    return {
        "severity": rule.severity,
        "unit": "s" if rule.when.is_absence else unit_of(rule),
        "comparison": "at_least" if rule.is_joint else comparison,
        "for_s": rule.for_ns / 1e9,
        "notify": rule.notify,
    }


def _missing(track: Missing, now_ns: int) -> dict[str, Any]:
    absence = track.absence
    return {
        "age_s": absence.silence_s(now_ns),
        "threshold": track.rule.when.absent_ns / 1e9,
        "holds": absence.holds,
    }


def _joint(track: Joint) -> dict[str, Any]:
    """Of several series: how many say yes is the value."""
    return {"threshold": float(track.needed), "holds": track.answer()}


def _comparing(track: Comparing, now_ns: int) -> dict[str, Any]:
    question, when = track.question, track.rule.when
    line, condition = question.line, question.condition
    found: dict[str, Any] = {
        "last": line.value,
        "age_s": max(0, now_ns - line.newest_ns) / 1e9 if line.heard else None,
        "threshold": when.threshold,
        "clear": when.clear,
        "holds": condition.holds,
        "quality": tuple(str(q.name).lower() for q in Quality(line.quality)),
    }
    if isinstance(condition, Windowed) and when.window is not None:
        spanned = condition.spanned_ns(line.newest_ns) if line.heard else 0
        found |= {
            "window_s": when.window.length_ns / 1e9,
            "spanned_s": min(spanned, when.window.length_ns) / 1e9,
        }
    return found


def _sentences(known: dict[str, Any], track: Track, now_ns: int, language: str) -> Iterator[str]:
    rule, state, indonesian = track.rule, track.alert.state, language == "id"
    measured = getattr(detail(rule, known["value"]), language)
    if measured:
        yield measured
    elif known.get("last") is not None:
        yield truth(rule, known["last"], language)
    if isinstance(track, Comparing):
        yield from _data(known, track, language)
    yield _condition(known, rule, language)
    since = span(now_ns - track.since_ns, language)
    if state is State.PENDING:
        rest = span(round(known["due_s"] * 1e9), language) if known["due_s"] is not None else "?"
        yield (
            f"menunggu: benar sejak {since}, berbunyi {rest} lagi bila tetap benar"
            if indonesian
            else f"waiting: true for {since}, fires in {rest} if it stays true"
        )
    elif state.up:
        yield f"menyala sejak {since}" if indonesian else f"firing for {since}"
        if track.alert.false_ns is not None:
            rest = span(round((known["due_s"] or 0) * 1e9), language)
            yield (
                f"tidak benar lagi, selesai dalam {rest} bila tetap begitu"
                if indonesian
                else f"no longer true, over in {rest} if it stays so"
            )
    yield from _waiting(known, track, now_ns, language)
    yield from _people(known, track, now_ns, language)


def _waiting(known: dict[str, Any], track: Track, now_ns: int, language: str) -> Iterator[str]:
    """Why nobody was told of it yet, where neither a cause nor a silence is the reason."""
    indonesian, hold = language == "id", known["waits"]
    if hold is Hold.ASKED:
        yield (
            "perangkat yang dilaluinya sedang diperiksa sebelum ada yang diberi tahu"
            if indonesian
            else "what it depends on is being asked before anybody is told"
        )
    elif hold is Hold.AFTER:
        rest = span(max(0, track.held_ns - now_ns), language)
        yield (
            f"penyebabnya sudah pulih; ia masih diberi {rest} untuk pulih sendiri"
            if indonesian
            else f"its cause is over; it has another {rest} to come back by itself"
        )


def _data(known: dict[str, Any], track: Comparing, language: str) -> Iterator[str]:
    indonesian, age = language == "id", known["age_s"]
    if age is not None:
        old = span(round(age * 1e9), language)
        yield f"data terakhir {old} yang lalu" if indonesian else f"last reading {old} ago"
    if known["data_state"] in (DataState.STALE, DataState.NO_DATA, DataState.SOURCE_DOWN):
        yield (
            "data sudah basi: waktu tidak dihitung dan tidak ada yang selesai karenanya"
            if indonesian
            else "the data is stale: no timer runs on it, and nothing is over because of it"
        )
    if known["quality"]:
        doubts = ", ".join(DOUBTS[doubt][LANGUAGES.index(language)] for doubt in known["quality"])
        said = "mutu data diragukan" if indonesian else "its quality is doubted"
        so = ", jadi tidak dihitung" if indonesian else ", so it counts for nothing"
        yield f"{said} ({doubts}){so if track.rule.when.good_only else ''}"
    if known.get("window_s") and known["holds"] is None:
        spanned = span(round(known["spanned_s"] * 1e9), language)
        whole = span(round(known["window_s"] * 1e9), language)
        yield (
            f"jendela baru terisi {spanned} dari {whole}"
            if indonesian
            else f"readings have spanned {spanned} of the window of {whole}"
        )


def _condition(known: dict[str, Any], rule: Rule, language: str) -> str:
    holds, indonesian = known["holds"], language == "id"
    if holds is None:
        return "syarat belum dapat dinilai" if indonesian else "the condition can't be judged yet"
    words = {
        ("id", True): "syarat terpenuhi",
        ("id", False): "syarat tidak terpenuhi",
        ("en", True): "the condition holds",
        ("en", False): "the condition does not hold",
    }
    said = words[language, bool(holds)]
    if holds and known.get("clear") is not None:
        level = amount(rule, known["clear"], language)
        said += f", sampai melewati {level}" if indonesian else f", until it passes {level}"
    return said


def _people(known: dict[str, Any], track: Track, now_ns: int, language: str) -> Iterator[str]:
    indonesian, state = language == "id", track.alert.state
    if state is State.ACKNOWLEDGED:
        yield f"ditangani {track.alert.who}" if indonesian else f"acknowledged by {track.alert.who}"
    if known["cause"]:
        cause = known["cause"]
        yield (
            f"akibat dari {cause}: tidak diberitahukan sendiri"
            if indonesian
            else f"explained by {cause}: nobody is told of this one"
        )
    if known.get("silence"):
        yield _silence(known, now_ns, language)
    teams = ", ".join(known["notify"])
    if state.up and known["told"] and teams:
        yield f"sudah diberitahukan: {teams}" if indonesian else f"told: {teams}"
    elif teams:
        yield f"bila menyala: {teams}" if indonesian else f"would tell: {teams}"
    else:
        yield "tidak memberi tahu siapa pun" if indonesian else "tells nobody"


def _silence(known: dict[str, Any], now_ns: int, language: str) -> str:
    who, rest = known["silenced_by"], span(known["silenced_until_ns"] - now_ns, language)
    words = {
        ("id", "silence"): f"dibisukan oleh {who}, masih {rest}",
        ("en", "silence"): f"silenced by {who} for another {rest}",
        ("id", "maintenance"): f"dalam pemeliharaan menurut {who}, masih {rest}",
        ("en", "maintenance"): f"in maintenance, says {who}, for another {rest}",
    }
    why = known["silenced_why"]
    return words[language, known["silence"]] + (f": {why}" if why else "")
