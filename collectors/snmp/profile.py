"""What a device profile may say (`profiles/*.yaml`): which instances to ask, and what they mean.

    match    ─ which devices it is for: sysObjectID's prefix, confirmed by sysDescr
    facts    ─ texts, hourly: model, serial, firmware; of several sources the first that answers
    values   ─ numbers of the device itself; of several for one field the first that answers
    tables   ─ numbers of its parts, one row each, told apart by a label; folded into the device's

An identifier `~.4.1` continues the `base` above it. Fields are those of the
collector's manifest: `device.cpu_pct` is the device's own, `hardware.temperature_c` a part's.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from collectors.snmp.oids import BadOid, Oid, oid

MANIFEST = Path(__file__).parent / "manifest.toml"
FACTS = ("model", "serial", "firmware")
OWN = "device"
"""The measurement of what a device has once."""
PARTS = "hardware"
"""The measurement of what a device has many of: one series each, told apart by `sensor`."""


@cache
def fields_of(measurement: str) -> dict[str, dict[str, Any]]:
    """What the manifest promises of a measurement: type and unit of each field."""
    promised = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))["measurements"]
    found: dict[str, dict[str, Any]] = promised.get(measurement, {}).get("fields", {})
    return found


@cache
def timeout_of(tier: str) -> float:
    """Seconds that the hub waits for a poll of that tier, unless its settings say otherwise."""
    return float(tomllib.loads(MANIFEST.read_text(encoding="utf-8"))["tiers"][tier]["timeout_s"])


@cache
def _whole_numbers() -> frozenset[str]:
    named = ((m, f, spec) for m in (OWN, PARTS) for f, spec in fields_of(m).items())
    return frozenset(f"{m}.{f}" for m, f, spec in named if spec["type"] == "int")


def typed(name: str, value: float) -> float | int:
    """A number in the type that the manifest promises for that field."""
    return round(value) if name in _whole_numbers() else value


def _encoded(value: object) -> Oid:
    if isinstance(value, bytes):
        return value
    try:
        if not isinstance(value, str):
            raise BadOid
        return oid(value)
    except BadOid:
        message = "is no object identifier: {given}"
        remedy = "such as 1.3.6.1.2.1.1.3.0, or ~.3.0 below a base"
        raise PydanticCustomError(
            "oid", message, {"given": repr(value), "remedy": remedy}
        ) from None


def _regular(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        message = "is no regular expression: {why}"
        raise PydanticCustomError("pattern", message, {"why": str(error)}) from None
    return pattern


def _promised(name: str, measurements: tuple[str, ...]) -> str:
    measurement, _, field = name.partition(".")
    if measurement in measurements and field in fields_of(measurement):
        return name
    known = ", ".join(f"{m}.{f}" for m in measurements for f in fields_of(m))
    raise PydanticCustomError(
        "field", "no such field: {name}", {"name": repr(name), "remedy": f"there are {known}"}
    )


def _own(name: str) -> str:
    return _promised(name, (OWN,))


def _any(name: str) -> str:
    return _promised(name, (OWN, PARTS))


Identifier = Annotated[bytes, BeforeValidator(_encoded)]
Pattern = Annotated[str, AfterValidator(_regular)]
OwnField = Annotated[str, AfterValidator(_own)]
AnyField = Annotated[str, AfterValidator(_any)]
Fold = Literal["mean", "max", "min", "sum", "count", "memory"]
"""How rows become one number. `memory`: RAM of hrStorageTable, see `parse.mem_pct`."""


class Part(BaseModel, extra="forbid", frozen=True):
    """A piece of a profile: unknown keys are mistakes."""


class Text(Part):
    """A text, or the part of it that a pattern finds (its first group, if it has one)."""

    oid: Identifier
    pattern: Pattern = ""


class Where(Part):
    """A condition on a row, judged when the row is found."""

    oid: Identifier
    is_: list[int | str] = Field([], alias="is")
    not_: list[int | str] = Field([], alias="not")
    like: Pattern = ""


class Percent(Part):
    """Two of the three, in whatever unit; of the parts of `free` the first must be there."""

    used: Identifier | None = None
    total: Identifier | None = None
    free: list[Identifier] = []

    @model_validator(mode="after")
    def _two(self) -> Self:
        said = (self.used is not None, self.total is not None, bool(self.free))
        if said not in ((True, True, False), (True, False, True), (False, True, True)):
            raise ValueError("name two of used, total and free")
        return self

    @property
    def columns(self) -> tuple[Oid, ...]:
        named = (self.used, self.total, *self.free)
        return tuple(one for one in named if one is not None)


class Ram(Part):
    """A row of memory in allocation units, for the fold `memory`."""

    units: Identifier
    size: Identifier
    used: Identifier


class Factor(Part):
    """What to multiply by, as another column says (a unit column)."""

    oid: Identifier
    of: dict[int, float]


class Number(Part):
    """One number: where it stands and what it means."""

    field: AnyField | None = None
    fold: dict[OwnField, Fold] = {}
    oid: Identifier | None = None
    percent: Percent | None = None
    ram: Ram | None = None
    divide: float = Field(1, gt=0)
    times: float = 1
    factor: Factor | None = None
    digits: Identifier | None = None
    """A column that says how many decimals there are."""
    signed: bool = False
    """An unsigned 32-bit value that means a negative one from 2^31 on."""
    absent: list[int] = []
    """Values that stand for none, beside the two that always do."""
    between: tuple[float, float] = (-1e18, 1e18)
    """Values outside are none: the sensor is not there."""
    map: dict[int, float] = {}
    otherwise: float | None = None
    """What `map` gives for values that it doesn't list; none without."""
    as_: Literal["dbm_or_microwatt"] | None = Field(None, alias="as")
    where: list[Where] = []
    often: bool = False
    """Read with each liveness poll instead of each health poll; of the device itself only."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if [self.oid, self.percent, self.ram].count(None) != 2:
            raise ValueError("needs one of oid, percent and ram")
        if not self.field and not self.fold:
            raise ValueError("needs a field, a fold or both")
        if (self.ram is not None) != ("memory" in self.fold.values()):
            raise ValueError("the fold memory is made of ram, and ram of nothing else")
        return self

    @property
    def columns(self) -> tuple[Oid, ...]:
        """What it is computed from, in the order that `convert.figure` wants."""
        if self.percent is not None:
            return self.percent.columns
        if self.ram is not None:
            return (self.ram.units, self.ram.size, self.ram.used)
        beside = (self.oid, self.factor.oid if self.factor else None, self.digits)
        return tuple(one for one in beside if one is not None)


class Table(Part):
    """Parts of a device, a row each."""

    base: str = ""
    rows: Identifier
    """The column that is walked to find the rows."""
    label: list[Text] = []
    """What tells rows apart, best the name that people know; the first that says something."""
    index_arcs: int = Field(0, ge=0, le=8)
    """The label's own index is so many arcs of the row's (1: ifIndex); 0: all of them."""
    title: str = "{label}"
    """The sensor's name: {label} and {index} are filled in."""
    where: list[Where] = []
    where_any: list[Where] = []
    live: bool = False
    """Rows that come and go (stations): walked at every poll, folded, never a series each."""
    most: int = Field(64, ge=1, le=512)
    """Rows beyond are left out, with a note."""
    values: list[Number] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _continue_base(cls, data: Any) -> Any:
        return _based(data, "")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for number in self.values:
            if number.field and number.field.startswith(f"{OWN}."):
                raise ValueError(f"{number.field} is one per device: fold the rows into it")
            if number.often:
                raise ValueError("only values of the device itself are read often")
            if self.live and (number.field or number.oid != self.rows):
                raise ValueError("a live table folds the column that it walks, nothing else")
        try:
            self.title.format(label="", index="")
        except (KeyError, IndexError, ValueError):
            raise ValueError("title may hold {label} and {index}") from None
        return self


class Match(Part):
    """One way to know the device; all that is said must hold."""

    sys_object_id: Identifier | None = None
    """Prefix of sysObjectID."""
    sys_descr: Pattern = ""
    answers: Text | None = None
    """An instance that only such devices have, for agents that hide behind another's identity."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.sys_object_id is None and self.answers is None:
            raise ValueError("needs sys_object_id, or answers")
        return self


class Profile(Part):
    """One file. `inherits` names other files; what stands here goes before what is inherited."""

    title: str = Field(min_length=1)
    source: str = Field(min_length=1)
    """Where the numbers come from: MIB modules, documents."""
    base: str = ""
    inherits: list[str] = []
    match: list[Match] = []
    facts: dict[Literal["model", "serial", "firmware"], list[Text]] = {}
    values: list[Number] = []
    tables: dict[str, Table] = {}
    without: list[str] = []
    """Inherited tables that this device's agent has, but fills with nonsense."""
    sessions: Pattern = ""
    """Names of ports that come and go with people's sessions: counted together, not one by one."""

    @model_validator(mode="before")
    @classmethod
    def _continue_base(cls, data: Any) -> Any:
        return _based(data, "")

    @field_validator("inherits")
    @classmethod
    def _there(cls, names: list[str], info: ValidationInfo) -> list[str]:
        known = (info.context or {}).get("profiles", names)
        for name in names:
            if name not in known:
                words = {"name": repr(name), "remedy": f"there are {', '.join(sorted(known))}"}
                raise PydanticCustomError("profile", "no profile {name}", words)
        return names

    @field_validator("values")
    @classmethod
    def _of_the_device(cls, values: list[Number]) -> list[Number]:
        for number in values:
            if number.field is None or number.fold or not number.field.startswith(f"{OWN}."):
                raise ValueError("stands by itself: needs a field device.…, and no fold")
        return values


def _based(data: Any, base: str) -> Any:
    """`~.4.1` as a continuation of the nearest `base` above it (`.4` alone would be a number)."""
    if isinstance(data, dict):
        own = data.get("base", base)
        base = base + own[1:] if str(own).startswith("~.") else own
        return {key: value if key in _TEXTS else _based(value, base) for key, value in data.items()}
    if isinstance(data, list):
        return [_based(one, base) for one in data]
    if isinstance(data, str) and isinstance(base, str) and re.fullmatch(r"~(\.\d+)+", data):
        return base + data[1:]
    return data


_TEXTS = frozenset({"base", "title", "source", "pattern", "like", "sys_descr", "sessions"})
"""Keys whose values are no identifiers."""
