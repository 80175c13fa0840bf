"""What the rules know of the inventory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thing:
    """A device, its place and what it needs. Only `id` and `kind` decide anything by themselves."""

    id: str
    name: str = ""
    kind: str = ""
    site: str = ""
    site_name: str = ""
    opd: str = ""
    opd_name: str = ""
    lat: float | None = None
    lon: float | None = None
    parents: tuple[str, ...] = ()
    """What it depends on (`depends_on`): it can't be reached while one of them is down."""
    collectors: tuple[str, ...] = ()
    """Who reads it: `where: {collector: snmp}`."""
    reference: bool = False
    """A certified instrument: its air quality index is not just indicative."""
    noise_zone: str = ""
    """Whose noise limit holds there, a key of `rules.noise.LIMITS`; empty: nobody said."""
    uplinks: tuple[str, ...] = ()
    """The interfaces that carry its office: `where: {port: uplink}`."""
    late_after_ns: int = 0
    """Its readings may take so long to arrive and still count; 0: as long as anybody's."""
    cut_off: tuple[tuple[str, int], ...] = ()
    """Kind and number of what can't be reached while it is down, itself counted; empty: nothing
    depends on it. The roster fills it in."""

    def attributes(self) -> dict[str, str | tuple[str, ...]]:
        """What `where` may ask of it."""
        return {
            "device": self.id,
            "kind": self.kind,
            "site": self.site,
            "opd": self.opd,
            "collector": self.collectors,
        }

    def names(self) -> dict[str, str]:
        """What titles call it."""
        return {
            "device": self.id,
            "name": self.name or self.id,
            "kind": self.kind,
            "site": self.site_name or self.site,
            "opd": self.opd_name or self.opd,
        }


def place(member: Thing, of: str) -> Thing:
    """The site or office (`opd`) of a thing, as what an alert about all of it is about.

    Its id begins with the word, so that no device is meant; empty: the thing has none.
    """
    id_ = member.site if of == "site" else member.opd
    if not id_:
        return Thing("")
    if of == "site":
        named = member.site_name or id_
        return Thing(
            f"site-{id_}", named, site=id_, site_name=named, kind=of, lat=member.lat, lon=member.lon
        )
    named = member.opd_name or id_
    return Thing(
        f"opd-{id_}", named, opd=id_, opd_name=named, kind=of, lat=member.lat, lon=member.lon
    )
