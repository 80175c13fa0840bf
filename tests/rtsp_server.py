"""A true camera for the tests: GStreamer's RTSP server, fed by a test pattern.

Run by Debian's own Python, which has GStreamer's bindings: `/usr/bin/python3 rtsp_server.py AUTH
[ADDRESS [PORT]]`, AUTH one of none, basic, digest. Says its port, then obeys words on stdin and
answers each: `stop` (the stream is gone), `stall` (its source gives no pictures), `freeze`,
`black`, `start`; `web` starts a web server with snapshots of the same source and answers with its
port. The user is `hub`, its password `rahasia`.
"""

import http.server
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

PATH = "/stream1"
CAPS = "video/x-raw,format=I420,width=320,height=240,framerate=10/1"
SOURCES = {
    "start": f"videotestsrc is-live=true pattern=ball ! {CAPS} ! jpegenc",
    "black": f"videotestsrc is-live=true pattern=black ! {CAPS} ! jpegenc",
    "freeze": f"videotestsrc num-buffers=1 ! {CAPS} ! imagefreeze is-live=true ! {CAPS} ! jpegenc",
    "stall": "filesrc location=/dev/null ! jpegparse",
}


def stream(word: str) -> str:
    return f"( {SOURCES[word]} ! rtpjpegpay name=pay0 pt=26 )"


class Snapshots:
    """The newest picture of the source, by HTTP."""

    def __init__(self, word: str) -> None:
        self._lock = threading.Lock()
        self._pipeline = None
        self.show(word)

    def show(self, word: str) -> None:
        with self._lock:
            if self._pipeline is not None:
                self._pipeline.set_state(Gst.State.NULL)
            end = "appsink name=end max-buffers=1 drop=true"
            self._pipeline = Gst.parse_launch(f"{SOURCES[word]} ! {end}")
            self._pipeline.set_state(Gst.State.PLAYING)

    def picture(self) -> bytes:
        with self._lock:
            sample = self._pipeline.get_by_name("end").emit("pull-sample")
            buffer = sample.get_buffer()
            return buffer.extract_dup(0, buffer.get_size())

    def serve(self) -> int:
        """Begin; the port."""
        snapshots = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                picture = snapshots.picture()
                self.send_response(200)
                self.send_header("Content-Type", "image/jpeg")
                self.send_header("Content-Length", str(len(picture)))
                self.end_headers()
                self.wfile.write(picture)

            def log_message(self, *_: object) -> None: ...

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port


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
        shown, snapshots = "start", None
        for line in sys.stdin:
            word = line.strip()
            if word == "web":
                snapshots = Snapshots(shown)
                print(snapshots.serve(), flush=True)
                continue
            if word == "stop":
                mounts.remove_factory(PATH)
            else:
                shown = word
                mount(stream(word))
                if snapshots is not None:
                    snapshots.show(word)
            print(word, flush=True)
        loop.quit()

    mount(stream("start"))
    server.attach(None)
    loop = GLib.MainLoop()
    threading.Thread(target=obey, daemon=True).start()
    print(server.get_bound_port(), flush=True)
    loop.run()


main()
