"""For `toba-hub doctor`: may the helper ping, and hear what the inventory wants heard?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from collectors.netprobe.client import NotPermitted, permission
from collectors.netprobe.config import NetprobeSection
from hub.api import Check, Target, TryAgain

HEARING = (
    "give the hub CAP_NET_RAW (systemd: AmbientCapabilities=CAP_NET_RAW; Docker: user: root, "
    "cap_add: [NET_RAW] and network_mode: host)"
)
NAMES = "name another in the inventory, under collect.netprobe; `ip link` lists them"


def interfaces(sections: Iterable[NetprobeSection]) -> tuple[list[str], list[str]]:
    """The interfaces that are swept, and those where streams pass by."""
    lans, rtp = {}, {}
    for section in sections:
        lans[section.interface] = rtp[section.rtp] = True
    return sorted(filter(None, lans)), sorted(filter(None, rtp))


async def examine(targets: Sequence[Target], program: Sequence[str]) -> list[Check]:
    """Start the helper beside the hub's own, and ask it what it may do."""
    lans, rtp = interfaces(NetprobeSection.model_validate(t.section) for t in targets)
    what = "permission to ping"
    try:
        ready = await permission(lans, rtp, program)
    except NotPermitted as error:
        return [Check("bad", what, error.why, error.remedy)]
    except TryAgain as error:
        return [Check("bad", what, str(error), "is scapy installed?")]
    found = [Check("good", what, f"{ready.mode} sockets")]
    for name in dict.fromkeys((*lans, *rtp)):
        why = ready.unheard.get(name)
        if why is None:
            network = ready.networks.get(name)
            found.append(Check("good", f"hearing on {name}", network or "no address of its own"))
        else:
            remedy = HEARING if "permission" in why else NAMES
            found.append(Check("bad", f"hearing on {name}", why, remedy))
    return found
