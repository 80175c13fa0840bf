"""`toba-hub report`: the availability of a month as a page, a table or a document."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from hub import configuration
from hub.cli.common import DEFAULT, Settings, fail, plainly
from hub.clock import now_ns


@plainly
def report(
    month: Annotated[
        str, typer.Option("--month", "-m", help="Such as 2026-10; default: last month.")
    ] = "",
    form: Annotated[
        Literal["html", "csv", "pdf", "json"] | None,
        typer.Option("--format", "-f", help="Default: as the name of -o ends, else html."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    lang: Annotated[
        Literal["id", "en"] | None,
        typer.Option(help="Language of html and pdf; default: that of the settings."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; default: standard output."),
    ] = None,
    settings: Settings = DEFAULT,
) -> None:
    """Report how available offices, links and cameras were in a month.

    Percent by office, uplink, camera and device, worst first, against the month before and the
    target of the settings (`report: {targets: {opd: 99, link: 99, camera: 95, device: 99}}`);
    outages, the longest and when it began, MTTR and MTBF; the longest time in which a camera, by
    its own word, recorded nothing. The hub's own absence and missing data
    are *unknown*; planned work (`toba-hub maintenance`, `silence --maintenance`) and causes
    upstream are left out: all are shown, none counts as down. Months are those of the regency's
    time zone. Works on a running hub and on one that rests.

    ```
    toba-hub report --month 2026-10 -o october.html      # a page, ready for the printer
    toba-hub report --month 2026-10 --lang id -o oktober.pdf
    toba-hub report --format csv | column -s, -t | less  # last month, one row an object
    ```
    """
    from hub.report import asked

    if as_json and form not in (None, "json"):
        fail(f"--json and --format {form} contradict each other", 2)
    chosen = "json" if as_json else form or (asked.form_of(output) if output else None) or "html"
    conf = configuration.load(settings)
    if not conf.settings.ledger_file.exists():
        fail(f"no hub has run on {conf.settings.data} yet: there is nothing to report")
    if output is None and chosen == "pdf" and sys.stdout.isatty():
        fail("a PDF is nothing for a terminal; name a file: -o report.pdf", 2)
    try:
        found = asked.of(conf, month, now_ns())
    except ValueError as error:
        fail(str(error), 2)
    content = asked.written(found, chosen, lang or conf.settings.language)
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    _write(output, content)
    known = sum(row.met is not None for row in found.rows)
    missed = sum(row.met is False for row in found.rows)
    sys.stdout.write(
        f"wrote {output}: {found.month}, {len(found.rows)} objects, {known} known, "
        f"{missed} below their target\n"
    )


def _write(output: Path, content: bytes) -> None:
    """Beside it and then renamed: nobody ever reads half a report."""
    part = output.with_name(f".{output.name}.part")
    try:
        part.write_bytes(content)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
