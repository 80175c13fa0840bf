"""A backtest as a page of its own: bars by day, before and after. No scripts, no other files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta, tzinfo
from html import escape

from hub.backtest.run import Report
from hub.backtest.tally import RuleTally
from hub.clock import to_datetime

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; color: #1b2733 }
h2 { margin: 2rem 0 .2rem; font-size: 1.1rem }
p { margin: .2rem 0; color: #51606e }
svg { display: block; margin: .5rem 0 }
td, th { padding: .15rem .8rem .15rem 0; text-align: left }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.now { fill: #9aa8b5 }
.then { fill: #c2410c }
"""
WIDE, HIGH = 900, 90


def page(report: Report, names: Sequence[str], titles: Mapping[str, str], zone: tzinfo) -> str:
    """The whole page as HTML."""
    begin, end = (to_datetime(t, zone) for t in (report.start_ns, report.stop_ns))
    span = f"{begin:%Y-%m-%d %H:%M} – {end:%Y-%m-%d %H:%M}"
    return "".join(
        [
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Backtest</title>',
            f"<style>{STYLE}</style><h1>Backtest</h1><p>{span}; {report.readings:,} readings of ",
            f"{report.series:,} series</p>",
            "<p>grey: the rules in force; orange: with the change</p>" if report.after else "",
            *(_rule(name, titles.get(name, ""), report, zone) for name in names),
            "</html>\n",
        ]
    )


def _rule(name: str, title: str, report: Report, zone: tzinfo) -> str:
    before, after = report.before.get(name), (report.after or {}).get(name)
    sets = [one for one in (before, after) if one is not None]
    return "".join(
        [
            f"<h2>{escape(name)}</h2><p>{escape(title)}</p>",
            _chart(before, after, report, zone),
            "<table><tr><th></th><th>fired</th><th>hours</th><th>flaps</th><th>calls</th></tr>",
            *_totals("now", before),
            *_totals("then", after),
            "</table><table>" if any(one.devices for one in sets) else "</table>",
            *_devices(before, after),
            "</table>" if any(one.devices for one in sets) else "",
        ]
    )


def _totals(which: str, tally: RuleTally | None) -> Iterator[str]:
    if tally is not None:
        calls = ", ".join(f"{escape(team)} {n}" for team, n in sorted(tally.told.items()))
        yield (
            f'<tr><td>{which}</td><td class="n">{tally.fired}</td>'
            f'<td class="n">{tally.firing_s / 3600:.1f}</td><td class="n">{tally.flaps}</td>'
            f"<td>{calls or 'nobody'}</td></tr>"
        )


def _devices(before: RuleTally | None, after: RuleTally | None) -> Iterator[str]:
    sets = [{} if one is None else one.devices for one in (before, after)]
    for device in sorted({*sets[0], *sets[1]}):
        cells = "".join(
            f'<td class="n">{one[device].fired if device in one else 0}</td>' for one in sets
        )
        yield f"<tr><td>{escape(device)}</td>{cells}</tr>"


def _chart(before: RuleTally | None, after: RuleTally | None, report: Report, zone: tzinfo) -> str:
    """Two bars a day."""
    days = len((before or after or RuleTally("")).days)
    columns = [one.days if one is not None else [0] * days for one in (before, after)]
    most = max([1, *columns[0], *columns[1]])
    step = WIDE / max(1, days)
    bars = []
    for number, (kind, values) in enumerate(zip(("now", "then"), columns, strict=True)):
        for day, value in enumerate(values):
            high = HIGH * value / most
            date = to_datetime(report.start_ns, zone) + timedelta(days=day)
            bars.append(
                f'<rect class="{kind}" x="{day * step + number * step * 0.42:.1f}"'
                f' y="{HIGH - high:.1f}" width="{step * 0.4:.1f}" height="{high:.1f}">'
                f"<title>{date:%Y-%m-%d}: {value}</title></rect>"
            )
    line = f'<line x1="0" y1="{HIGH}" x2="{WIDE}" y2="{HIGH}" stroke="#9aa8b5"/>'
    return f'<svg viewBox="0 0 {WIDE} {HIGH + 2}" role="img">{"".join(bars)}{line}</svg>'
