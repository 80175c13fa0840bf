"""What the command line and the web ask for alike: a month, a form, a language."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import msgspec
import yaml

from hub.configuration import Configuration
from hub.ledger import Ledger
from hub.notify.words import Language
from hub.report import made, page, paper, table
from hub.report.made import Asked
from hub.report.model import SORTS, Report
from hub.report.month import Month

Form = Literal["html", "csv", "pdf", "json"]
FORMS: tuple[Form, ...] = get_args(Form)
TYPES: dict[Form, str] = {
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "pdf": "application/pdf",
    "json": "application/json",
}


def of(conf: Configuration, month: str, now_ns: int) -> Report:
    """The report of a month (`2026-10`; empty: the last one) by what is kept in the data folder.

    Needs no running hub and disturbs none. Raises ValueError for what is no month, sqlite3.Error.
    """
    zone = ZoneInfo(conf.settings.timezone)
    wanted = Month.parse(month) if month else None
    if wanted is not None and wanted.span(zone)[0] > now_ns:
        raise ValueError(f"{wanted} has not begun yet")
    with closing(Ledger(conf.settings.ledger_file)) as ledger:
        chosen = wanted or made.default_month(ledger, zone, now_ns)
        return made.make(asked(conf), ledger, chosen, now_ns)


def asked(conf: Configuration) -> Asked:
    """Whose report, and what was promised."""
    folder = conf.settings.regency_folder
    facts = yaml.safe_load((folder / "regency.yaml").read_text(encoding="utf-8"))
    targets = conf.settings.report.targets
    return Asked(
        regency=str(facts["name"]),
        zone=ZoneInfo(conf.settings.timezone),
        targets={sort: getattr(targets, sort) for sort in SORTS},
        inventory=conf.inventory,
    )


def written(report: Report, form: Form, language: Language) -> bytes:
    """The report in one of its forms."""
    match form:
        case "html":
            return page.write(report, language).encode()
        case "csv":
            return table.write(report).encode()
        case "pdf":
            return paper.write(report, language)
        case "json":
            return msgspec.json.format(msgspec.json.encode(report.plain()), indent=1) + b"\n"


def file_name(report: Report, form: Form) -> str:
    return f"toba-hub-{report.month}.{form}"


def form_of(path: Path) -> Form | None:
    """What a file's name asks for."""
    ending = path.suffix.lower().removeprefix(".")
    return next((form for form in FORMS if form == ending), None)
