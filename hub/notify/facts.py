"""What inventory and rule know about an alert, in the words of the regency's officers."""

from __future__ import annotations

from collections import Counter

from hub.clock import NS
from hub.inventory import Inventory
from hub.notify.message import Facts
from rules.rule import Rule
from rules.topology import Topology


def of(inventory: Inventory, device_id: str, rule: Rule | None = None) -> Facts:
    """Facts for the messages about a device; few of one that the inventory doesn't know."""
    device = inventory.devices.get(device_id)
    site = inventory.sites.get(device.site) if device else None
    opd = inventory.opds.get(device.opd) if device else None
    place = device if device and device.lat is not None else site
    down = rule is not None and rule.means == "down"
    return Facts(
        name=device.title if device else "",
        kind=device.kind if device else "",
        opd=opd.name if opd else "",
        site=site.name if site else "",
        kecamatan=site.kecamatan if site else "",
        lat=place.lat if place else None,
        lon=place.lon if place else None,
        unit=_unit(rule),
        threshold=_threshold(rule),
        measured=rule is None or rule.when.comparison in ("above", "below"),
        dependants=dependants(inventory, device_id) if down else {},
    )


def dependants(inventory: Inventory, device_id: str) -> dict[str, int]:
    """How many devices of each kind need this one, directly or by way of others."""
    devices = inventory.devices
    topology = Topology({device.id: device.depends_on for device in devices.values()})
    cut_off = topology.descendants(device_id)
    return dict(sorted(Counter(devices[one].kind for one in cut_off if one in devices).items()))


def _unit(rule: Rule | None) -> str:
    if rule is None:
        return ""
    return "s" if rule.when.is_absence else rule.unit


def _threshold(rule: Rule | None) -> float | None:
    if rule is None:
        return None
    return rule.when.absent_ns / NS if rule.when.is_absence else rule.when.threshold
