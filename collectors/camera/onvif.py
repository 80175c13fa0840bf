"""ONVIF's `GetSystemDateAndTime` (Device Management §8.3.2): the camera's clock. Pure.

The specification gives it to everybody; a camera that wants a password (401) is alive all the same.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from collectors.camera.wire import Unfit

PATH = "/onvif/device_service"
TYPE = "application/soap+xml; charset=utf-8"
MAX_BODY = 64 * 1024
REQUEST = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>'
    b'<GetSystemDateAndTime xmlns="http://www.onvif.org/ver10/device/wsdl"/>'
    b"</s:Body></s:Envelope>"
)

# Read by pattern, since an XML parser would have to be armed against entities of a hostile answer.
_UTC = re.compile(r"<(?:\w+:)?UTCDateTime\b[^>]*>(.{1,2000}?)</(?:\w+:)?UTCDateTime\s*>", re.DOTALL)
_PART = re.compile(r"<(?:\w+:)?(Year|Month|Day|Hour|Minute|Second)\b[^>]*>\s*(\d{1,4})\s*</")
_WHAT = ("Year", "Month", "Day", "Hour", "Minute", "Second")


def utc_s(body: bytes) -> float | None:
    """The camera's clock in Unix seconds, whole; None when it tells local time only.

    Raises `Unfit` when that is no answer to the question.
    """
    text = body.decode("utf-8", "replace")
    if not re.search(r"<(?:\w+:)?GetSystemDateAndTimeResponse\b", text):
        fault = re.search(r"<(?:\w+:)?Fault\b", text)
        raise Unfit("answers with a SOAP fault" if fault else "garbage: the answer is no ONVIF")
    found = _UTC.search(text)
    if found is None:
        return None
    said = {name: int(number) for name, number in _PART.findall(found[1])}
    try:
        year, month, day, hour, minute, second = (said[name] for name in _WHAT)
        # A leap second, 60, is told as the one before.
        clock = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        return clock.timestamp()
    except (KeyError, ValueError):
        raise Unfit("garbage: its clock shows no time") from None
