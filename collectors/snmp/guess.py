"""What kind of thing an agent speaks for, guessed from sysObjectID, sysDescr and sysServices, pure.

A guess for `toba-hub discover`, which a person looks over. Enterprise numbers: IANA's registry;
what they say in sysDescr: seen in the field (facts of the makers' own manuals).
"""

from __future__ import annotations

import re

_BRIDGE = 1 << 1
_GATEWAY = 1 << 2
_HOST = 1 << 6
"""Layers 2, 3 and 7 in sysServices (RFC 3418)."""

_WORDS = (
    (r"\bUPS\b|uninterruptible", "ups"),
    (r"\bcamera\b|\bIPC?-|\bDS-2|\bNVR\b|\bDVR\b", "camera"),
    (
        r"\bCRS\d|\bCSS\d|SwOS|\bS\d{4}\b|Catalyst|Nexus|switch|JetStream|ProCurve|\bD[EG]S-",
        "switch",
    ),
    (r"\bUAP|\bU6-|airOS|NanoStation|NanoBeam|LiteBeam|PowerBeam|\bRocket", "ap"),
    (r"\bcAP|\bwAP|\bSXT|\bLHG|\bmANT|\bEAP\d|\bRG-AP|\bDAP-|access point|\bAIR-", "ap"),
    (r"router|gateway|RouterOS|EdgeOS|\bER-|\bAR\d{3,4}|OpenWrt|\bRSR\d|\bRG-(EG|NBR)", "router"),
)
"""Looked for in this order: an access point of a router's maker is an access point."""

_MAKERS = {
    "1.3.6.1.4.1.9": "router",  # Cisco
    "1.3.6.1.4.1.318": "ups",  # APC
    "1.3.6.1.4.1.368": "camera",  # Axis
    "1.3.6.1.4.1.534": "ups",  # Eaton
    "1.3.6.1.4.1.705": "ups",  # MGE
    "1.3.6.1.4.1.2636": "router",  # Juniper
    "1.3.6.1.4.1.6574": "server",  # Synology
    "1.3.6.1.4.1.12356": "router",  # Fortinet
    "1.3.6.1.4.1.14823": "ap",  # Aruba
    "1.3.6.1.4.1.14988": "router",  # MikroTik
    "1.3.6.1.4.1.25053": "ap",  # Ruckus
    "1.3.6.1.4.1.39165": "camera",  # Hikvision
    "1.3.6.1.4.1.311.1.1.3": "server",  # Windows
    "1.3.6.1.4.1.1004849": "camera",  # Dahua
    "1.3.6.1.2.1.33": "ups",  # RFC 1628's own example
}


def kind_of(object_id: str, descr: str, services: int = 0) -> str:
    """router, switch, ap, camera, ups or server; "other" where nothing points anywhere."""
    maker = _maker(object_id)
    if maker in ("ups", "camera"):
        return maker
    for pattern, kind in _WORDS:
        if re.search(pattern, descr, re.IGNORECASE):
            return kind
    if maker:
        return maker
    if services & _HOST:
        # Every Linux box that has net-snmp says so, whatever layers it forwards.
        return "server"
    if services & _GATEWAY:
        return "router"
    return "switch" if services & _BRIDGE else "other"


def _maker(object_id: str) -> str:
    """What that maker, or branch of it, makes; the longest known prefix counts."""
    parts = object_id.split(".")
    for length in range(len(parts), 0, -1):
        kind = _MAKERS.get(".".join(parts[:length]))
        if kind:
            return kind
    return ""
