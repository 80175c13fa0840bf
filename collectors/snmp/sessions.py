"""Which session a credential makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from collectors.snmp.client import Address, Endpoint, V2cSession
from collectors.snmp.config import Credential
from collectors.snmp.v1 import V1Session
from collectors.snmp.v3 import V3Session

RealSession: TypeAlias = V1Session | V2cSession | V3Session


def open_session(
    endpoint: Endpoint,
    address: Address,
    credential: Credential,
    timeout_s: float,
    retries: int,
    count: Callable[[str], None] = lambda what: None,
) -> RealSession:
    """Nothing is sent yet."""
    if credential.version == "3":
        return V3Session(endpoint, address, credential.as_user(), timeout_s, retries, count)
    kind = V1Session if credential.version == "1" else V2cSession
    community = credential.community.get_secret_value() if credential.community else ""
    return kind(endpoint, address, community.encode(), timeout_s, retries)
