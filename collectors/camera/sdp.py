"""What an RTSP server says of its stream: SDP (RFC 8866) in, the video out. Pure."""

from __future__ import annotations

from typing import NamedTuple

from collectors.camera.wire import Unfit


class Video(NamedTuple):
    """The first video stream."""

    codec: str = ""
    """As in `a=rtpmap`, such as H264; empty when it isn't said."""
    fps: float | None = None
    control: str = ""
    """How it is called in SETUP (RFC 2326 §C.1.1): a URL, or what follows the base; empty: the base
    itself."""


def video(body: bytes) -> Video:
    """Raises `Unfit` when that is no SDP, or there is no video in it."""
    lines = body.decode("utf-8", "replace").splitlines()
    if not lines or lines[0].strip() != "v=0":
        raise Unfit("garbage: the description is no SDP")
    found, inside = Video(), False
    for line in lines:
        kind, _, value = line.strip().partition("=")
        if kind == "m":
            if inside:
                break
            media, _, rest = value.partition(" ")
            # Port 0 is RTSP's usual "ask me by SETUP" (RFC 2326 §C.1.2), no refusal.
            inside = media == "video" and bool(rest)
        elif inside and kind == "a":
            found = _attribute(value, found)
    if not inside:
        raise Unfit("no video in its description")
    return found


def _attribute(value: str, found: Video) -> Video:
    name, _, said = value.partition(":")
    if name == "rtpmap" and not found.codec:
        return found._replace(codec=said.partition(" ")[2].partition("/")[0][:32])
    if name == "control" and not found.control:
        named = said.strip()
        return found._replace(control="" if named == "*" else named[:512])
    if name == "framerate":
        try:
            fps = float(said.strip()[:16])
        except ValueError:
            return found
        return found._replace(fps=fps if 0 < fps <= 1000 else None)
    return found
