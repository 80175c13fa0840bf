"""A recorder for the tests: GStreamer's RTSP client, which fetches a stream and throws it away.

Run by Debian's own Python: `/usr/bin/python3 rtsp_recorder.py URL udp|tcp`. Says `playing` when
pictures come; ends with its standard input.
"""

import sys
import threading

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402


def main() -> None:
    url, way = sys.argv[1:]
    Gst.init(None)
    pipeline = Gst.parse_launch(
        f"rtspsrc location={url} protocols={way} ! rtpjpegdepay ! fakesink name=end sync=false "
        "signal-handoffs=true"
    )
    said = threading.Event()

    def picture(*_: object) -> None:
        if not said.is_set():
            said.set()
            print("playing", flush=True)

    def wait_for_the_end() -> None:
        sys.stdin.read()
        loop.quit()

    pipeline.get_by_name("end").connect("handoff", picture)
    pipeline.set_state(Gst.State.PLAYING)
    loop = GLib.MainLoop()
    threading.Thread(target=wait_for_the_end, daemon=True).start()
    loop.run()
    pipeline.set_state(Gst.State.NULL)


main()
