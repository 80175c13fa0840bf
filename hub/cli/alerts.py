"""The verbs about alerts: list, acknowledge, silence. They do what the board's buttons do."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from hub import acts, configuration, supervisor
from hub.cli.common import DEFAULT, Settings, fail, ledger_of, must_have_run, out, plainly, table
from hub.cli.words import Lang, heads, word
from hub.clock import now_ns, to_datetime
from hub.link import Link
from hub.notify import desk
from hub.notify.onduty import turns
from hub.notify.words import Language
from rules.act import Act
from rules.matching import Matcher
from rules.text import span

Why = Annotated[str, typer.Option("--why", "-m", help="A comment for the others.")]
Who = Annotated[str, typer.Option(help="Your name; default: your user here.")]


@plainly
def alerts(lang: Lang = None, settings: Settings = DEFAULT) -> None:
    """List the open alerts with their keys.

    ```
    toba-hub alerts --lang en
    ```
    """
    conf = configuration.load(settings)
    language = lang or conf.settings.language
    rows = [
        (
            key,
            word(language, "stage", last["after"]),
            word(language, "severity", last["severity"]),
            span(now_ns() - last["since_ns"], language),
            last["title"].get(language, ""),
        )
        for key, last in _open_alerts(conf).items()
    ]
    table(heads(language, "key", "state", "severity", "lasts", "title"), rows)


@plainly
def ack(
    key: Annotated[str, typer.Argument(help="The alert's key, as `toba-hub alerts` lists it.")],
    why: Why = "",
    who: Who = "",
    settings: Settings = DEFAULT,
) -> None:
    """Acknowledge an alert: somebody works on it.

    ```
    toba-hub ack router_down:r-dlh -m "teknisi berangkat"
    ```
    """
    conf = configuration.load(settings)
    if key not in _open_alerts(conf):
        fail(f"no open alert has the key {key!r}; `toba-hub alerts` lists them")
    record = act_on(conf, kind="acknowledge", key=key, who=who or user(), why=why)
    out.print(f"[green]done[/], record {record} of the journal")


@plainly
def silence(
    match: Annotated[
        list[str] | None, typer.Argument(help="device=…, kind=…, site=…, opd=…, rule=… (globs).")
    ] = None,
    hours: Annotated[float, typer.Option(help="How long; a year at most.")] = 1.0,
    why: Why = "",
    who: Who = "",
    maintenance: Annotated[
        bool, typer.Option("--maintenance", help="Planned work: shown and reported as such.")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the silences in force.")] = False,
    lang: Lang = None,
    settings: Settings = DEFAULT,
) -> None:
    """Let matching alerts page nobody for a while; they are still shown.

    ```
    toba-hub silence device=r-dlh --hours 4 -m "ganti UPS"
    toba-hub silence site=porsea "rule=camera_*" --hours 2
    toba-hub silence opd=dlh --maintenance --hours 3     # planned work, not an outage
    ```
    """
    if listed:
        _list(configuration.load(settings), lang)
        return
    matcher = matcher_of(match or ())
    conf = configuration.load(settings)
    now = now_ns()
    try:
        until_ns = now + acts.length_ns(hours)
    except ValueError as error:
        fail(str(error), 2)
    kind = "maintenance" if maintenance else "silence"
    act = Act(kind, who or user(), why, matcher=matcher, until_ns=until_ns)
    wrong = act.problem() or acts.refusal(act, now, acts.tags_of(conf))
    if wrong:
        fail(wrong, 2)
    record = act_on(conf, kind=kind, who=act.who, why=why, matcher=matcher, until_ns=until_ns)
    empty = acts.meets_nothing(matcher, conf)
    if empty:
        sys.stderr.write(f"toba-hub: look: {empty}; silenced all the same\n")
    out.print(f"[green]done[/]; to end it before: toba-hub unsilence {record}")


@plainly
def silences(lang: Lang = None, settings: Settings = DEFAULT) -> None:
    """List the silences and maintenance windows in force with their ids."""
    _list(configuration.load(settings), lang)


@plainly
def unsilence(
    silence: Annotated[str, typer.Argument(metavar="ID", help="As `toba-hub silences` lists it.")],
    who: Who = "",
    settings: Settings = DEFAULT,
) -> None:
    """End a silence or a maintenance window now."""
    conf = configuration.load(settings)
    must_have_run(conf)
    if silence not in {one.id for one in acts.silences(conf, now_ns())}:
        fail(f"no silence in force has the id {silence!r}; `toba-hub silences` lists them")
    record = act_on(conf, kind="unsilence", key=silence, who=who or user(), why="")
    out.print(f"[green]done[/], record {record} of the journal")


@plainly
def acts_done(
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many.")] = 50,
    lang: Lang = None,
    settings: Settings = DEFAULT,
) -> None:
    """List what people did, the newest first: when, who, what and why."""
    conf = configuration.load(settings)
    language = lang or conf.settings.language
    with ledger_of(conf) as ledger:
        rows = [
            (
                f"{to_datetime(one.time_ns, conf.settings.zone):%Y-%m-%d %H:%M:%S}",
                one.act.who,
                word(language, "act", one.act.kind),
                one.act.key or acts.words(Matcher(dict(one.act.matcher))),
                one.act.why,
            )
            for one in ledger.acts(limit)
        ]
    table(heads(language, "when", "who", "what", "about", "why"), rows)


@plainly
def oncall(lang: Lang = None, settings: Settings = DEFAULT) -> None:
    """Tell who is on duty in each team, until when, who is next, and how much the team has open."""
    conf = configuration.load(settings)
    teams, zone, at_ns = conf.settings.teams, conf.settings.zone, now_ns()
    if not teams:
        fail("the settings have no teams; hub/notify/README.md shows some")
    number = _open_by_team(conf)
    rows = []
    for name, team in teams.items():
        now, later = turns(team, conf.settings.people, at_ns, conf.settings.timezone)
        person = conf.settings.people.get(now.person) if now else None
        rows.append(
            (
                name,
                now.name if now else "-",
                f"{to_datetime(now.until_ns, zone):%Y-%m-%d %H:%M}" if now else "-",
                later.name if later else "-",
                ", ".join(dict.fromkeys([*team.channels, *(person.channels if person else ())])),
                *(str(count) for count in number.get(name, (0, 0))),
            )
        )
    names = ("team", "on duty", "until", "then", "told on", "open", "acknowledged")
    table(heads(lang or conf.settings.language, *names), rows)


def _open_by_team(conf: configuration.Configuration) -> dict[str, tuple[int, int]]:
    """Team → alerts that it was told of and that are not over, and how many are acknowledged."""
    if not conf.settings.ledger_file.exists():
        return {}
    with ledger_of(conf) as ledger:
        desk.create(ledger.db)
        return desk.numbers(ledger.db)


def matcher_of(words: Sequence[str]) -> dict[str, str]:
    """`device=r-* rule=…` as a matcher; ends the command where it is none."""
    pairs = [part.partition("=") for part in words]
    if not pairs or any(not middle or not value for _, middle, value in pairs):
        fail("a matcher is key=value, for example device=r-dlh", 2)
    matcher = {name: value for name, _, value in pairs}
    if len(matcher) < len(pairs):
        fail("a matcher's key stands twice; a glob can name several: device=r-*", 2)
    return matcher


def _list(conf: configuration.Configuration, lang: Language | None) -> None:
    must_have_run(conf)
    now, language = now_ns(), lang or conf.settings.language
    rows = [
        (
            one.id,
            word(language, "act", one.kind),
            acts.words(one.matcher),
            span(one.until_ns - now, language),
            one.who,
            one.why,
        )
        for one in acts.silences(conf, now)
    ]
    table(heads(language, "id", "kind", "matches", "left", "who", "why"), rows)


def _open_alerts(conf: configuration.Configuration) -> dict[str, dict[str, Any]]:
    """The last transition of each alert that is not over, by key."""
    with ledger_of(conf) as ledger:
        return ledger.open_alerts()


def act_on(conf: configuration.Configuration, **act: Any) -> int:
    """Write an act into the journal of the running hub; the record's id."""

    async def hand_over() -> int:
        link = Link(conf.settings.ingest_socket)
        try:
            return await link.act(act)
        finally:
            await link.close()

    if supervisor.running(conf.settings.data) is None:
        fail(f"no hub is running on {conf.settings.data}; start it with `toba-hub run`")
    return asyncio.run(hand_over())


def user() -> str:
    """Where the system knows no name for the user, its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.geteuid()}"
