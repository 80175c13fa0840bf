"""`toba-hub mqtt watch`: each message as it comes: topic, parser, readings, or why refused."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from collectors.mqtt.config import Broker, MqttConfig
from collectors.mqtt.fields import CANONICAL
from collectors.mqtt.topics import widest
from collectors.mqtt.watch import Heard, Seen, Watcher, filter_of, flags, listen
from hub.api import Event, Installation, NeverWorks, Proposal, Reading

mqtt = typer.Typer(
    help="See what MQTT messages become, before or beside a running hub.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
SETTINGS = Path("toba-hub.yaml")


@mqtt.callback()
def _group() -> None:
    """See what MQTT messages become, before or beside a running hub."""


@mqtt.command("watch")
def watch(
    ctx: typer.Context,
    broker: Annotated[
        str | None,
        typer.Option(
            "--broker", "-b", help="A broker of the settings by its name, or HOST or HOST:PORT."
        ),
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            "--topic", "-t", help="A template or filter instead of the configured topics; repeat."
        ),
    ] = None,
    parser: Annotated[
        str | None,
        typer.Option(
            "--parser", "-p", help="Read --topic by this convention: senml, tasmota, tts …"
        ),
    ] = None,
    username: Annotated[
        str | None, typer.Option(envvar="TOBA_MQTT_USERNAME", help="If the broker wants one.")
    ] = None,
    password: Annotated[
        str | None, typer.Option(envvar="TOBA_MQTT_PASSWORD", help="Better in the environment.")
    ] = None,
    protocol: Annotated[
        int | None, typer.Option(help="4 for brokers that speak only MQTT 3.1.1.")
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="End after so many; 0: at Ctrl-C.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    settings: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            "-s",
            envvar="TOBA_SETTINGS",
            help=f"The settings file, for brokers, topics and the inventory.  [{SETTINGS}]",
        ),
    ] = None,
) -> None:
    """Show live messages: topic, parser, and the readings they become, or why they are refused.

    Works beside a running hub: it listens under a name of its own, acknowledges nothing for the
    hub, stores nothing, publishes nothing. A `--topic` with `{device}` or a `--parser` is read by
    itself; a plain filter is read by the configured topics: `-t '#'` shows what they miss.

    ```
    toba-hub mqtt watch
    toba-hub mqtt watch -t "#" --count 20                # what do the configured topics miss?
    toba-hub mqtt watch -b 10.12.0.5 -t "tele/+/SENSOR" -p tasmota
    ```
    """
    here: Installation = ctx.obj
    config, by_topic = _configured(here, settings)
    chosen = _choose(config, broker)
    told = {"username": username, "password": password, "protocol": protocol}
    chosen = _changed(chosen, {k: v for k, v in told.items() if v is not None}, topic, parser)
    filters = widest(map(filter_of, topic)) if topic else chosen.filters
    client_id = f"{chosen.client_id[:40]}-watch-{os.getpid()}"
    console = Console(stderr=True)
    console.print(
        f"listening to {escape(chosen.host)}:{chosen.port} as {escape(client_id)}: "
        f"{escape(', '.join(filters))}; Ctrl-C ends"
    )
    watcher = Watcher(chosen, by_topic, _Log(console))
    show_one = _write_json if as_json else partial(show, console=Console(soft_wrap=True))
    asyncio.run(_run(watcher, listen(chosen, filters, client_id), count, show_one, here.now_ns))


async def _run(
    watcher: Watcher,
    messages: AsyncGenerator[Heard, None],
    count: int,
    show_one: Callable[[Seen], None],
    now_ns: Callable[[], int],
) -> None:
    seen = 0
    async with aclosing(messages):
        async for message in messages:
            show_one(watcher.look(message, now_ns()))
            seen += 1
            if seen == count:
                return


def _write_json(seen: Seen) -> None:
    sys.stdout.write(json.dumps(seen.as_json(), ensure_ascii=False) + "\n")
    sys.stdout.flush()


class _Log:
    """What the hub's log would say of a parser."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def debug(self, event: str, **values: Any) -> None: ...

    def info(self, event: str, **values: Any) -> None: ...

    def warning(self, event: str, **values: Any) -> None:
        self._console.print(escape(f"{event} {values}"))

    def error(self, event: str, **values: Any) -> None:
        self._console.print(escape(f"{event} {values}"))


def _configured(here: Installation, settings: Path | None) -> tuple[MqttConfig, dict[str, str]]:
    """The settings' own part, and the inventory as topics name it; defaults without a file."""
    path = settings or SETTINGS
    if settings is None and not path.exists():
        return MqttConfig(), {}
    targets = here.targets(path, "mqtt")
    names = {target.section.get("topic_id") or target.id: target.id for target in targets}
    return here.config(path, "mqtt"), names


def _choose(config: MqttConfig, name: str | None) -> Broker:
    """The configured broker of that name, or one at that address."""
    if name is None:
        return config.brokers[0]
    for broker in config.brokers:
        if broker.name == name:
            return broker
    host, colon, port = name.rpartition(":")
    if not colon or not port.isdigit():
        host, port = name, "1883"
    if not colon and "." not in name and name != "localhost":
        names = ", ".join(broker.name for broker in config.brokers)
        raise NeverWorks(f"--broker {name}: none of {names}; an address is HOST:PORT")
    topics = config.brokers[0].topics
    return Broker(name="other", host=host.strip("[]"), port=int(port), topics=topics)


def _changed(
    broker: Broker, told: dict[str, Any], topics: list[str] | None, parser: str | None
) -> Broker:
    """With what the options say, checked like settings. Raises `NeverWorks`."""
    if parser is not None and not topics:
        raise NeverWorks("--parser needs --topic beside it")
    own = [one for one in topics or [] if parser is not None or "{device}" in one]
    if own:
        told["topics"] = [{"template": one, "parser": parser or "telemetry"} for one in own]
    try:
        return Broker.model_validate({**broker.model_dump(), **told})
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
        raise NeverWorks(
            "; ".join(
                f"{one['loc'][-1] if one['loc'] else 'broker'}: {one['msg']}" for one in wrong
            )
        ) from None


# ---------------------------------------------------------------- for people


def show(seen: Seen, console: Console) -> None:
    """A line for the message, one for each thing that it became."""
    about = ", retained" if seen.retained else ""
    parser = seen.parser or "no template"
    console.print(f"[bold]{escape(_plain(seen.topic))}[/]  {escape(parser)}{about}")
    for item in seen.items:
        if isinstance(item, Reading):
            tags = " ".join(f"{k}={v}" for k, v in item.series.inner)
            values = ", ".join(f"{k} {_amount(k, v)}" for k, v in item.fields.items())
            doubts = " ".join(flags(item.quality))
            where = " ".join(filter(None, (item.series.measurement, item.series.device, tags)))
            text = f"    {where}: {values}  at {_time(item.time_ns)}"
            console.print(escape(text) + (f"  [yellow]{doubts}[/]" if doubts else ""))
        elif isinstance(item, Event):
            console.print(f"    event {escape(item.device)} {escape(_plain(item.text))}")
        elif isinstance(item, Proposal):
            facts = ", ".join(f"{k}={v}" for k, v in item.facts.items())
            console.print(f"    new device {escape(item.device)}: {escape(_plain(facts))}")
    for reason, detail in seen.refused:
        console.print(f"    [red]refused[/] {escape(reason)}: {escape(_plain(detail))}")
    if seen.refused:
        console.print(f"    payload {escape(repr(seen.payload[:160]))}")
    if not seen.items and not seen.refused:
        console.print("    nothing here for the hub")


def _amount(name: str, value: object) -> str:
    number = f"{value:.6g}" if isinstance(value, int | float) else str(value)
    return f"{number} {CANONICAL.get(name, '')}".rstrip()


def _time(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")


def _plain(text: str) -> str:
    """What the network says, without control characters."""
    return "".join(char if char.isprintable() else "�" for char in text)[:300]
