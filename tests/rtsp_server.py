"""A true camera for the tests: GStreamer's RTSP server, fed by a test pattern.

Run by Debian's own Python, which has GStreamer's bindings: `/usr/bin/python3 rtsp_server.py AUTH
[ADDRESS [PORT]]`, AUTH one of none, basic, digest. Says its port, then obeys words on stdin and
answers each: `stop` (the stream is gone), `stall` (its source gives no pictures), `start`. The user
is `hub`, its password `rahasia`.
"""

import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

PATH = "/stream1"
PATTERN = (
    "( videotestsrc is-live=true pattern=ball"
    " ! video/x-raw,format=I420,width=320,height=240,framerate=10/1"
    " ! jpegenc ! rtpjpegpay name=pay0 pt=26 )"
)
NOTHING = "( filesrc location=/dev/null ! jpegparse ! rtpjpegpay name=pay0 pt=26 )"


def factory(launch: str) -> GstRtspServer.RTSPMediaFactory:
    made = GstRtspServer.RTSPMediaFactory()
    made.set_launch(launch)
    made.set_shared(True)
    return made


def guard(server: GstRtspServer.RTSPServer, made: GstRtspServer.RTSPMediaFactory, how: str) -> None:
    """Only `hub` may watch; asking OPTIONS is free for all."""
    methods = {"basic": GstRtsp.RTSPAuthMethod.BASIC, "digest": GstRtsp.RTSPAuthMethod.DIGEST}
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(methods[how])
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if how == "basic":
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic("hub", "rahasia"), token)
    else:
        auth.add_digest("hub", "rahasia", token)
    server.set_auth(auth)
    protect(made)


def protect(made: GstRtspServer.RTSPMediaFactory) -> None:
    permissions = GstRtspServer.RTSPPermissions()
    for right in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role("viewer", right, True)
    made.set_permissions(permissions)


def main() -> None:
    how = sys.argv[1]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address(sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1")
    server.set_service(sys.argv[3] if len(sys.argv) > 3 else "0")
    mounts = server.get_mount_points()

    def mount(launch: str) -> None:
        made = factory(launch)
        if how != "none":
            guard(server, made, how)
        mounts.add_factory(PATH, made)

    def obey() -> None:
        for line in sys.stdin:
            word = line.strip()
            if word == "stop":
                mounts.remove_factory(PATH)
            else:
                mount(NOTHING if word == "stall" else PATTERN)
            print(word, flush=True)
        loop.quit()

    mount(PATTERN)
    server.attach(None)
    loop = GLib.MainLoop()
    threading.Thread(target=obey, daemon=True).start()
    print(server.get_bound_port(), flush=True)
    loop.run()


main()
