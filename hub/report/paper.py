"""The report as PDF, A4 across: what the page shows, set for paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hub.notify.words import Language
from hub.report.model import SORTS, Report, Row
from hub.report.page import COLOURS, FATES, MOST_LISTED, PALE, SHADES, WORST, gap, shade, widths
from hub.report.pdf import HEIGHT, WIDTH, Colour, Sheet, document, fitted, width
from hub.report.words import HOW, NOTHING, Speech

LEFT, RIGHT, TOP, BOTTOM = 34.0, WIDTH - 34.0, 36.0, HEIGHT - 36.0
GREY, LINE, GOOD, BAD = "#6b7481", "#d5d9df", "#1d6b41", "#b01f1f"


@dataclass(frozen=True, slots=True)
class _Column:
    word: str
    wide: float
    cell: Callable[[Row, Speech], str]


_COLUMNS = (
    _Column("name", 170, lambda row, say: row.name),
    _Column("availability", 62, lambda row, say: say.percent(row.figures.hundredths)),
    _Column("target", 38, lambda row, say: say.target(row.target)),
    _Column("change", 50, lambda row, say: say.percent(row.change, "+")),
    _Column("outages", 46, lambda row, say: str(row.figures.outages)),
    _Column("down", 50, lambda row, say: say.length(row.figures.down_ns)),
    _Column("longest", 50, lambda row, say: _longest(row, say)),
    _Column("longest_since", 66, lambda row, say: _since(row, say)),
    _Column("mttr", 46, lambda row, say: say.length(row.figures.mttr_ns)),
    _Column("mtbf", 50, lambda row, say: say.length(row.figures.mtbf_ns)),
    _Column("unknown", 52, lambda row, say: say.length(row.figures.unknown_ns)),
    _Column("maintenance", 44, lambda row, say: say.length(row.figures.maintenance_ns)),
    _Column("upstream", 50, lambda row, say: say.length(row.figures.upstream_ns)),
)
_CAMERA = {
    "name": 104,
    "availability": 58,
    "change": 44,
    "outages": 42,
    "down": 46,
    "longest": 46,
    "longest_since": 58,
    "mttr": 42,
    "mtbf": 46,
    "unknown": 52,
    "upstream": 48,
}
"""Of a camera's table: room for two more columns."""
_CAMERA_COLUMNS = (
    *(replace(column, wide=_CAMERA.get(column.word, column.wide)) for column in _COLUMNS),
    _Column("gap", 50, lambda row, say: gap(row, say)[0]),
    _Column("longest_since", 56, lambda row, say: gap(row, say)[1]),
)


def _longest(row: Row, say: Speech) -> str:
    return say.length(row.figures.longest_ns) if row.figures.outages else NOTHING


def _since(row: Row, say: Speech) -> str:
    return say.time(row.figures.longest_since_ns) if row.figures.outages else NOTHING


def write(report: Report, language: Language) -> bytes:
    """The whole document."""
    setter = _Setter(report, Speech(language, report.zone))
    setter.head()
    if report.rows:
        setter.totals()
        setter.charts()
        for sort in SORTS:
            setter.table(report.of(sort), setter.say(sort))
    else:
        setter.paragraph(setter.say("nothing"))
    setter.planned()
    setter.deaf()
    setter.how()
    return setter.finished()


class _Setter:
    """Sets one line under the other, a new sheet where the old one is full."""

    def __init__(self, report: Report, say: Speech) -> None:
        self._report = report
        self.say = say
        self._sheets: list[Sheet] = []
        self._y = 0.0
        self._turn()

    @property
    def _sheet(self) -> Sheet:
        return self._sheets[-1]

    def _turn(self) -> None:
        self._sheets.append(Sheet())
        self._y = TOP

    def _room(self, high: float) -> bool:
        """Turn the sheet unless so much fits; True: it was turned."""
        if self._y + high <= BOTTOM:
            return False
        self._turn()
        return True

    def head(self) -> None:
        say, report = self.say, self._report
        title = f"{say('title')}: {say.month(report.month)}"
        self._sheet.text(LEFT, TOP + 8, title, 18, bold=True)
        self._sheet.text(LEFT, TOP + 24, report.regency, 10, GREY)
        told = f"{say('period')}: {say.period(report)}, {say('zone')} {report.zone}. "
        told += f"{say('made')}: {say.time(report.made_ns, year=True)}"
        self._sheet.text(LEFT, TOP + 37, told, 8, GREY)
        self._y = TOP + 50

    def _heading(self, text: str, following: float = 40) -> None:
        self._room(following + 24)
        self._y += 22
        self._sheet.text(LEFT, self._y, text, 11, bold=True)
        self._y += 4

    def paragraph(self, text: str) -> None:
        """Broken into lines where it is too long for one."""
        line = ""
        for word in [*text.split(), ""]:
            longer = f"{line} {word}".strip()
            if word and width(longer, 8) <= RIGHT - LEFT:
                line = longer
                continue
            self._room(12)
            self._y += 11
            self._sheet.text(LEFT, self._y, line, 8)
            line = word

    def totals(self) -> None:
        say = self.say
        self._heading(say("totals"))
        names = ("sector", "number", "availability", "target", "met", "missed", "before",
                 "outages", "down")  # fmt: skip
        wide = (194, 56, 76, 56, 66, 94, 76, 66, 90)
        self._line([(say(name), None) for name in names], wide, head=True)
        for one in self._report.totals:
            if not one.number:
                continue
            f, met = one.figures, one.figures.meets(one.target)
            told = [
                (say(one.sort), None),
                (str(one.number), None),
                (say.percent(f.hundredths), None if met is None else GOOD if met else BAD),
                (say.target(one.target), None),
                (str(one.met), None),
                (str(one.missed), BAD if one.missed else None),
                (say.percent(one.before.hundredths), None),
                (str(f.outages), None),
                (say.length(f.down_ns), None),
            ]
            self._line(told, wide)

    def _line(
        self,
        cells: Sequence[tuple[str, Colour | None]],
        wide: Sequence[float],
        *,
        head: bool = False,
        left: bool = False,
    ) -> None:
        """One row of a table: the first cell to the left, the others to the right."""
        self._room(12)
        self._y += 11.5
        x = LEFT
        for number, ((text, colour), room) in enumerate(zip(cells, wide, strict=True)):
            shown = fitted(text, 7, room - 4)
            ink = GREY if head else colour or "#1c2430"
            if left or not number:
                self._sheet.text(x, self._y, shown, 7, ink)
            else:
                self._sheet.text(x + room - 2, self._y, shown, 7, ink, "right")
            x += room
        rule = self._y + 3
        self._sheet.line([(LEFT, rule), (RIGHT, rule)], GREY if head else LINE, 0.4)

    def charts(self) -> None:
        """How each office's month was spent, and its days, side by side."""
        rows, say = self._report.of("opd"), self.say
        if not rows:
            return
        self._heading(f"{say('bars')}, {say('calendar')}", 60)
        self._legend()
        self._days()
        for row in rows:
            if self._room(12):
                self._days()
            self._chart(row)

    _NAMES, _BAR, _SHARE, _DAY = 190.0, 150.0, 60.0, 11.4

    def _days(self) -> None:
        self._y += 11
        x = LEFT + self._NAMES + self._BAR + self._SHARE
        for day in range(len(self._report.midnights)):
            place = x + self._DAY * (day + 0.5)
            self._sheet.text(place, self._y - 2, str(day + 1), 6, GREY, "middle")

    def _chart(self, row: Row) -> None:
        sheet, y, x = self._sheet, self._y, LEFT + self._NAMES
        sheet.text(x - 6, y + 8, fitted(row.name, 7, self._NAMES - 8), 7, align="right")
        for name, wide in widths(row.figures, self._BAR).items():
            if wide:
                sheet.box(x, y + 1.5, wide, 8, COLOURS[name])
            x += wide
        met = row.met
        ink = GREY if met is None else GOOD if met else BAD
        share = self.say.percent(row.figures.hundredths)
        sheet.text(x + 40, y + 8, share, 7, ink, "right")
        if met is not None:
            self._mark(x + 44, y + 8, met)
        x = LEFT + self._NAMES + self._BAR + self._SHARE
        for figures in row.days:
            sheet.box(x + 0.5, y + 1, self._DAY - 1, 9, shade(figures))
            if figures.outages:
                ink = "#1c2430" if shade(figures) == PALE else "#ffffff"
                sheet.text(x + self._DAY / 2, y + 8, str(figures.outages), 6, ink, "middle")
            x += self._DAY
        self._y += 11.5

    def _mark(self, x: float, y: float, met: bool) -> None:
        """A tick or a cross: colour alone tells nobody everything."""
        if met:
            self._sheet.line([(x, y - 2.5), (x + 2, y - 0.5), (x + 5.5, y - 5.5)], GOOD, 1)
        else:
            self._sheet.line([(x, y - 5), (x + 5, y)], BAD, 1)
            self._sheet.line([(x + 5, y - 5), (x, y)], BAD, 1)

    def _legend(self) -> None:
        pairs = [(COLOURS[name], self.say(name)) for name in FATES]
        told = ("0:00:00", "<= 0:05:00", "<= 1:00:00", "<= 4:00:00")
        down = self.say("down")
        days = [(c, f"{down} {text}") for (_, c), text in zip(SHADES, told, strict=True)]
        for line in (pairs, [*days, (WORST, f"{down} > 4:00:00")]):
            self._y += 11
            x = LEFT
            for colour, text in line:
                self._sheet.box(x, self._y - 6, 7, 7, colour)
                self._sheet.text(x + 10, self._y, text, 7, GREY)
                x += 24 + width(text, 7)

    def table(self, rows: Sequence[Row], title: str) -> None:
        if not rows:
            return
        columns = _CAMERA_COLUMNS if rows[0].sort == "camera" else _COLUMNS
        wide = [column.wide for column in columns]
        head = [(self.say(column.word), None) for column in columns]
        self._heading(title)
        self._line(head, wide, head=True)
        for row in rows:
            if self._room(12):
                self._line(head, wide, head=True)
            met = row.met
            ink = None if met is None else GOOD if met else BAD
            cells = [
                (column.cell(row, self.say), ink if column.word == "availability" else None)
                for column in columns
            ]
            self._line(cells, wide)
            if met is not None:
                self._mark(LEFT + wide[0] + 6, self._y, met)

    def planned(self) -> None:
        say, wide = self.say, (90, 90, 250, 90, 250)
        self._heading(say("planned"))
        if not self._report.planned:
            self.paragraph(say("none"))
            return
        names = ("from", "to", "what", "who", "why")
        self._line([(say(name), None) for name in names], wide, head=True, left=True)
        for one in self._report.planned:
            told = (say.time(one.since_ns), say.time(one.until_ns), one.what, one.who, one.why)
            self._line([(text, None) for text in told], wide, left=True)

    def deaf(self) -> None:
        say, gaps = self.say, self._report.deaf
        self._heading(say("deaf"))
        if not gaps:
            self.paragraph(say("never_deaf"))
            return
        self.paragraph(say.length(self._report.deaf_ns))
        for since, until in gaps[:MOST_LISTED]:
            told = f"{say.time(since)} – {say.time(until)} ({say.length(until - since)})"
            self.paragraph(told)
        if len(gaps) > MOST_LISTED:
            self.paragraph(say("and_more", number=len(gaps) - MOST_LISTED))

    def how(self) -> None:
        self._heading(self.say("how"))
        for key in HOW:
            self.paragraph(self.say(key))
        if self._report.gone:
            self.paragraph(self.say("gone", names=", ".join(self._report.gone)))

    def finished(self) -> bytes:
        say, report = self.say, self._report
        title = f"{say('title')} · {report.regency} · {say.month(report.month)}"
        for number, sheet in enumerate(self._sheets, 1):
            sheet.text(LEFT, HEIGHT - 20, title, 7, GREY)
            told = say("page", number=number, all=len(self._sheets))
            sheet.text(RIGHT, HEIGHT - 20, told, 7, GREY, "right")
        return document(self._sheets, title, say.language)
