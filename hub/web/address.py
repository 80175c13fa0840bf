"""Takes the address of the board; apart from the server, so that the command line is quick."""

from __future__ import annotations

import errno
import socket


class PortTaken(Exception):
    """The address can't be listened on; the message says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Take the address, before anything else is started. Raises `PortTaken`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen(256)
    except (OSError, OverflowError) as error:
        taken.close()
        raise PortTaken(_why(host, port, error)) from None
    taken.setblocking(False)
    return taken


def _why(host: str, port: int, error: Exception) -> str:
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EADDRINUSE:
        return f"port {port} on {host} is in use by another program; stop it, or set web.port"
    if code == errno.EACCES:
        return f"port {port} needs root; set web.port to 1024 or more"
    return f"can't listen on {host}:{port}: {error}; set web.host and web.port"
