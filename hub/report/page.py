"""The report as one HTML page: no scripts, drawings inside, ready for the printer (A4 across)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape

from hub.notify.words import Language
from hub.report.model import SORTS, Report, Row, Total
from hub.report.sla import Figures
from hub.report.words import HOW, NOTHING, Speech

FATES = ("up", "down", "upstream", "maintenance", "unknown", "absent")
COLOURS = {
    "up": "#2e8b57",
    "down": "#c62828",
    "upstream": "#e8953a",
    "maintenance": "#3f6fb5",
    "unknown": "#b9bec5",
    "absent": "#eceef0",
}
"""Of the parts of time. In words beside the drawings, too: colour alone tells nobody everything."""
PALE = "#f2b8a6"
SHADES = ((0, COLOURS["up"]), (300, PALE), (3600, "#e5735c"), (4 * 3600, COLOURS["down"]))
"""A day by its seconds of outage: up to none, five minutes, an hour, four; then `WORST`."""
WORST = "#7f1616"
MOST_LISTED = 20

STYLE = """
@page { size: A4 landscape; margin: 12mm 12mm 14mm }
* { box-sizing: border-box }
body { font: 13px/1.4 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1c2430; margin: 0;
  background: #fff }
main { max-width: 1180px; margin: 0 auto; padding: 20px }
h1 { font-size: 26px; margin: 0 } h2 { font-size: 17px; margin: 26px 0 8px; break-after: avoid }
.sub { color: #566070; margin: 2px 0 }
.cards { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; margin: 18px 0 }
.card { border: 1px solid #d5d9df; border-radius: 8px; padding: 10px 14px; break-inside: avoid }
.card b { display: block; font-size: 28px; line-height: 1.25; font-variant-numeric: tabular-nums }
.card p { margin: 0 } .card svg { margin-top: 6px }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: 12px }
th, td { padding: 3px 6px; border-bottom: 1px solid #e3e6ea; text-align: right;
  white-space: nowrap }
th { color: #566070; font-weight: 600; border-bottom: 1px solid #8b94a1; white-space: normal;
  vertical-align: bottom }
th:first-child, td:first-child { text-align: left; white-space: normal }
td.text, th.text { text-align: left; white-space: normal }
thead { display: table-header-group } tr { break-inside: avoid }
td small { color: #6b7481 }
.met { color: #1d6b41 } .missed { color: #b01f1f; font-weight: 600 } .unsure { color: #6b7481 }
svg { display: block; max-width: 100% } svg text { font: 11px system-ui, "DejaVu Sans", sans-serif;
  fill: #1c2430 }
svg .on { fill: #fff; font-weight: 600 } svg .faint { fill: #6b7481 }
svg .end { text-anchor: end } svg .middle { text-anchor: middle }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; list-style: none; padding: 0;
  margin: 6px 0; font-size: 12px }
.legend svg { display: inline-block; vertical-align: -1px; margin-right: 5px }
.how { font-size: 12px; color: #444d5a } .how li { margin: 2px 0 }
figure { margin: 0 } .page { break-before: page }
@media (max-width: 800px) { .cards { grid-template-columns: 1fr 1fr } .wide { overflow-x: auto } }
@media print { main { padding: 0; max-width: none } .wide { overflow: visible }
  body { -webkit-print-color-adjust: exact; print-color-adjust: exact } }
"""
CSP = (
    "default-src 'none'; style-src 'sha256-"
    + b64encode(sha256(STYLE.encode()).digest()).decode()
    + "'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""For whoever serves the page: nothing but this style sheet may take effect."""


def write(report: Report, language: Language) -> str:
    """The whole page."""
    say = Speech(language, report.zone)
    title = f"{say('title')} · {report.regency} · {say.month(report.month)}"
    body = [
        _head(report, say),
        *_summary(report, say),
        *(_rows(report, sort, say) for sort in SORTS if report.of(sort)),
        _planned(report, say),
        _deaf(report, say),
        _how(report, say),
    ]
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _head(report: Report, say: Speech) -> str:
    made = say.time(report.made_ns, year=True)
    return (
        f"<header><h1>{escape(say('title'))}: {escape(say.month(report.month))}</h1>\n"
        f'<p class="sub">{escape(report.regency)}</p>\n'
        f'<p class="sub">{escape(say("period"))}: {escape(say.period(report))}, '
        f"{escape(say('zone'))} {escape(report.zone)}. "
        f"{escape(say('made'))}: {escape(made)}</p></header>"
    )


def _summary(report: Report, say: Speech) -> Iterable[str]:
    if not report.rows:
        yield f"<p><b>{escape(say('nothing'))}</b></p>"
        return
    yield f'<h2>{escape(say("totals"))}</h2>\n<section class="cards">'
    yield from (_card(one, say) for one in report.totals if one.number)
    yield "</section>"
    offices = report.of("opd")
    if offices:
        yield _legend(say)
        yield f"<h2>{escape(say('bars'))}</h2>\n<figure>{bars(offices, say)}</figure>"
        yield f'<section class="page"><h2>{escape(say("calendar"))}</h2>'
        yield f"{_shades(say)}\n<figure>{calendar(report, offices, say)}</figure></section>"


def _card(one: Total, say: Speech) -> str:
    now, then = one.figures.hundredths, one.before.hundredths
    change = None if now is None or then is None else now - then
    verdict = "unsure" if now is None else "met" if one.figures.meets(one.target) else "missed"
    unsure = one.number - one.met - one.missed
    counts = f"{one.met} {say('met')}, {one.missed} {say('missed')}"
    counts += f", {unsure} {say('unsure')}" if unsure else ""
    return (
        f'<div class="card"><p>{escape(say(one.sort))}: {one.number}</p>'
        f'<b class="{verdict}">{escape(say.percent(now))}</b>'
        f"<p>{escape(say('target'))} {escape(say.target(one.target))}: {escape(counts)}</p>"
        f"<p>{escape(say('before'))}: {escape(say.percent(then))} "
        f"({escape(say.percent(change, '+'))})</p>"
        f"<p>{escape(say('outages'))}: {one.figures.outages}, {escape(say('down'))} "
        f"{escape(say.length(one.figures.down_ns))}</p>"
        f'<svg viewBox="0 0 240 10" height="10" role="img" aria-label="{escape(say(one.sort))}">'
        f"{_shares(one.figures, 0, 0, 240, 10, say)}</svg></div>"
    )


def _parts(figures: Figures) -> dict[str, int]:
    return {name: getattr(figures, f"{name}_ns") for name in FATES}


def widths(figures: Figures, width: float) -> dict[str, float]:
    """How wide each part of time is drawn; an outage is never too narrow to be seen."""
    parts = _parts(figures)
    whole = sum(parts.values()) or 1
    least = {name: 1.5 if part and name != "up" else 0.0 for name, part in parts.items()}
    drawn = {name: max(part / whole * width, least[name]) for name, part in parts.items()}
    most = max(drawn, key=drawn.__getitem__)
    drawn[most] = max(0.0, drawn[most] - (sum(drawn.values()) - width))
    return drawn


def _shares(f: Figures, x: float, y: float, width: float, height: float, say: Speech) -> str:
    parts, found = _parts(f), []
    for name, wide in widths(f, width).items():
        if parts[name]:
            found.append(
                f'<rect x="{x:.1f}" y="{y:g}" width="{wide:.1f}" height="{height:g}" '
                f'fill="{COLOURS[name]}"><title>{escape(say(name))} '
                f"{escape(say.length(parts[name]))}</title></rect>"
            )
        x += wide
    return "".join(found)


def bars(rows: Sequence[Row], say: Speech) -> str:
    """A bar an office: how its month was spent; the worst on top."""
    step, left, wide, right = 17, 270, 700, 110
    height = step * len(rows) + 4
    found = []
    for number, row in enumerate(rows):
        y, verdict = step * number, _verdict(row)
        found.append(
            f'<text x="{left - 8}" y="{y + 12}" class="end">{escape(_short(row.name, 38))}</text>'
            f"{_shares(row.figures, left, y + 2, wide, step - 5, say)}"
            f'<text x="{left + wide + 66}" y="{y + 12}" class="end">'
            f"{escape(say.percent(row.figures.hundredths))}</text>"
            f'<text x="{left + wide + 76}" y="{y + 12}">{MARKS[verdict]}</text>'
        )
    return (
        f'<svg viewBox="0 0 {left + wide + right} {height}" role="img" '
        f'aria-label="{escape(say("bars"))}">{"".join(found)}</svg>'
    )


def calendar(report: Report, rows: Sequence[Row], say: Speech) -> str:
    """A strip an office, a cell a day."""
    step, left, cell = 17, 270, 24
    days = len(report.midnights)
    found = [
        f'<text x="{left + cell * day + cell / 2:g}" y="11" class="middle faint">{day + 1}</text>'
        for day in range(days)
    ]
    for number, row in enumerate(rows, 1):
        y = step * number
        found.append(
            f'<text x="{left - 8}" y="{y + 12}" class="end">{escape(_short(row.name, 38))}</text>'
        )
        for day, figures in enumerate(row.days):
            told = f"{day + 1}: {say('outages')} {figures.outages}, {say('down')} "
            told += say.length(figures.down_ns)
            found.append(
                f'<rect x="{left + cell * day + 1}" y="{y + 1}" width="{cell - 2}" '
                f'height="{step - 3}" fill="{shade(figures)}"><title>{escape(told)}</title></rect>'
            )
            if figures.outages:
                ink = "middle" if shade(figures) == PALE else "middle on"
                found.append(
                    f'<text x="{left + cell * day + cell / 2:g}" y="{y + 12}" class="{ink}">'
                    f"{figures.outages}</text>"
                )
    size = f"0 0 {left + cell * days + 40} {step * (len(rows) + 1) + 2}"
    label = escape(say("calendar"))
    return f'<svg viewBox="{size}" role="img" aria-label="{label}">{"".join(found)}</svg>'


def shade(figures: Figures) -> str:
    """The colour of a day: its outage; without one, what most of the day was."""
    seconds = figures.down_ns / 1e9
    if not seconds:
        parts = _parts(figures)
        most = max(parts, key=parts.__getitem__)
        return COLOURS[most] if parts[most] else "#ffffff"
    return next((colour for limit, colour in SHADES[1:] if seconds <= limit), WORST)


MARKS = {"met": "✓", "missed": "✗", "unsure": "?"}


def _verdict(row: Row) -> str:
    return "unsure" if row.met is None else "met" if row.met else "missed"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _patch(colour: str) -> str:
    return (
        f'<svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">'
        f'<rect width="12" height="12" fill="{colour}"/></svg>'
    )


def _legend(say: Speech) -> str:
    items = (f"<li>{_patch(COLOURS[name])}{escape(say(name))}</li>" for name in FATES)
    return f'<ul class="legend">{"".join(items)}</ul>'


def _shades(say: Speech) -> str:
    """What the cells' colours mean."""
    told = ["0:00:00", "≤ 0:05:00", "≤ 1:00:00", "≤ 4:00:00"]
    pairs = [(colour, text) for (_, colour), text in zip(SHADES, told, strict=True)]
    pairs += [(WORST, "> 4:00:00")]
    items = [f"<li>{_patch(c)}{escape(say('down'))} {escape(text)}</li>" for c, text in pairs]
    rest = ("upstream", "maintenance", "unknown", "absent")
    items += [f"<li>{_patch(COLOURS[name])}{escape(say(name))}</li>" for name in rest]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _rows(report: Report, sort: str, say: Speech) -> str:
    rows = [row for row in report.rows if row.sort == sort]
    names = [
        "name", "availability", "target", "change", "outages", "down", "longest", "longest_since",
        "mttr", "mtbf", "unknown", "maintenance", "upstream",
    ]  # fmt: skip
    if sort == "camera":
        names.append("gap")
    head = "".join(f"<th>{escape(say(name))}</th>" for name in names)
    body = "\n".join(f"<tr>{''.join(_cells(row, say))}</tr>" for row in rows)
    return (
        f'<h2>{escape(say(sort))}</h2>\n<div class="wide"><table data-sort="{sort}"><thead><tr>'
        f"{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _cells(row: Row, say: Speech) -> Iterable[str]:
    f, verdict = row.figures, _verdict(row)
    beside = ", ".join(part for part in (row.opd if row.sort != "opd" else "", row.site) if part)
    yield f"<td>{escape(row.name)} <small>{escape(beside)}</small></td>"
    share = escape(say.percent(f.hundredths))
    yield f'<td class="{verdict}"><span title="{escape(say(verdict))}">{MARKS[verdict]}</span> '
    yield f"{share}</td>"
    since = say.time(f.longest_since_ns) if f.outages else NOTHING
    for text in (
        say.target(row.target),
        say.percent(row.change, "+"),
        str(f.outages),
        say.length(f.down_ns),
        say.length(f.longest_ns) if f.outages else NOTHING,
        since,
        say.length(f.mttr_ns),
        say.length(f.mtbf_ns),
        say.length(f.unknown_ns),
        say.length(f.maintenance_ns),
        say.length(f.upstream_ns),
    ):
        yield f"<td>{escape(text)}</td>"
    if row.sort == "camera":
        length, began = gap(row, say)
        beside = f"<br/><small>{escape(began)}</small>" if began != NOTHING else ""
        yield f"<td>{escape(length)}{beside}</td>"


def gap(row: Row, say: Speech) -> tuple[str, str]:
    """How long a camera's longest recording gap was, and when it began."""
    since, until = row.gap or (0, 0)
    length = say.length(None if row.gap is None else until - since)
    return length, say.time(since) if until > since else NOTHING


def _planned(report: Report, say: Speech) -> str:
    if not report.planned:
        return f"<h2>{escape(say('planned'))}</h2>\n<p>{escape(say('none'))}</p>"
    names = ("from", "to", "what", "who", "why")
    head = "".join(f'<th class="text">{escape(say(name))}</th>' for name in names)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="text">{escape(text)}</td>'
            for text in (say.time(w.since_ns), say.time(w.until_ns), w.what, w.who, w.why)
        )
        + "</tr>"
        for w in report.planned
    )
    return (
        f"<h2>{escape(say('planned'))}</h2>\n<table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _deaf(report: Report, say: Speech) -> str:
    head = f"<h2>{escape(say('deaf'))}</h2>\n"
    if not report.deaf:
        return f"{head}<p>{escape(say('never_deaf'))}</p>"
    items = [
        f"{say.time(since)} – {say.time(until)} ({say.length(until - since)})"
        for since, until in report.deaf[:MOST_LISTED]
    ]
    if len(report.deaf) > MOST_LISTED:
        items.append(say("and_more", number=len(report.deaf) - MOST_LISTED))
    listed = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"{head}<p>{escape(say.length(report.deaf_ns))}</p>\n<ul>{listed}</ul>"


def _how(report: Report, say: Speech) -> str:
    texts = [say(key) for key in HOW]
    if report.gone:
        texts.append(say("gone", names=", ".join(report.gone)))
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<h2>{escape(say("how"))}</h2>\n<ul class="how">{items}</ul>'
