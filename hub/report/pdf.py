"""A small writer of PDF 1.4: text in Helvetica, rectangles and lines, on A4 across.

Every viewer has Helvetica, so nothing is embedded and no library is needed: those that there are
bring an imaging library along, for what is text and rectangles here, and printing through a browser
would need one on the hub's machine. The price: only the characters of Windows-1252, enough for both
languages; others become `?`.

Units are points (1/72 inch), the origin is at the top left.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Literal

WIDTH, HEIGHT = 842.0, 595.0
Colour = str
"""`#2e8b57`."""
_ASCII = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,
    1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,
    333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556,
    556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
)  # fmt: skip
"""Widths of Helvetica's characters from 32 on, thousandths of the size (Adobe's font metrics)."""
_OTHERS = {"–": 556, "—": 1000, "…": 1000, "·": 278, "×": 584, "°": 400, "’": 222}
_LIKE = str.maketrans({"−": "–", "≤": "<", "\u00a0": " ", "✓": "", "✗": ""})


def encoded(text: str) -> bytes:
    """As Windows-1252 has it."""
    return text.translate(_LIKE).encode("cp1252", "replace")


def width(text: str, size: float) -> float:
    """How wide it will be, in Helvetica."""
    known = (
        _ASCII[ord(char) - 32] if " " <= char <= "~" else _OTHERS.get(char, 556)
        for char in text.translate(_LIKE)
    )
    return sum(known) * size / 1000


def fitted(text: str, size: float, most: float) -> str:
    """The text itself, or as much of it as fits, with dots."""
    if width(text, size) <= most:
        return text
    while text and width(f"{text}…", size) > most:
        text = text[:-1]
    return f"{text}…"


class Sheet:
    """One page."""

    def __init__(self) -> None:
        self._drawn: list[bytes] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 8,
        colour: Colour = "#1c2430",
        align: Literal["left", "right", "middle"] = "left",
        bold: bool = False,
    ) -> None:
        """One line; `y` is its base line."""
        if align != "left":
            wide = width(text, size)
            x -= wide if align == "right" else wide / 2
        shown = encoded(text)
        for char in (b"\\", b"(", b")"):
            shown = shown.replace(char, b"\\" + char)
        font = b"F2" if bold else b"F1"
        self._drawn.append(
            b"BT /%s %s Tf %s rg %s %s Td (%s) Tj ET"
            % (font, _n(size), _rgb(colour), _n(x), _n(HEIGHT - y), shown)
        )

    def box(self, x: float, y: float, wide: float, high: float, colour: Colour) -> None:
        """A filled rectangle; `y` is its upper edge."""
        corner = b" ".join(map(_n, (x, HEIGHT - y - high, wide, high)))
        self._drawn.append(b"%s rg %s re f" % (_rgb(colour), corner))

    def line(self, points: Iterable[tuple[float, float]], colour: Colour, thick: float) -> None:
        """From point to point."""
        path = [_n(x) + b" " + _n(HEIGHT - y) for x, y in points]
        way = path[0] + b" m " + b" ".join(point + b" l" for point in path[1:])
        self._drawn.append(b"%s RG %s w %s S" % (_rgb(colour), _n(thick), way))

    def content(self) -> bytes:
        return b"\n".join(self._drawn)


def document(sheets: Iterable[Sheet], title: str, language: str) -> bytes:
    """The file."""
    pages = list(sheets)
    first = 6
    kids = b" ".join(b"%d 0 R" % (first + 2 * n) for n in range(len(pages)))
    name = title.encode("utf-16-be").hex().upper().encode()
    helvetica = b"<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /Lang (%s) >>" % language.encode(),
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(pages), kids),
        helvetica % b"Helvetica",
        helvetica % b"Helvetica-Bold",
        b"<< /Title <FEFF%s> /Producer (Toba hub) >>" % name,
    ]
    for number, page in enumerate(pages):
        packed = zlib.compress(page.content())
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %s %s] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>"
            % (_n(WIDTH), _n(HEIGHT), first + 2 * number + 1)
        )
        objects.append(
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed)
        )
    file, places = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, one in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % place for place in places)
    file += b"trailer\n<< /Size %d /Root 1 0 R /Info 5 0 R >>\n" % (len(objects) + 1)
    file += b"startxref\n%d\n%%%%EOF\n" % table
    return bytes(file)


def _n(number: float) -> bytes:
    return f"{number:.2f}".rstrip("0").rstrip(".").encode()


def _rgb(colour: Colour) -> bytes:
    return b" ".join(_n(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
