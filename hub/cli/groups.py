"""The verbs that come in groups: grafana, notify, rules, token; journal has its own file."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from hub import configuration, logs
from hub.cli.common import DEFAULT, Settings, fail, group, out, plainly, table
from hub.cli.words import NO_RULE, Lang, word
from hub.clock import now_ns, to_datetime
from hub.web.tokens import ROLES, TokenError, Tokens

grafana = group("Dashboards: build their JSON, push them into an existing Grafana.")
notify = group("Notification channels.")
rules = group("Rules: try their cases, ask why an alert fires, try changes on history.")
token = group("Tokens for the board's API.")


@grafana.command("build")
@plainly
def grafana_build(
    check: Annotated[bool, typer.Option(help="Only say what differs from the code.")] = False,
) -> None:
    """Write the dashboards' JSON from their code (needs the dev extra)."""
    from grafana import build

    try:
        changed = build.build(check=check)
    except build.SdkMissingError as error:
        fail(str(error))
    for name in changed:
        out.print(f"{'differs' if check else 'wrote'}: {name}")
    if check and changed:
        raise typer.Exit(1)
    if not changed:
        out.print("nothing to write: the committed JSON is what the code says")


@grafana.command("push")
@plainly
def grafana_push(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    settings: Settings = DEFAULT,
) -> None:
    """Show how Grafana differs, ask, then bring folder, data source and dashboards there, and mark
    alerts and maintenance windows on its timeline.

    Grafana's address and token are `grafana.url` and `grafana.token` in the settings.
    """
    from grafana import push as pushing
    from hub import marks

    conf = configuration.load(settings)
    if not conf.settings.grafana.url:
        fail("no Grafana to push to: set grafana.url and grafana.token in the settings")
    store, given = conf.settings.store, conf.settings.grafana
    source = None
    if given.influx_url:
        source = pushing.Source(
            given.influx_url,
            store.database,
            given.influx_username,
            given.influx_password.get_secret_value(),
            given.influx_token.get_secret_value(),
        )

    def confirm(plan: pushing.Plan) -> bool:
        for line in plan.lines():
            out.print(line, highlight=False)
        return yes or typer.confirm("push that?")

    try:
        server = pushing.Grafana(given.url, token=given.token.get_secret_value())
        done = pushing.push(server, source=source, confirm=confirm, folder_title=given.folder)
        for line in done:
            out.print(line, highlight=False)
        if not done:
            out.print("nothing was changed")
        out.print(marks.push(server, conf.settings.data, conf.settings.language))
        trouble = pushing.source_health(server)
        if trouble:
            fail(f"Grafana can't read the data source: {trouble}")
    except pushing.PushError as error:
        fail(str(error))


@notify.command("test")
@plainly
def notify_test(
    channel: Annotated[str, typer.Argument(help="A channel's name in the settings.")],
    settings: Settings = DEFAULT,
) -> None:
    """Send a trial message through a channel and say how it went.

    ```
    toba-hub notify test telegram-dlh
    ```
    """
    from hub.notify import channels
    from hub.notify.message import trial

    conf = configuration.load(settings)
    if channel not in conf.settings.channels:
        known = ", ".join(conf.settings.channels) or "none"
        fail(f"the settings have no channel {channel!r}; there are: {known}")
    logs.set_up("info")

    async def send() -> None:
        tools = channels.Tools(logs.get("notify"))
        sender, policy = channels.build(conf.settings.channels, tools)[channel]
        language = policy.language or conf.settings.language
        message = trial(channel, language=language, zone=conf.settings.timezone, now_ns=now_ns())
        try:
            async with asyncio.timeout(policy.timeout_s):
                await sender.send(message)
        finally:
            await sender.close()

    try:
        asyncio.run(send())
    except channels.TryAgain as error:
        fail(f"{channel}: not now: {error}")
    except channels.NeverWorks as error:
        fail(f"{channel}: this will never work as it is set: {error}")
    except TimeoutError:
        fail(f"{channel}: no answer in time")
    out.print(f"[green]sent[/] through {channel}")


def _tokens(settings: Path) -> Tokens:
    return Tokens(configuration.load(settings).settings.data / "tokens.json")


@token.command("create")
@plainly
def token_create(
    name: Annotated[str, typer.Argument(help="Who will use it, for example komandan-shift.")],
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")] = "viewer",
    settings: Settings = DEFAULT,
) -> None:
    """Make a token; it is shown once and kept only as a hash.

    ```
    toba-hub token create komandan-shift --role operator
    ```
    """
    try:
        out.print(_tokens(settings).create(name, role, now_ns()), highlight=False)  # type: ignore[arg-type]  # create checks it
    except TokenError as error:
        fail(str(error))


@token.command("list")
@plainly
def token_list(settings: Settings = DEFAULT) -> None:
    """Names and roles of all tokens."""
    rows = [
        (one.name, one.role, f"{to_datetime(one.created_ns):%Y-%m-%d %H:%M} UTC")
        for one in _tokens(settings).list()
    ]
    table(("name", "role", "made"), rows)


@token.command("revoke")
@plainly
def token_revoke(
    name: Annotated[str, typer.Argument(help="As `toba-hub token list` shows it.")],
    settings: Settings = DEFAULT,
) -> None:
    """Take a token back; it stops working at once."""
    try:
        _tokens(settings).revoke(name)
    except TokenError as error:
        fail(str(error))
    out.print(f"{name} no longer works")


@rules.command("test")
@plainly
def rules_test(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Case files or folders; default: all in force.")
    ] = None,
    settings: Settings = DEFAULT,
) -> None:
    """Run the cases beside the rules: series in, alerts out.

    ```
    toba-hub rules test
    toba-hub rules test rules/noise_test.yaml
    ```
    """
    from hub import rulebook, yamlfile
    from hub.problems import Misconfigured, Problem
    from rules import casefile
    from rules.testing import CaseError, run_cases

    folders = paths or [
        *rulebook.folders(
            configuration.load(settings).settings.rules if settings.exists() else None
        )
    ]
    found = sorted(
        {
            case
            for path in folders
            for case in (path.glob("*_test.yaml") if path.is_dir() else [path])
        }
    )
    if not found:
        fail(f"no *_test.yaml in {', '.join(map(str, folders))}")
    results, wrong = [], []
    for path in found:
        try:
            file = yamlfile.read(path)
            mistakes = [file.problem(*one) for one in casefile.problems(file.data)]
            yamlfile.raise_if([*file.problems, *mistakes])
            results += run_cases(path)
        except Misconfigured as error:
            wrong += error.problems
        except CaseError as error:
            wrong.append(Problem(str(path), 0, "", str(error)))
    bad = [result for result in results if not result.ok]
    for result in bad:
        out.print(str(result), highlight=False, markup=False)
    out.print(f"{len(results) - len(bad)} of {len(results)} cases of {len(found)} files are good")
    yamlfile.raise_if(wrong)
    if bad:
        raise typer.Exit(1)


MARKS = {"firing": "[red]●[/]", "acknowledged": "[yellow]●[/]", "pending": "[yellow]○[/]"}


@rules.command("explain")
@plainly
def rules_explain(
    device: Annotated[str, typer.Argument(help="The id of a device in the inventory.")],
    rule: Annotated[str, typer.Argument(help="Only this rule.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="All facts as JSON.")] = False,
    lang: Lang = None,
    settings: Settings = DEFAULT,
) -> None:
    """Why an alert is or is not firing right now, as the running hub sees it.

    The last value and the limit, how far a window is filled, how long `for` still runs, how old
    the data is, and what holds a message back: a cause, a silence, doubted data.

    ```
    toba-hub rules explain aq-balige
    toba-hub rules explain r-dlh router_down --lang en
    ```
    """
    from hub import serveside, supervisor

    given = configuration.load(settings).settings
    language = lang or given.language
    if supervisor.running(given.data) is None:
        fail(f"no hub is running on {given.data}; start it with `toba-hub run`")
    found = asyncio.run(serveside.ask(given.data, "explain", {"device": device, "rule": rule}))
    if as_json:
        sys.stdout.write(json.dumps(found["rules"], ensure_ascii=False, indent=1) + "\n")
        return
    if not found["rules"]:
        out.print(NO_RULE[language], highlight=False)
    for one in found["rules"]:
        name = one["key"] or f"{one['rule']}:{one['device']}"
        mark = MARKS.get(one["state"], "[green]●[/]")
        standing = [word(language, "stage", one["state"])]
        if one["data_state"] != "ok":
            standing.append(word(language, "data", one["data_state"]))
        out.print(f"{mark} [bold]{name}[/]  {', '.join(standing)}", highlight=False)
        for sentence in one["why"][language]:
            out.print(f"    {sentence}", highlight=False, markup=False)
