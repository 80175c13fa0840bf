"""What the inventory knows about an alert's device, in the words of its officers."""

from __future__ import annotations

from collections.abc import Mapping

from hub.inventory import Inventory
from hub.notify.message import Facts


def of(
    inventory: Inventory,
    device_id: str,
    *,
    unit: str = "",
    threshold: float | None = None,
    affected: Mapping[str, int] | None = None,
) -> Facts:
    """Facts of a device; of one that the inventory doesn't know, only what was given here."""
    device = inventory.devices.get(device_id)
    if device is None:
        return Facts(unit=unit, threshold=threshold, affected=dict(affected or {}))
    site = inventory.sites.get(device.site)
    opd = inventory.opds.get(device.opd)
    return Facts(
        name=device.title,
        kind=device.kind,
        opd=opd.name if opd else "",
        site=site.name if site else "",
        kecamatan=site.kecamatan if site else "",
        lat=device.lat if device.lat is not None else site.lat if site else None,
        lon=device.lon if device.lon is not None else site.lon if site else None,
        unit=unit,
        threshold=threshold,
        affected=dict(affected or {}),
    )
