"""The cameras: which one is out, which one is frozen, and since when."""

from __future__ import annotations

from grafana.board import (
    Placed,
    Section,
    active_alerts,
    alert_table,
    alert_timeline,
    assemble,
    values,
    variable,
)
from grafana.influxql import Given, ask, match, mean, newest, select, windowed
from grafana.panels import (
    AVAILABLE,
    CAMERA_STATE,
    GREEN,
    ORANGE,
    RED,
    UP,
    YELLOW,
    Steps,
    bars,
    lines,
    stats,
    timeline,
)
from grafana.sdk import md

CHOSEN = match(site="site", device="camera")
ALERTS = f"\"kind\" = 'camera' AND {match(device='camera')}"
RECENT = "15m"


def build() -> md.Dashboard:
    return assemble(
        "toba-cameras",
        "Kamera CCTV",
        "State, availability and health of the cameras.",
        tag="cameras",
        variables=[
            variable("site", "Lokasi", "Site (kecamatan).", values("site", "camera")),
            variable(
                "camera",
                "Kamera",
                "Camera of the chosen sites.",
                values("device", "camera", match(site="site")),
            ),
        ],
        alerts_where=ALERTS,
        sections=[
            Section("Ringkasan", _summary()),
            Section("Keadaan", _states()),
            Section("Kesehatan", _health()),
            Section("Alarm", [(alert_table(ALERTS), 24, 8), (alert_timeline(ALERTS), 24, 7)]),
        ],
    )


def _summary() -> list[Placed]:
    return [
        (active_alerts(ALERTS), 4, 4),
        _count("Daring", "online: heartbeat and picture are fine", 2, [(None, GREEN)]),
        _count("Terganggu", "degraded: alive, but slow, frozen or off its clock", 1, _bad(ORANGE)),
        _count("Luring", "offline: no heartbeat and no answer", 0, _bad(RED)),
        (
            stats(
                "Gambar beku",
                "Chosen cameras whose picture stands still, past 15 minutes.",
                [ask(select('sum("frozen")', newest("frozen", "camera", CHOSEN)))],
                steps=_bad(ORANGE),
                since=RECENT,
            ),
            4,
            4,
        ),
        (
            stats(
                "Ketersediaan",
                "Share of the chosen cameras' reports in the chosen range that said up.",
                [ask(select('mean("up") * 100', "camera", CHOSEN))],
                unit="percent",
                steps=AVAILABLE,
                decimals=2,
            ),
            4,
            4,
        ),
    ]


def _count(title: str, meaning: str, state: int, steps: Steps) -> Placed:
    query = select('count("state")', newest("state", "camera", CHOSEN), f'"state" = {state}')
    why = f"Chosen cameras that are {meaning}; past 15 minutes."
    return stats(title, why, [ask(query, title)], steps=steps, since=RECENT).no_value("0"), 4, 4


def _bad(color: str) -> Steps:
    return [(None, GREEN), (1, color)]


def _states() -> list[Placed]:
    return [
        (
            timeline(
                "Keadaan kamera",
                "Each camera over time: online, degraded or offline; the worst of each bucket.",
                [ask(windowed('min("state")', "camera", CHOSEN), "$tag_device")],
                CAMERA_STATE,
            ),
            24,
            10,
        ),
        (
            bars(
                "Ketersediaan per kamera",
                "Share of each camera's reports in the chosen range that said up.",
                [
                    ask(
                        select('mean("up") * 100', "camera", CHOSEN, by=("device",)),
                        "$tag_device",
                    )
                ],
                unit="percent",
                steps=AVAILABLE,
                high=100,
                decimals=1,
            ),
            12,
            9,
        ),
        (
            timeline(
                "RTSP menjawab",
                "Whether each camera answered RTSP OPTIONS; the worst of each bucket.",
                [ask(windowed('min("rtsp_ok")', "camera", CHOSEN), "$tag_device")],
                UP,
            ),
            12,
            9,
        ),
        (
            timeline(
                "Aliran video",
                "Whether each camera's RTSP DESCRIBE gave a video; the worst of each bucket.",
                [ask(windowed('min("stream_ok")', "camera", CHOSEN), "$tag_device")],
                UP,
            ),
            12,
            9,
        ),
        (
            timeline(
                "Aliran yang lewat (RTP)",
                "Whether a stream of the camera passed by on its way to the recorder, where the hub"
                " hears it; the worst of each bucket.",
                [ask(windowed('min("flowing")', "rtp", CHOSEN), "$tag_device")],
                UP,
            ),
            12,
            9,
        ),
        (
            lines(
                "Ketajaman gambar",
                "Edges of each camera's snapshot by its contrast; under 0.1 it is blurred.",
                [_line("sharpness")],
                unit="short",
            ),
            12,
            9,
        ),
    ]


def _health() -> list[Placed]:
    return [
        (
            lines(
                "Umur detak (heartbeat)",
                "Seconds since each camera's last heartbeat.",
                [_line("heartbeat_age_s", "max")],
                unit="s",
                steps=[(None, GREEN), (60, YELLOW), (180, RED)],
            ),
            12,
            8,
        ),
        (
            lines(
                "Laju gambar",
                "Frames per second that each camera says it delivers.",
                [_line("fps")],
                unit="suffix: fps",
            ),
            12,
            8,
        ),
        (
            lines(
                "Waktu jawab RTSP",
                "Time each camera needed to answer RTSP OPTIONS.",
                [_line("rtsp_ms")],
                unit="ms",
                steps=[(None, GREEN), (1000, YELLOW), (3000, RED)],
            ),
            12,
            8,
        ),
        (
            lines(
                "Selisih jam",
                "How far each camera's clock is ahead (+) or behind (−); recordings of a camera"
                " that is minutes off are poor evidence.",
                [_line("clock_drift_s")],
                unit="s",
                low=None,
            ),
            12,
            8,
        ),
    ]


def _line(field: str, how: str = "mean") -> Given:
    if how == "mean":
        return ask(mean(field, "camera", CHOSEN), "$tag_device")
    return ask(windowed(f'{how}("{field}")', "camera", CHOSEN), "$tag_device")
