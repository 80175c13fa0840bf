"""What dies is started again; what can't work is not; nobody outlives the supervisor."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest

from hub import supervisor
from hub.api import TryAgain
from hub.link import Link
from hub.supervisor import CONFIG_ERROR, AlreadyRunning, Child, FolderLock, supervise
from tests.hub_support import INVENTORY, Hub, running, wait_for

QUIET = {"collectors": {name: {"enabled": False} for name in ("mqtt", "snmp", "camera")}}


def child(folder: Path, code: str) -> Child:
    """A process that first notes that it was started."""
    path = str(folder / "starts")
    note = f"import os, sys, time\nopen({path!r}, 'a').write(str(os.getpid()) + ' ')\n"
    return Child("child", ["-c", note + code])


def starts(folder: Path) -> list[int]:
    path = folder / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


async def until_started(folder: Path, number: int) -> list[int]:
    async with asyncio.timeout(20):
        while len(starts(folder)) < number:
            await asyncio.sleep(0.01)
    return starts(folder)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_S", (0.02, 0.08))


@pytest.mark.parametrize("end", ["sys.exit(0)", "sys.exit(3)", "os.kill(os.getpid(), 9)"])
async def test_a_process_that_ends_unasked_is_started_again(tmp_path: Path, end: str) -> None:
    stop = asyncio.Event()
    one = child(tmp_path, end)
    task = asyncio.create_task(supervise([one], stop))
    assert len(set(await until_started(tmp_path, 4))) >= 4
    assert one.restarts >= 3
    stop.set()
    assert await asyncio.wait_for(task, 10) == 0


async def test_the_pauses_between_restarts_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[float] = []
    monkeypatch.setattr(supervisor.log, "error", lambda _, **v: said.append(v["in_s"]))
    stop = asyncio.Event()
    task = asyncio.create_task(supervise([child(tmp_path, "sys.exit(1)")], stop))
    await until_started(tmp_path, 5)
    stop.set()
    await asyncio.wait_for(task, 10)
    assert said[:4] == [0.02, 0.04, 0.08, 0.08]


async def test_what_a_restart_can_not_mend_ends_all(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    wrong = child(tmp_path, f"time.sleep(0.2); sys.exit({CONFIG_ERROR})")
    other = child(tmp_path / "b", "time.sleep(600)")
    code = await asyncio.wait_for(supervise([other, wrong], asyncio.Event()), 10)
    assert code == CONFIG_ERROR
    assert len(starts(tmp_path)) == 1
    assert other.process is not None
    assert other.process.returncode == -signal.SIGTERM


async def test_who_does_not_end_when_asked_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "STOP_S", 0.3)
    deaf = child(tmp_path, "import signal; signal.signal(15, signal.SIG_IGN); time.sleep(9)")
    stop = asyncio.Event()
    task = asyncio.create_task(supervise([deaf], stop))
    await until_started(tmp_path, 1)
    await asyncio.sleep(0.3)
    stop.set()
    assert await asyncio.wait_for(task, 5) == 0
    assert deaf.process is not None
    assert deaf.process.returncode in (-signal.SIGKILL, -signal.SIGTERM)


def test_a_second_hub_on_the_folder_is_refused_and_names_the_first(tmp_path: Path) -> None:
    assert supervisor.running(tmp_path) is None
    lock = FolderLock.take(tmp_path, "http://127.0.0.1:8080")
    assert supervisor.running(tmp_path) == {"pid": os.getpid(), "url": "http://127.0.0.1:8080"}
    with pytest.raises(AlreadyRunning) as refused:
        FolderLock.take(tmp_path, "http://127.0.0.1:8081")
    for word in (str(os.getpid()), "http://127.0.0.1:8080", str(tmp_path), "data:"):
        assert word in str(refused.value)
    lock.release()
    assert supervisor.running(tmp_path) is None
    FolderLock.take(tmp_path, "").release()


def run(path: Path, *, user: int | None = None) -> subprocess.CompletedProcess[str]:
    """`toba-hub run`, expected to refuse."""
    words = [*as_user(user), sys.executable, "-m", "hub", "run", "-s", str(path)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def as_user(user: int | None) -> list[str]:
    """Another user, who may read everything (the interpreter may lie in a closed folder) but
    write only what is his."""
    if user is None:
        return []
    may_read = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *may_read]


def one_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    assert len(lines) == 1, said
    return lines[0]


def test_the_running_hub_refuses_a_second_one_outlives_kills_and_leaves_nobody_behind(
    tmp_path: Path,
) -> None:
    with running(tmp_path, QUIET) as hub:
        second = run(hub.path)
        assert second.returncode == 1
        assert f"board at http://127.0.0.1:{hub.port}" in one_line(second.stderr)
        ingest = hub.child("ingest")
        assert ingest is not None
        os.kill(ingest, signal.SIGTERM)  # meant for the hub, sent to its child
        wait_for("a new ingest", lambda: hub.child("ingest") not in (None, ingest))
        wait_for("the hub to be well again", hub.healthy)
        assert hub.process is not None
        children = [hub.child("ingest"), hub.child("serve")]
        hub.process.kill()
        hub.process.wait(5)
        for pid in children:
            wait_for("the children to end by themselves", lambda p=pid: not alive(p), 15)


def alive(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    hub = Hub(tmp_path, QUIET, INVENTORY)
    with socket.create_server(("127.0.0.1", hub.port)):
        done = run(hub.path)
    assert done.returncode == 1
    assert f"port {hub.port} on 127.0.0.1 is in use" in one_line(done.stderr)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
NOBODY = 65534


@needs_root
def test_a_folder_of_another_user_is_said_in_one_line(tmp_path: Path) -> None:
    hub = Hub(tmp_path, QUIET, INVENTORY)
    opened(tmp_path)
    hub.data.mkdir(mode=0o755)
    done = run(hub.path, user=NOBODY)
    assert done.returncode == CONFIG_ERROR
    line = one_line(done.stderr)
    for word in ("65534", "hub.lock", "Permission denied", "chown"):
        assert word in line


@needs_root
def test_a_plain_user_runs_the_hub(tmp_path: Path) -> None:
    hub = Hub(tmp_path, QUIET, INVENTORY)
    opened(tmp_path)
    os.chown(tmp_path, NOBODY, NOBODY)
    words = [*as_user(NOBODY), sys.executable, "-m", "hub", "run", "-s", str(hub.path)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_for("the hub to be healthy", hub.healthy, 40)
        assert {p.stat().st_uid for p in hub.data.rglob("*")} == {NOBODY}
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (tmp_path / "log").read_text()


@needs_root
def test_a_disk_that_takes_no_writes_is_said_in_one_line(tmp_path: Path) -> None:
    (disk := tmp_path / "disk").mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(disk)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("can't mount a disk here")
    try:
        hub = Hub(tmp_path / "hub", {**QUIET, "data": str(disk / "data")}, INVENTORY)
        line = one_line(run(hub.path).stderr)
        assert f"{disk / 'data'}: Read-only file system" in line
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def opened(folder: Path) -> None:
    """Let every user reach a folder of the test."""
    for one in (folder, *folder.parents):
        if one.stat().st_uid == os.geteuid() and one != Path("/"):
            one.chmod(one.stat().st_mode | 0o755)


def test_a_full_disk_is_said_on_the_board_and_nothing_is_lost_when_it_is_over(
    tmp_path: Path,
) -> None:
    data = tmp_path / "small"
    data.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(data)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("can't mount a small disk here")
    try:
        settings = {**QUIET, "data": str(data), "journal": {"segment_mib": 1}}
        with running(tmp_path / "hub", settings) as hub:
            filler = data / "filler"
            fill(filler)
            processes = hub.child("ingest"), hub.child("serve")
            with pytest.raises(TryAgain, match="No space left"):
                asyncio.run(act(data, "x" * 20_000))
            wait_for("the board to say so", lambda: "No space left" in health(hub), 20)
            with pytest.raises(urllib.error.HTTPError) as unwell:
                hub.get("/healthz")
            with unwell.value:
                said = json.loads(unwell.value.read())["reasons"]
            assert unwell.value.code == 503
            assert said[0].startswith(f"disk full: free some space where {data} is"), said
            filler.unlink()
            wait_for("the hub to be well again", hub.healthy, 20)
            assert asyncio.run(act(data, "x" * 20_000)) > 0
            assert (hub.child("ingest"), hub.child("serve")) == processes, "nobody was restarted"
            assert "Traceback" not in hub.log()
    finally:
        subprocess.run(["umount", "-l", str(data)], check=False)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def health(hub: Hub) -> str:
    try:
        return str(hub.get("/api/v1/health"))
    except OSError as error:
        return str(error)


async def act(data: Path, why: str) -> int:
    link = Link(data / "ingest.sock")
    try:
        return await link.act({"kind": "acknowledge", "who": "ani", "why": why, "key": "x"})
    finally:
        await link.close()
