"""The board in a real Chromium: what a person sees and does."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub import inventory_file
from hub.clock import NS, now_ns
from hub.edges import Edge
from hub.proposals import Proposed
from hub.web.app import create_app
from hub.web.serving import serve
from tests.browser_support import Page, browser
from tests.web_scene import Scene

CHARTS = """const all = [...document.querySelectorAll('.chart')];
return all.length === 2 && all.every(one => Number(one.dataset.points) > 20)"""
ALERTS = "return document.querySelectorAll('#alerts .alert').length === 3"
GROUND = "return getComputedStyle(document.documentElement).backgroundColor"
GROUNDS = {"dark": "rgb(10, 16, 22)", "light": "rgb(241, 245, 248)"}
TOUCHING = """const names = [...document.querySelectorAll('.site text, .lake-name')]
  .filter((one) => one.textContent).map((one) => [one.textContent, one.getBoundingClientRect()]);
return names.flatMap(([a, one], i) => names.slice(i + 1).filter(([, other]) =>
  one.left < other.right && one.right > other.left
  && one.top + 3 < other.bottom && one.bottom - 3 > other.top).map(([b]) => a + ' / ' + b))"""
SHOTS = os.environ.get("SCREENSHOTS")
"""Set it to a folder to keep the pictures."""


@dataclass
class Board:
    url: str
    scene: Scene
    app: object


@pytest.fixture
async def board() -> AsyncIterator[Board]:
    """The regency with some trouble, on a real port."""
    scene = Scene()
    scene.fill(now_ns())
    app = create_app(scene.backend, auth="demo")
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, port=0, started=port.set_result))
    yield Board(f"http://127.0.0.1:{await port}", scene, app)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def keep(page: Page, tmp_path: Path, name: str, whole: bool = False) -> None:
    folder = Path(SHOTS) if SHOTS else tmp_path
    picture = await page.screenshot(folder / f"{name}.png", whole)
    assert picture.stat().st_size > 30_000


async def fits(page: Page) -> bool:
    return bool(
        await page.run(
            "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
    )


async def test_the_wall_shows_everything_on_one_screen(board: Board, tmp_path: Path) -> None:
    async with browser(1920, 1080) as page:
        await page.open(board.url)
        await page.until(CHARTS)
        await page.until(ALERTS)
        assert await page.run(
            "return document.documentElement.scrollHeight <= 1080"
            " && [...document.querySelectorAll('.thing')].every("
            "one => one.getBoundingClientRect().bottom <= 1080)"
        )
        assert await page.run("return document.querySelectorAll('.thing').length") == 44
        assert await page.run("return document.querySelectorAll('.site').length") == 16
        down = "return document.querySelector('.site[data-site=porsea]').dataset.state"
        assert await page.run(down) == "down"
        assert "menyeret 5 router, 2 kamera, 2 sensor" in await page.run(
            "return document.body.innerText"
        )
        await keep(page, tmp_path, "wall")
        assert await page.log() == []


async def test_a_phone_shows_the_same_without_scrolling_sideways(
    board: Board, tmp_path: Path
) -> None:
    async with browser(390, 844) as page:
        for path, ready in (
            ("/", CHARTS),
            ("/device/aq-balige", "return document.querySelectorAll('#readings tr').length > 2"),
            ("/publik", "return document.querySelectorAll('.card').length > 3"),
        ):
            await page.open(board.url + path)
            for scheme in ("dark", "light"):
                await page.prefer(scheme)
                await page.until(ready)
                assert await page.run(GROUND) == GROUNDS[scheme], path
                assert await fits(page), path
                name = f"phone{path.replace('/', '-')}-{scheme}"
                await keep(page, tmp_path, name, whole=True)
        await page.resize(1920, 1080)
        assert await page.run(GROUND) == GROUNDS["dark"], "a wall stays dark"
        assert await page.log() == []


async def test_acknowledging_in_the_browser_reaches_the_hub_and_comes_back(board: Board) -> None:
    async with browser(1920, 1080) as page:
        await page.open(board.url)
        await page.until(ALERTS)
        await page.until("return !document.querySelector('.act-ack').hidden")
        await page.click(".alert[data-severity=critical] .act-ack")
        await page.write("dialog input[name=name]", "Rina")
        await page.write("dialog textarea", "teknisi menuju lokasi")
        await page.click("dialog button[type=submit]")
        await page.until("return !document.querySelector('dialog').open")
        key = "router_down/r-camat-porsea"
        script = f"return document.querySelector('[data-key=\"{key}\"]').dataset.stage"
        await page.until(f"{script} === 'acknowledged'")
        text = f"return document.querySelector('[data-key=\"{key}\"]').innerText"
        assert "teknisi menuju lokasi" in await page.run(text)
    act = board.scene.backend.acts[-1]
    assert (act["who"], act["why"], act["key"]) == ("demo: Rina", "teknisi menuju lokasi", key)


async def test_silencing_asks_for_a_reason_first(board: Board) -> None:
    done = len(board.scene.backend.acts)
    async with browser(1920, 1080) as page:
        await page.open(board.url)
        await page.until(ALERTS)
        await page.until("return !document.querySelector('.act-silence').hidden")
        await page.click(".act-silence")
        await page.click("dialog button[type=submit]")
        assert await page.run("return document.querySelector('dialog').open")
        assert len(board.scene.backend.acts) == done
        await page.write("dialog textarea", "pemeliharaan")
        await page.click("dialog button[type=submit]")
        await page.until("return !document.querySelector('dialog').open")
    act = board.scene.backend.acts[-1]
    assert act["matcher"] == {"device": "r-camat-porsea", "rule": "router_down"}


async def test_why_an_alert_fires_and_what_else_is_judged_of_its_device(
    board: Board, tmp_path: Path
) -> None:
    """Value, limit, since when, maintenance; on the board as a dialog, on the device's page for
    good, in both languages and on a phone."""
    async with browser(1920, 1080) as page:
        await page.open(board.url)
        await page.until(ALERTS)
        await page.click(".alert[data-severity=warning] .act-why")
        rules = "[...document.querySelectorAll('dialog .why')]"
        await page.until(f"return {rules}.length === 5")
        assert await page.run(
            f"return {rules}.map(one => one.dataset.key.split('/')[0] + ' ' + one.dataset.stage)"
        ) == ["pm25_unhealthy firing", "hot pending", "pm25_hour ok", "battery_low ok",
              "sensor_silent ok"]  # fmt: skip
        first = await page.run(f"return {rules}[0].innerText")
        assert "PM2.5 74,8 µg/m³ (batas: di atas 55,4 µg/m³)" in first
        assert "dalam pemeliharaan menurut Rina" in first
        assert "batas: di atas 55,4 µg/m³" in first.split("\n")[-1]
        calm = "document.querySelector('dialog details')"
        assert not await page.run(f"return {calm}.open")
        assert await page.run(f"return {calm}.innerText") == "3 aturan yang tidak menyala"
        await keep(page, tmp_path, "why")
        (pm25,) = board.scene.backend.explain("aq-balige", "pm25_unhealthy")
        pm25["state"] = "acknowledged"
        await page.until(f"return {rules}[0].dataset.stage === 'acknowledged'")
        await page.click("dialog button")
        assert not await page.run("return document.querySelector('dialog').open")
        await page.resize(390, 844)
        await page.open(board.url + "/device/aq-balige?lang=en")
        await page.until("return document.querySelectorAll('#why .why').length === 5")
        await page.click("#why summary")
        hour = "document.querySelector('#why [data-key=\"pm25_hour/aq-balige\"]')"
        said = await page.run(f"return {hour}.innerText")
        assert "readings have spanned 20 minutes of the window of 1 hour" in said
        assert await fits(page)
        assert await page.log() == []


async def test_who_is_on_duty_who_is_next_and_what_people_did(board: Board, tmp_path: Path) -> None:
    async with browser(1920, 1080) as page:
        await page.open(board.url + "/?lang=en")
        await page.until(ALERTS)
        await page.click("[data-tab=duty]")
        await page.until("return document.querySelectorAll('.team').length === 3")
        dlh, kominfo, bpbd = await page.run(
            "return [...document.querySelectorAll('.team')].map(one => one.innerText)"
        )
        assert "Andi Siregar" in dlh
        assert "Next: Budi Manurung" in dlh
        assert "Nobody takes over." in kominfo
        assert "No channel: this team is told nothing" in bpbd
        await page.click(".team summary")
        handed = "return document.querySelector('.team pre').innerText"
        assert "Open alerts: 1, acknowledged: 0." in await page.run(handed)
        acts = "[...document.querySelectorAll('.duty-acts .event')].map(one => one.innerText)"
        ended, _, silence, work = await page.run(f"return {acts}")
        assert "Silence ended: device: Router Dinkes" in ended
        assert "“sudah dilaporkan ke ISP” · over" in silence
        assert work.endswith("by Rina · “ganti UPS” · ended")
        await keep(page, tmp_path, "duty")
        await page.until("return !document.querySelector('.act-ack').hidden")
        await page.click("[data-tab=history]")
        event = "document.querySelector('.things .event:last-child')?.innerText ?? ''"
        await page.until(f"return {event}.includes('Port down')")
        assert (await page.run(f"return {event}")).endswith("Router Dinkes · port ether2")
        await page.click("[data-tab=duty]")
        await page.click(".alert[data-severity=critical] .act-ack")
        await page.write("dialog textarea", "teknisi berangkat")
        await page.click("dialog button[type=submit]")
        await page.until(f"return {acts}[0].includes('teknisi berangkat')")
        await page.resize(390, 844)
        assert await fits(page)
        assert await page.log() == []


async def test_live_values_move_without_a_reload(board: Board) -> None:
    async with browser(1920, 1080) as page:
        await page.open(board.url)
        await page.until(ALERTS)
        await page.click("[data-tab=environment]")
        backend = board.scene.backend
        backend.time_ns = now_ns()
        backend.observe("environment", "aq-laguboti", {"pm25": 123.4}, sensor="main")
        await page.until("return document.querySelector('#things').innerText.includes('123,4')")
        backend.fire("rain", "rain-habinsaran", "critical")
        await page.until("return document.querySelectorAll('#alerts .alert').length === 4")


async def test_the_board_says_when_history_is_away_or_data_is_old(board: Board) -> None:
    async with browser(1920, 1080) as page:
        await page.open(board.url + "/?lang=en")
        await page.until(CHARTS)
        backend = board.scene.backend
        backend.report["store"] = {"name": "influxdb", "up": False}
        backend.store_down = True
        backend.wake()
        await page.until("return document.body.innerText.includes('History is unreachable')")
        memory = "return [...document.querySelectorAll('.chart')]"
        await page.until(f"{memory}.every(one => one.dataset.source === 'memory')")
        backend.time_ns = now_ns() + 300 * NS  # the hub's clock goes on, no reading comes
        await page.until("return document.body.innerText.includes('Old data')", 20)


async def test_the_board_says_when_the_hub_is_gone_and_returns_by_itself(board: Board) -> None:
    async with browser(1280, 900) as page:
        await page.open(board.url)
        await page.until(ALERTS)
        feed = board.app.state.feed  # type: ignore[attr-defined]
        feed.close()
        await page.until("return document.querySelector('#link').dataset.state === 'lost'")
        assert await page.run(ALERTS)
        feed.closing = False
        beating = asyncio.create_task(feed.run())
        await page.until("return document.querySelector('#link').dataset.state !== 'lost'", 45)
        beating.cancel()


async def test_many_alerts_are_all_there_or_counted(board: Board, tmp_path: Path) -> None:
    backend = board.scene.backend
    for number in range(30):
        backend.fire(f"rule-{number}", "aq-balige")
    async with browser(1920, 1080) as page:
        await page.open(board.url)
        await page.until("return document.querySelectorAll('#alerts.compact .alert').length === 33")
        seen = """const frame = document.querySelector('#alerts').getBoundingClientRect();
            return [...document.querySelectorAll('#alerts .alert')].filter((one) => {
              const box = one.getBoundingClientRect(), middle = (box.top + box.bottom) / 2;
              return middle >= frame.top && middle <= frame.bottom }).length"""
        visible = await page.run(seen)
        assert visible >= 4
        assert await page.run("return document.querySelector('#alerts-more').innerText") == (
            f"… dan {33 - visible} lagi"
        )
        assert "1 terseret" in await page.run("return document.querySelector('#tiles').innerText")
        first = "return document.querySelector('#alerts .alert').dataset.severity"
        assert await page.run(first) == "critical"
        assert await page.run("return document.documentElement.scrollHeight <= 1080")
        await keep(page, tmp_path, "many")


async def test_no_alert_is_good_news_only_where_nothing_is_off_or_waited_for(
    board: Board, tmp_path: Path
) -> None:
    backend = board.scene.backend
    fired, backend.current = backend.current, {}
    calm = "[document.querySelector('#alerts-none'), document.querySelector('.tile:last-child')]"
    said = f"return {calm}.map(one => one.innerText).join('\\n')"
    async with browser(1920, 1080) as page:
        await page.open(board.url + "/?lang=en")
        await page.until("return !document.querySelector('#alerts-none').hidden")
        text = await page.run(said)
        assert "No alerts yet, but not everything is being watched." in text
        assert text.count("devices that don't answer: 1") == 2
        assert text.count("devices still waited for: 9") == 2, "the list and the tile"
        assert "forming" not in text
        green = f"return {calm}.map(one => getComputedStyle(one).color)"
        assert "rgb(79, 192, 141)" not in await page.run(green)
        tile = "return document.querySelector('.tile:last-child').dataset.state"
        assert await page.run(tile) == "warning"
        backend.fire("slow", "r-dlh", state="pending")
        await page.until(f"{said}.includes('alerts that are forming: 1')")
        await keep(page, tmp_path, "waiting")
        backend.current.clear()
        for step in range(2):
            board.scene.step(now_ns() + step * NS, dead=False)
            backend.time_ns = now_ns() + step * NS
        backend.wake()
        await page.until(f"{said}.includes('No alerts. Everything')")
        assert await page.run(tile) == "ok"
        backend.current = fired
        backend.wake()
        await page.until(ALERTS)
        assert await page.log() == []


async def test_an_office_does_not_show_old_values_as_live(board: Board) -> None:
    backend = board.scene.backend
    async with browser(1920, 1080) as page:
        await page.open(board.url)
        await page.until(ALERTS)
        office = "[...document.querySelectorAll('.thing')].find((one) => one.textContent"
        gone = f"{office}.includes('Kantor Camat Porsea'))"
        assert "sejak" in await page.run(f"return {gone}.innerText")
        assert "Mbit/s" not in await page.run(f"return {gone}.innerText")
        backend.fire("x", "r-dlh", "critical", means="down")
        dlh = f"{office}.includes('Dinas Lingkungan'))"
        await page.until(f"return {dlh}.classList.contains('off')")
        backend.time_ns = now_ns() + 45 * NS  # three gaps of 10 s and more; no router speaks
        backend.observe("environment", "aq-laguboti", {"pm25": 5.0}, sensor="main")
        await page.until("return document.querySelectorAll('.thing.old').length > 20")
        old = "return document.querySelector('.thing.old').innerText"
        assert "sejak" in await page.run(old)


async def test_a_phone_scrolls_no_page_sideways(board: Board) -> None:
    board.scene.backend.observe(
        "device", "r-dlh", {"sys_descr": "RouterOS " + "RB5009UG+S+" * 12}, probe="snmp"
    )
    async with browser(390, 844) as page:
        for path, ready in (
            ("/device/r-dlh", "return document.querySelectorAll('#readings tr').length > 8"),
            ("/api", "return document.querySelectorAll('#paths tr').length > 8"),
        ):
            for language in ("id", "en"):
                await page.open(f"{board.url}{path}?lang={language}")
                await page.until(ready)
                assert await fits(page), path
        await page.open(f"{board.url}/device/r-dlh?lang=id")
        await page.until("return !document.querySelector('#identity').hidden")
        text = await page.run("return document.querySelector('#readings').innerText")
        assert "RouterOS" not in text
        assert "tersambung" in text
        assert "1.0" not in text


async def test_a_trap_stands_on_the_timeline_of_its_device_and_of_all(board: Board) -> None:
    said = "return document.querySelector('BOX .event')?.textContent.includes('Port putus')"
    async with browser() as page:
        await page.open(f"{board.url}/device/r-dinkes")
        await page.until(said.replace("BOX", "#history"), 20)
        text = await page.run("return document.getElementById('history').textContent")
        assert "Router Dinkes · port ether2" in text
        await page.open(board.url)
        await page.until("return document.querySelector('[data-tab=history]')")
        await page.click("button[data-tab=history]")
        await page.until(said.replace("BOX", "#things"), 20)


async def test_what_a_dead_router_drags_along_stands_below_it_as_a_tree(
    board: Board, tmp_path: Path
) -> None:
    rows = """return [...document.querySelectorAll('#behind li')].map(one =>
        [one.children[1]?.innerText, one.style.getPropertyValue('--depth'),
         one.firstChild.dataset?.state, one.children[2]?.innerText])"""
    async with browser(1280, 900) as page:
        await page.open(f"{board.url}/device/r-core")
        await page.until("return document.querySelectorAll('#behind .nested').length === 9")
        first, *others = await page.run(rows)
        assert first == ["Router Camat Porsea", "0", "down", "9 dari 18 putus · mati"]
        assert {(depth, word) for _, depth, word, _ in others[:9]} == {("1", "no_data")}
        assert {word for _, _, word, _ in others[9:-1]} == {"ok"}, "whole branches are one line"
        assert (
            await page.run("return document.querySelector('#behind').innerText.split('\\n').at(-1)")
            == "dan 28 lagi"
        )
        await keep(page, tmp_path, "tree")
        assert await page.log() == []


async def test_a_silence_is_shown_with_who_and_until_and_can_be_ended(board: Board) -> None:
    backend = board.scene.backend
    backend.quiet = [
        {"id": "7", "matcher": {"device": ["aq-balige"]}, "who": "Rina", "why": "kalibrasi",
         "until_ns": now_ns() + 3600 * NS},
    ]  # fmt: skip
    async with browser(1920, 1080) as page:
        await page.open(board.url)
        await page.until("return !document.querySelector('#tab-silences').hidden")
        await page.click("#tab-silences")
        await page.until("return document.querySelectorAll('.silence button').length === 1")
        said = await page.run("return document.querySelector('.silence').innerText")
        for word in ("Kualitas Udara Balige", "Rina", "kalibrasi", "sampai"):
            assert word in said
        await page.until("return !document.querySelector('.silence button').hidden")
        await page.click(".silence button")
        await page.until("return document.querySelectorAll('.silence').length === 0")
    assert (backend.acts[-1]["kind"], backend.acts[-1]["key"]) == ("unsilence", "7")


async def test_names_on_the_map_touch_no_other_and_the_lake_s_is_in_the_lake(board: Board) -> None:
    async with browser(1920, 1080) as page:
        await page.open(board.url)
        await page.until("return document.querySelectorAll('.site text').length === 16")
        touching = await page.run(TOUCHING)
        assert touching == []
        outside = """const svg = document.querySelector('.map'), lake = svg.querySelector('.lake');
            return [...svg.querySelectorAll('.lake-name tspan')].flatMap((one) => {
              const all = one.getNumberOfChars();
              return [one.getStartPositionOfChar(0), one.getEndPositionOfChar(all - 1)]
                .filter((point) => !lake.isPointInFill(point)) }).length"""
        assert await page.run(outside) == 0


async def test_long_names_are_cut_on_the_map_and_titles_of_alerts_have_two_lines(
    board: Board, tmp_path: Path
) -> None:
    backend = board.scene.backend
    long = "Porsea – Kantor Camat dengan nama yang tidak muat dalam satu baris papan 日本語"
    sites = backend.inventory.sites
    sites["porsea"] = sites["porsea"].model_copy(update={"name": long})
    for number in range(2):
        title = dict.fromkeys(("id", "en"), f"Router {number} putus (Dinas Kebersihan, Porsea)")
        backend.fire(f"down-{number}", "r-camat-porsea", title=title)
    async with browser(1366, 768) as page:
        await page.open(board.url)
        await page.until("return document.querySelectorAll('.site text').length === 16")
        await page.until("return document.querySelectorAll('#alerts.compact .alert').length === 5")
        name = await page.run(
            "return document.querySelector('[data-site=porsea] text').textContent"
        )
        assert name == "Porsea – Kantor Camat…"
        outside = """const map = document.querySelector('.map').getBoundingClientRect();
            return [...document.querySelectorAll('.site text')].filter((one) => {
              const box = one.getBoundingClientRect();
              return box.left < map.left || box.right > map.right }).length"""
        assert await page.run(outside) == 0
        cut = """return [...document.querySelectorAll('.alert-title')].filter((one) =>
            one.scrollHeight > one.clientHeight + 1 || one.scrollWidth > one.clientWidth).length"""
        assert await page.run(cut) == 0
        await keep(page, tmp_path, "long")
        for number in range(12):
            backend.fire(f"more-{number}", "aq-balige", title=title)
        await page.open(board.url)
        await page.until("return document.querySelectorAll('#alerts .alert').length === 17")
        assert await page.run(cut) == 0
        await page.until("return !document.querySelector('#alerts-more').hidden")
        sliced = """const frame = document.querySelector('#alerts').getBoundingClientRect();
            return [...document.querySelectorAll('#alerts .alert')].map((one) =>
              one.getBoundingClientRect()).filter(({ top, bottom }) =>
              top < frame.bottom - 1 && bottom > frame.bottom + 1).length"""
        assert await page.run(sliced) == 0
        await keep(page, tmp_path, "long-many")
        await page.click("#alerts-more")
        rows = "document.querySelectorAll('#all[open] .alert')"
        await page.until(f"return {rows}.length === 17")
        await keep(page, tmp_path, "all-alerts")
        await page.until(f"return !{rows}[0].querySelector('.act-ack').hidden")
        await page.click("#all .act-ack")
        await page.write("dialog input[name=name]", "Rina")
        await page.click("#dialog button[type=submit]")
        await page.until(f"return [...{rows}].some(one => one.innerText.includes('demo: Rina'))")
        await page.click("#all form button")
        await page.until(f"return {rows}.length === 0")
        assert await page.log() == []


async def test_of_hundreds_of_places_the_map_names_the_worst_and_covers_none(
    board: Board, tmp_path: Path
) -> None:
    backend = board.scene.backend
    villages = [
        {"id": f"v{i}", "name": f"Desa nomor {i} yang namanya panjang",
         "lat": 2.2 + i // 20 * 0.018, "lon": 98.95 + i % 20 * 0.02} for i in range(400)
    ]  # fmt: skip
    routers = [{"id": f"r{i}", "kind": "router", "site": f"v{i}"} for i in range(400)]
    backend.inventory = inventory_file.from_data({"sites": villages, "devices": routers})
    backend.time_ns = now_ns()
    for i in range(400):
        backend.observe("device", f"r{i}", {"up": int(i % 40 != 7)}, probe="snmp")
    backend.current.clear()
    await board.app.state.feed.beat()  # type: ignore[attr-defined]  # else the page starts twice
    named = "[...document.querySelectorAll('.site')].filter(one => one.children[1].textContent)"
    async with browser(1920, 1080) as page:
        await page.open(board.url)
        await page.until("return document.querySelectorAll('.site').length === 400")
        assert await page.run(TOUCHING) == []
        states = await page.run(f"return {named}.map(one => one.dataset.state)")
        assert states.count("down") == 10
        nameless = ".site[data-site=v210] .sign"
        said = "return document.querySelector('.map-said').textContent"
        assert await page.run(said) == ""
        await page.point(nameless)
        await page.until(f"{said}.startsWith('Desa nomor 210 yang')", 5)
        await keep(page, tmp_path, "villages")
        seen = "return document.querySelector('.map').viewBox.baseVal.width"
        whole = await page.run(seen)
        await page.click(nameless)
        assert await page.run(seen) == pytest.approx(whole / 3, abs=0.1)
        assert await page.run(TOUCHING) == []
        assert await page.run(f"return {named}.length") >= 3
        await keep(page, tmp_path, "villages-closer")
        await page.click(nameless)
        assert await page.run(seen) == whole
        press = "document.querySelector('.map').dispatchEvent(new KeyboardEvent('keydown', {key}))"
        at = "return document.querySelector('.site.pointed')?.dataset.site"
        for key, place in (("ArrowUp", "v7"), ("ArrowRight", "v8"), ("ArrowUp", "v28")):
            assert await page.run(f"const key = '{key}'; {press}; {at}") == place
        assert (await page.run(said)).startswith("Desa nomor 28 yang")
        for key, wide in (("Enter", whole / 3), ("Escape", whole)):
            assert await page.run(f"const key = '{key}'; {press}; {seen}") == pytest.approx(
                wide, 1e-3
            )
        assert await page.log() == []


async def test_one_point_has_an_axis_of_minutes_and_no_label_twice(board: Board) -> None:
    async with browser(1920, 1080) as page:
        await page.open(board.url)
        await page.until(CHARTS)
        labels = await page.run(
            """const { axisTexts, timeRange } = await import('/static/charts.js');
            return [axisTexts([3.85, 3.9, 3.95], 'V', 0.05), axisTexts([0, 5e8, 1e9], 'bit/s', 5e8),
              axisTexts([0, 50], '%', 50), timeRange(1000, 1000)]"""
        )
        assert labels == [
            ["3,85", "3,90", "3,95"], ["0,0", "0,5 G", "1,0 G"], ["0", "50"], [940, 1060],
        ]  # fmt: skip


async def test_a_value_and_its_limit_have_the_decimals_that_tell_them_apart(board: Board) -> None:
    async with browser(1280, 900) as page:
        await page.open(board.url + "/masuk?lang=en")
        said = await page.run(
            """const { compared } = await import('/static/text.js');
            return [[905.35, 904.6, 'm'], [905.35, 905, 'm'], [905, 905, 'm'], [904.2, 904.6, 'm'],
              [55.44, 55.4, 'µg/m³'], [120, 100, 'ms'], [93e6, 90e6, 'bit/s'],
              [90.01e6, 90e6, 'bit/s'], [65, 60, 's'], [3700, 3600, 's'], [5, 5.00001, 'V'],
            ].map((one) => compared(...one).join(' / '))"""
        )
    assert said == [
        "905.4 m / 904.6 m", "905.4 m / 905.0 m", "905 m / 905 m", "904.2 m / 904.6 m",
        "55.44 µg/m³ / 55.40 µg/m³", "120 ms / 100 ms", "93.0 Mbit/s / 90.0 Mbit/s",
        "90.01 Mbit/s / 90.00 Mbit/s", "65 s / 60 s", "1 h 1 min / 1 h", "5 V / 5.00001 V",
    ]  # fmt: skip


async def test_a_wrong_token_is_answered_in_the_reader_s_language(board: Board) -> None:
    async with browser(1280, 900) as page:
        for language, word in (("id", "minta token baru"), ("en", "ask the hub's keeper")):
            await page.open(f"{board.url}/masuk?lang={language}")
            await page.write("#token", "toba_wrong")
            await page.click("button.strong")
            said = "document.querySelector('#error').innerText"
            await page.until(f"return {said}.length > 0")
            assert word in await page.run(f"return {said}")


async def test_what_was_found_is_shown_with_a_file_that_can_be_kept(
    board: Board, tmp_path: Path
) -> None:
    at = now_ns()
    backend = board.scene.backend
    facts = {"site": "porsea", "name": "<b>Udara</b>"}
    backend.proposed.append(Proposed("mqtt", "aq-baru", facts, at, at))
    backend.edges += [
        Edge("r-camat-porsea", "ether1", "dlh", "lldp", "r-dlh", False, at),
        Edge("r-dlh", "ether1", "10.9.9.9", "cdp", "", False, at),
    ]
    async with browser(1920, 1080) as page:
        await page.open(board.url + "/?lang=en")
        await page.until(ALERTS)
        await page.click("[data-tab=found]")
        await page.until("return document.querySelectorAll('#things .event').length === 3")
        said = await page.run("return document.querySelector('#things').innerText")
        assert "New device: aq-baru" in said
        assert "Unknown device behind ether1 of" in said
        kept = await page.run("return document.querySelector('.found-file pre').textContent")
        assert "- id: aq-baru\n    name: <b>Udara</b>\n    kind: sensor\n    site: porsea\n" in kept
        assert "toba-hub discover 10.9.9.9" in kept
        assert await fits(page)
        await page.click("#things .event button")
        await page.run("document.querySelector('#dialog textarea').value = 'punya kampus'")
        await keep(page, tmp_path, "dismiss")
        await page.click("#dialog button[type=submit]")
        await page.until("return document.querySelector('.found-dismissed summary')")
        assert (backend.acts[-1]["kind"], backend.acts[-1]["key"]) == ("dismiss", "device:aq-baru")
        left = "return document.querySelectorAll('#things > section .event').length"
        assert await page.run(left) == 2
        assert "aq-baru" not in await page.run(
            "return document.querySelector('.found-file pre').textContent"
        )
        await page.click(".found-dismissed summary")
        said = await page.run("return document.querySelector('.found-dismissed').innerText")
        assert "Dismissed (1)" in said
        assert "“punya kampus”" in said
        assert await fits(page)
        await keep(page, tmp_path, "found")
        await page.click(".found-dismissed button")
        await page.click("#dialog button[type=submit]")
        await page.until(f"{left} === 3")
        await page.resize(390, 844)
        assert await fits(page)
        backend.proposed.clear()
        backend.edges.clear()
        await page.click("[data-tab=found]")
        await page.until(
            "return document.querySelector('#things').innerText.startsWith('The inventory has all')"
        )
        assert await page.log() == []
