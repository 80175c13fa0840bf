"""Settings (`collectors.snmp`) and a device's section (`collect.snmp` in the inventory)."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from collectors.snmp import catalogue
from collectors.snmp.usm import AUTH, PRIV, User

BitsPerSecond = Annotated[int, Field(gt=0)]
SHORTEST_PASSWORD = 8
"""RFC 3414 §11.2; agents refuse shorter ones."""


class Tier(BaseModel, extra="forbid"):
    """What differs from the manifest's tier."""

    period_s: float | None = Field(default=None, gt=0)
    timeout_s: float | None = Field(default=None, gt=0)


def wrong(message: str, remedy: str) -> PydanticCustomError:
    """A mistake with its remedy; what was given is not repeated, it may be a secret."""
    return PydanticCustomError("snmp", "{message}", {"message": message, "remedy": remedy})


def _one_of(protocols: dict[str, Any], known_as: dict[str, str]) -> BeforeValidator:
    """The protocol's name as agents' manuals write it: SHA-256, sha256, AES."""

    def normal(given: Any) -> str:
        name = str(given).strip().lower().replace("-", "").replace("_", "")
        name = known_as.get(name, name)
        if name not in protocols:
            raise wrong("no such protocol", f"known: {', '.join(protocols)}")
        return name

    return BeforeValidator(normal)


Version = Annotated[Literal["1", "2c", "3"], BeforeValidator(str)]
Auth = Annotated[str, _one_of(AUTH, {"sha": "sha1"})]
Priv = Annotated[str, _one_of(PRIV, {"aes": "aes128"})]


class Credential(BaseModel, extra="forbid"):
    """How one group of devices is asked: a community (v1, v2c), or a user (v3)."""

    version: Version = "2c"
    community: SecretStr | None = None
    user: str = ""
    auth: Auth | None = None
    auth_password: SecretStr | None = None
    priv: Priv | None = None
    priv_password: SecretStr | None = None
    context: str = ""

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        v3_only = [self.user, self.auth, self.auth_password, self.priv, self.priv_password]
        if self.version != "3":
            if any(v3_only) or self.context:
                raise wrong(
                    f"user, auth, priv and context are of version 3, this is {self.version}",
                    'write `version: "3"`, or a community alone',
                )
            if not self.community or not self.community.get_secret_value():
                raise wrong("has no community", "a read-only one, from a file: {file: …}")
            return self
        if self.community is not None:
            raise wrong("version 3 knows no community", "write user, auth and priv instead")
        if not self.user:
            raise wrong("version 3 needs a user", "the user that the agents know")
        if self.priv and not self.auth:
            raise wrong("priv without auth is no level of version 3", "add auth and auth_password")
        for what, protocol, password in (
            ("auth", self.auth, self.auth_password),
            ("priv", self.priv, self.priv_password),
        ):
            if bool(protocol) != bool(password):
                raise wrong(f"{what} and {what}_password belong together", "write both or none")
            if password and len(password.get_secret_value()) < SHORTEST_PASSWORD:
                remedy = f"at least {SHORTEST_PASSWORD} characters (RFC 3414)"
                raise wrong(f"{what}_password is too short for version 3", remedy)
        return self

    def as_user(self) -> User:
        """Version 3's user."""
        return User(
            self.user,
            self.auth or "",
            self.auth_password.get_secret_value().encode() if self.auth_password else b"",
            self.priv or "",
            self.priv_password.get_secret_value().encode() if self.priv_password else b"",
            self.context,
        )


class Traps(BaseModel, extra="forbid"):
    """Listening to traps and informs."""

    host: str = "0.0.0.0"
    """The address to listen at; `::` for IPv6 (and, on Linux, IPv4 with it)."""
    port: int = Field(default=1162, ge=1, le=65535)
    """162 is the standard's, which only root or CAP_NET_BIND_SERVICE may open."""
    networks: list[IPv4Network | IPv6Network] = []
    """Beside the inventory's addresses, these may send."""
    credentials: list[str] = []
    """Groups that any allowed source may use, beside the device's own."""
    per_source_per_s: float = Field(default=10.0, gt=0, le=10_000)
    """More than that (after ten seconds' worth at once) are refused and counted."""


class SnmpConfig(BaseModel, extra="forbid"):
    """How every device is asked, unless its section says otherwise."""

    tiers: dict[Literal["liveness", "traffic", "health", "inventory"], Tier] = {}

    credentials: dict[str, Credential] = {}
    """By a name that devices refer to: `credential: opd-v3`."""
    traps: Traps | None = None
    """null: nobody listens. An empty section listens at UDP port 1162."""
    timeout_s: float = Field(default=2.0, gt=0, le=60)
    """Wait for an answer; a retry waits up to a fifth longer each time."""
    retries: int = Field(default=2, ge=0, le=10)
    max_repetitions: int = Field(default=40, ge=1, le=1000)
    """The most rows of a GetBulk page; it starts at 10 and halves where an agent stumbles."""
    max_names: int = Field(default=50, ge=8, le=500)
    """The most values of a Get; it starts at 22 and halves where an agent stumbles."""
    max_rows: int = Field(default=10_000, ge=1)
    """A walk that is longer is cut, with a warning."""
    profiles: Path | None = None
    """A folder of device profiles beside the built-in ones."""

    @field_validator("profiles")
    @classmethod
    def _readable(cls, folder: Path | None, info: ValidationInfo) -> Path | None:
        """Found from the settings file on, and checked with them. Raises `Misconfigured`."""
        if folder is not None:
            folder = (info.context or {}).get("folder", Path()) / folder
            catalogue.read(folder)
        return folder

    @model_validator(mode="after")
    def _traps_know_their_credentials(self) -> Self:
        for name in self.traps.credentials if self.traps else ():
            if name not in self.credentials:
                known = ", ".join(sorted(self.credentials)) or "none"
                raise wrong(f"traps: no credential {name!r}", f"known: {known}")
        return self


class SnmpSection(BaseModel, extra="forbid"):
    """One device."""

    port: int = Field(default=161, ge=1, le=65535)
    credential: str = ""
    """A name under the settings' `credentials`; without one, `version` and `community` count."""
    version: Annotated[Literal["1", "2c"], BeforeValidator(str)] = "2c"
    community: SecretStr = SecretStr("public")
    """Read-only, please: some objects of RouterOS reboot the device when written."""
    trap_addresses: list[str] = []
    """Further IP addresses that its traps may come from; `address` is one anyway."""
    uplinks: list[str] = []
    """ifNames of the ports that carry this device's own connection."""
    speed: dict[str, BitsPerSecond] = {}
    """bit/s by ifName, where the agent's own speed is wrong or the line is slower than the port."""
    profile: str = ""
    """A device profile by name, where the device can't be told by what it says of itself."""
    timeout_s: float | None = Field(default=None, gt=0, le=60)
    retries: int | None = Field(default=None, ge=0, le=10)

    @field_validator("credential")
    @classmethod
    def _is_known(cls, name: str, info: ValidationInfo) -> str:
        """Held against the settings where the hub hands them over (`check`, start)."""
        config = info.context.get("config") if info.context else None
        if name and isinstance(config, SnmpConfig) and name not in config.credentials:
            known = ", ".join(sorted(config.credentials)) or "none"
            remedy = f"settings, collectors.snmp.credentials; known there: {known}"
            raise wrong(f"no credential {name!r}", remedy)
        return name

    @field_validator("profile")
    @classmethod
    def _is_there(cls, name: str, info: ValidationInfo) -> str:
        """Held against the profiles where the hub hands the settings over, like `credential`."""
        config = info.context.get("config") if info.context else None
        if name and isinstance(config, SnmpConfig):
            known = catalogue.read(config.profiles).devices
            if name not in known:
                raise wrong(f"no device profile {name!r}", f"there are {', '.join(sorted(known))}")
        return name

    @field_validator("community")
    @classmethod
    def _is_given(cls, community: SecretStr) -> SecretStr:
        if not community.get_secret_value():
            raise wrong("is empty", "the agent's read-only community, or leave the key out: public")
        return community

    @model_validator(mode="after")
    def _can_be_asked(self, info: ValidationInfo) -> Self:
        """Held against the device where the hub hands it over (`check`, start)."""
        if info.context and info.context.get("address") == "":
            raise wrong("the device has no address to ask", "write `address:` beside `collect:`")
        return self

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.credential and self.model_fields_set & {"version", "community"}:
            raise wrong("credential beside version or community", "leave one of them out")
        return self

    def asks_as(self, config: SnmpConfig) -> Credential:
        """Who asks this device. Raises KeyError for a credential that isn't there."""
        if self.credential:
            return config.credentials[self.credential]
        return Credential(version=self.version, community=self.community)
