"""A true camera's stream passes by on its way to a recorder; the hub asks neither.

The bridge of this network forgets at once who is where, so it sends every frame to every port, as
a switch does with its mirror port.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hub.api import Target, TryAgain
from tests.camera_support import true_camera
from tests.lan_support import Lan, Machine, Watching, lan, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")


@contextmanager
def recorder(machine: Machine, url: str, way: str) -> Iterator[None]:
    """Fetches the stream by "udp" or "tcp" until the block ends."""
    script = Path(__file__).with_name("rtsp_recorder.py")
    words = machine.exec("/usr/bin/python3", str(script), url, way)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"playing\n"
            yield
        finally:
            process.stdin.close()
            process.wait(20)


@pytest.fixture(scope="module")
def network() -> Iterator[Lan]:
    with lan(3) as made:
        run(f"ip -n {made.switch} link set br0 type bridge ageing_time 0")
        yield made


async def test_a_stream_that_flows_is_seen_and_one_that_stops_is_told(network: Lan) -> None:
    camera, nvr = network.add(7), network.add(8)
    section = {"rtp": network.interface}
    targets = [
        Target("cam", "camera", network.at(7), section),
        Target("other", "camera", network.at(9), section),
    ]
    with true_camera("none", network.at(7), camera.exec()) as source:
        async with Watching(targets, {}, listen_s=1.0) as watch:
            with recorder(nvr, source.url, "udp"):
                assert await watch.poll("rtp") == {"flowing": 1}
                assert await watch.poll("rtp", 1) == {"flowing": 0}
            assert watch.news() == [
                (
                    "rtp_stopped",
                    f"nothing from {network.at(9)} passed by on {network.interface} for 1 s",
                )
            ]
            assert await watch.poll("rtp") == {"flowing": 0}
            assert [name for name, _ in watch.news()] == ["rtp_stopped"]
            assert await watch.poll("rtp") == {"flowing": 0}
            with recorder(nvr, source.url, "tcp"):
                assert await watch.poll("rtp") == {"flowing": 1}
                assert watch.news() == [
                    ("rtp_flows", f"a stream of {network.at(7)} passes by on {network.interface}")
                ]
                # The connection stays, and nothing comes through it any more.
                source.pause()
                for _ in range(10):
                    if await watch.poll("rtp") == {"flowing": 0}:
                        break
                assert [name for name, _ in watch.news()] == ["rtp_stopped"]


async def test_without_that_interface_the_poll_says_so(network: Lan) -> None:
    target = Target("cam", "camera", network.at(7), {"rtp": "eth99"})
    async with Watching([target], {}) as watch:
        with pytest.raises(TryAgain, match=r"^eth99: no such interface; there are "):
            await watch.poll("rtp")
