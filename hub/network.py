"""What went wrong on the network, as people say it."""

from __future__ import annotations

import os

import aiohttp


def said(error: BaseException) -> str:
    """One line; the kind of error where it says nothing itself."""
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        # Of a name that can't be looked up the number is the resolver's own.
        if cause.errno is not None and cause.errno > 0:
            return os.strerror(cause.errno)
        return cause.strerror or type(cause).__name__
    text = " ".join(str(error).split())
    return text[:300] if text else type(error).__name__
