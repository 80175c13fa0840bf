"""Settings: one YAML file (`toba-hub.yaml`), each value overridable by an environment variable.

`web.port` is `TOBA_WEB__PORT`. Paths are relative to the file's folder. Secrets may be written as
`TOBA_STORE__TOKEN=…` or, for files that another program manages, `{file: /run/secrets/x}`.
"""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from hub.clock import NS
from hub.notify.channels import ChannelConfig
from hub.notify.rota import Person
from hub.notify.routing import Team
from hub.problems import Path
from hub.windows import Window

PREFIX = "TOBA_"
ENVIRONMENT = "environment"
"""Not a setting: the keyword by which `Settings` is given another environment."""
MIB = 1024 * 1024


class Part(BaseModel, extra="forbid"):
    """A section of the settings: unknown keys are mistakes."""


class Log(Part):
    level: Literal["debug", "info", "warning", "error"] = "info"
    json_lines: bool = False


class Web(Part):
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: str = ""
    """Where people reach the board from outside; without it, messages hold no link."""
    auth: Literal["tokens", "demo"] = "tokens"
    """demo: everybody who reaches the port may acknowledge and start faults."""
    max_streams: int = Field(64, ge=1, le=10_000)
    """Boards that may be open at the same time."""

    @field_validator("public_url")
    @classmethod
    def _can_be_followed(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be http://… or https://… with a host name")
        return value


class Journal(Part):
    segment_mib: int = Field(16, ge=1, le=1024)
    acknowledged_mib: int = Field(2048, ge=1)
    """When used up, sources that wait for our acknowledgement keep their messages."""
    polled_mib: int = Field(2048, ge=1)
    """When used up, the oldest polled readings are dropped."""
    acts_mib: int = Field(64, ge=1)
    """For people's acts and the clock's ticks: a reserve that readings can't use up."""
    free_mib: int = Field(256, ge=0)
    """Readings leave this much of the disk free (or 5 % of it, if that is less)."""


_LENGTH = re.compile(r"(\d{1,6})\s*(h|d|w|y)")
_HOURS = {"h": 1, "d": 24, "w": 168, "y": 8766}


def _length(given: Any, why_a_day: str) -> str:
    """A length of time as it is written. Raises ValueError for none, or one under a day."""
    text = str(given).strip()
    match = _LENGTH.fullmatch(text)
    if text == "forever":
        return text
    if match is None:
        raise ValueError("is no length of time; write 48h, 30d, 8w, 10y or forever")
    if int(match[1]) * _HOURS[match[2]] < 24:
        raise ValueError(f"is too short: {why_a_day}")
    return text


class Retention(Part):
    """How long readings and their rollups are kept: `48h`, `30d`, `8w`, `10y` or `forever`.

    DuckDB is cleaned by the hub, InfluxDB by itself, once `toba-hub influx setup` has told it.
    """

    raw: str = "30d"
    five_minutes: str = "400d"
    hourly: str = "10y"

    @field_validator("raw", "five_minutes", "hourly", mode="before")
    @classmethod
    def _is_a_length(cls, given: Any) -> str:
        return _length(given, "rollups are made of the readings of a day at least")

    @model_validator(mode="after")
    def _grows(self) -> Retention:
        endless = 2**62
        if (self.raw_ns or endless) > (self.five_minutes_ns or endless):
            raise ValueError("raw is kept longer than five_minutes, which is made of it")
        if (self.five_minutes_ns or endless) > (self.hourly_ns or endless):
            raise ValueError("five_minutes is kept longer than hourly, which is made of it")
        return self

    @property
    def raw_ns(self) -> int | None:
        """Nanoseconds; None: for ever. So the other two."""
        return _length_ns(self.raw)

    @property
    def five_minutes_ns(self) -> int | None:
        return _length_ns(self.five_minutes)

    @property
    def hourly_ns(self) -> int | None:
        return _length_ns(self.hourly)


def _length_ns(text: str) -> int | None:
    match = _LENGTH.fullmatch(text)
    return int(match[1]) * _HOURS[match[2]] * 3600 * NS if match else None


class Store(Part):
    kind: Literal["duckdb", "influxdb"] = "duckdb"
    path: FilePath | None = None
    """duckdb: the file; default `<data>/readings.duckdb`."""
    memory_mib: int = Field(96, ge=64)
    threads: int = Field(1, ge=1)
    url: str = "http://127.0.0.1:8086"
    """influxdb: the server; its version is found by asking it."""
    database: str = "toba"
    """influxdb: database (1.x, 3) or bucket (2.x)."""
    org: str = "toba"
    username: str = ""
    password: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    batch: int | None = Field(None, ge=1, le=50_000)
    """Readings in one write at most; default 20 000 for duckdb, 5 000 for influxdb."""
    linger_ms: int = Field(500, ge=0)
    """How long a reading waits for company."""
    rollups: bool = True
    """Keep 5-minute and hourly counts, sums, extremes and last values beside the readings."""
    retention: Retention = Retention()

    @property
    def batch_size(self) -> int:
        """DuckDB pays by the write, InfluxDB prefers bodies of less than a megabyte."""
        return self.batch or (20_000 if self.kind == "duckdb" else 5_000)


class Rules(Part):
    library: bool = True
    """Use the rules that come with the hub."""
    files: list[FilePath] = []
    """Own rule files or folders of them."""
    set: dict[str, Any] = {}
    """Change one value of a rule: `pm25_unhealthy.for: 30m`, `pm25_unhealthy.when.above: 50`."""
    disable: list[str] = []


class Alerts(Part):
    """What became of alerts: each transition with who and why."""

    keep: str = "400d"
    """How long, as in `store.retention`. The last word of one that is still on is kept in any case.
    """

    @field_validator("keep", mode="before")
    @classmethod
    def _is_a_length(cls, given: Any) -> str:
        return _length(given, "the digest tells of the last 24 hours")

    @property
    def keep_ns(self) -> int | None:
        """Nanoseconds; None: for ever."""
        return _length_ns(self.keep)


class AirIndex(Part):
    """What the texts seen of Permen LHK P.14/2020 leave open, see `rules/ispu.py`."""

    form: Literal["continuous", "gap"] = "continuous"
    """Whether a class begins at 50 or at 51."""
    top: int = Field(500, ge=301, le=1000)
    """The index at the last breakpoint: 500, or 400 as in the rule of 1997."""


class Grafana(Part):
    url: str = ""
    token: SecretStr = SecretStr("")
    """Of a service account that may edit dashboards and data sources."""
    folder: str = "Toba hub"
    influx_url: str = ""
    """InfluxDB as Grafana reaches it; empty: the data source is there already."""
    influx_username: str = "grafana"
    influx_password: SecretStr = SecretStr("")
    influx_token: SecretStr = SecretStr("")
    """Rights to read are enough: whoever sees a dashboard may ask anything that these may read."""


class Heartbeat(Part):
    """A request to the outside while all is well: who misses it there raises the alarm."""

    url: SecretStr = SecretStr("")
    """Empty: none. Such addresses often hold a token."""
    period_s: float = Field(60, ge=1, le=86_400)
    timeout_s: float = Field(10, gt=0, le=300)


class Digest(Part):
    """What a day was like, once a day."""

    at: str = Field("07:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    """Hour and minute in the regency's time zone."""
    teams: list[str] = []
    """Who gets it; none: nobody."""


class Targets(Part):
    """The availability that was promised, percent of the time."""

    opd: float = Field(99.0, gt=0, le=100)
    link: float = Field(99.0, gt=0, le=100)
    """Uplinks of offices."""
    camera: float = Field(95.0, gt=0, le=100)
    device: float = Field(99.0, gt=0, le=100)
    """Routers and whatever else is asked whether it is up."""


class Report(Part):
    """The monthly report of availability."""

    targets: Targets = Targets()


class Settings(BaseSettings):
    """Everything that can be set. The defaults run one regency on one machine."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", validate_default=True
    )

    regency: str = "toba"
    """A regency that comes with the hub, or the path of a folder like hub/regency/toba."""
    language: Literal["id", "en"] = "id"
    timezone: str = "Asia/Jakarta"
    data: FilePath = FilePath("data")
    inventory: list[FilePath] = [FilePath("inventory.yaml")]
    log: Log = Log()
    web: Web = Web()
    journal: Journal = Journal()
    store: Store = Store(kind="influxdb")
    rules: Rules = Rules()
    alerts: Alerts = Alerts()
    air_index: AirIndex = AirIndex()
    collectors: dict[str, dict[str, Any]] = {}
    """By collector; see each collector's README. `enabled: false` leaves one out."""
    channels: dict[str, ChannelConfig] = {}
    people: dict[str, Person] = {}
    """Who can be on duty; a team's rota names them."""
    teams: dict[str, Team] = {}
    maintenance: list[Window] = []
    """Planned work: once, every week, or as cron says."""
    grafana: Grafana = Grafana()
    heartbeat: Heartbeat = Heartbeat()
    digest: Digest = Digest()
    report: Report = Report()
    _folder: FilePath = PrivateAttr(FilePath())
    _left_out: list[Path] = PrivateAttr([])
    """What was wrong in the file and is missing here."""

    @property
    def folder(self) -> FilePath:
        """Where the settings file stands; relative paths in it begin there."""
        return self._folder

    def written(self, path: Path) -> Path:
        """Where a part of these settings stands in the file, of which wrong parts were left out."""
        found: Path = ()
        for part in path:
            if isinstance(part, int):
                gone = [p[-1] for p in self._left_out if p[:-1] == found]
                for index in sorted(one for one in gone if isinstance(one, int)):
                    part += index <= part
            found += (part,)
        return found

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError("is no IANA time zone; for Toba it is Asia/Jakarta") from None
        return name

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file; a caller may give another environment."""
        given = getattr(init_settings, "init_kwargs", {}).pop(ENVIRONMENT, None)
        if given is not None and isinstance(env_settings, EnvSettingsSource):
            env_settings.env_vars = {name.lower(): value for name, value in given.items()}
        return env_settings, init_settings

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def regency_folder(self) -> FilePath:
        here = FilePath(__file__).parent / "regency" / self.regency
        return here if here.is_dir() else FilePath(self.regency)

    @property
    def ingest_socket(self) -> FilePath:
        return self.data / "ingest.sock"

    @property
    def ledger_file(self) -> FilePath:
        return self.data / "serve.db"

    @property
    def journal_folder(self) -> FilePath:
        return self.data / "journal"
