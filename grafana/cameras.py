"""The cameras: which one is out, which one is frozen, and since when."""

from __future__ import annotations

from grafana.board import (
    Placed,
    Section,
    active_alerts,
    alarms,
    assemble,
    availability,
    beside,
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
from grafana.sdk import md, stat

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
            alarms(ALERTS),
        ],
    )


def _summary() -> list[Placed]:
    return [
        *beside(
            (4, 4),
            active_alerts(ALERTS),
            _count("Daring", "online: heartbeat and picture are fine", 2, [(None, GREEN)]),
            _count(
                "Terganggu", "degraded: alive, but slow, frozen or off its clock", 1, _bad(ORANGE)
            ),
            _count("Luring", "offline: no heartbeat and no answer", 0, _bad(RED)),
            stats(
                "Gambar beku",
                "Chosen cameras whose picture stands still, past 15 minutes.",
                [ask(select('sum("frozen")', newest("frozen", "camera", CHOSEN)))],
                steps=_bad(ORANGE),
                since=RECENT,
            ),
            availability(
                "Share of the chosen cameras' reports in the chosen range that said up.",
                "camera",
                CHOSEN,
            ),
        ),
    ]


def _count(title: str, meaning: str, state: int, steps: Steps) -> stat.Panel:
    query = select('count("state")', newest("state", "camera", CHOSEN), f'"state" = {state}')
    why = f"Chosen cameras that are {meaning}; past 15 minutes."
    return stats(title, why, [ask(query, title)], steps=steps, since=RECENT).no_value("0")


def _bad(color: str) -> Steps:
    return [(None, GREEN), (1, color)]


def _states() -> list[Placed]:
    return [
        *beside(
            (24, 10),
            timeline(
                "Keadaan kamera",
                "Each camera over time: online, degraded or offline; the worst of each bucket.",
                [ask(windowed('min("state")', "camera", CHOSEN), "$tag_device")],
                CAMERA_STATE,
            ),
        ),
        *beside(
            (12, 9),
            bars(
                "Ketersediaan per kamera",
                "Share of each camera's reports in the chosen range that said up.",
                [ask(select('mean("up") * 100', "camera", CHOSEN, by=("device",)), "$tag_device")],
                unit="percent",
                steps=AVAILABLE,
                high=100,
                decimals=1,
            ),
            timeline(
                "RTSP menjawab",
                "Whether each camera answered RTSP OPTIONS; the worst of each bucket.",
                [ask(windowed('min("rtsp_ok")', "camera", CHOSEN), "$tag_device")],
                UP,
            ),
            timeline(
                "Aliran video",
                "Whether each camera's RTSP DESCRIBE gave a video; the worst of each bucket.",
                [ask(windowed('min("stream_ok")', "camera", CHOSEN), "$tag_device")],
                UP,
            ),
            timeline(
                "Aliran yang lewat (RTP)",
                "Whether a stream of the camera passed by on its way to the recorder, where the hub"
                " hears it; the worst of each bucket.",
                [ask(windowed('min("flowing")', "rtp", CHOSEN), "$tag_device")],
                UP,
            ),
            lines(
                "Ketajaman gambar",
                "Edges of each camera's snapshot by its contrast; under 0.1 it is blurred.",
                [_line("sharpness")],
                unit="short",
            ),
        ),
    ]


def _health() -> list[Placed]:
    return beside(
        (12, 8),
        lines(
            "Umur detak (heartbeat)",
            "Seconds since each camera's last heartbeat.",
            [_line("heartbeat_age_s", "max")],
            unit="s",
            steps=[(None, GREEN), (60, YELLOW), (180, RED)],
        ),
        lines(
            "Laju gambar",
            "Frames per second that each camera says it delivers.",
            [_line("fps")],
            unit="suffix: fps",
        ),
        lines(
            "Waktu jawab RTSP",
            "Time each camera needed to answer RTSP OPTIONS.",
            [_line("rtsp_ms")],
            unit="ms",
            steps=[(None, GREEN), (1000, YELLOW), (3000, RED)],
        ),
        lines(
            "Selisih jam",
            "How far each camera's clock is ahead (+) or behind (−); recordings of a camera"
            " that is minutes off are poor evidence.",
            [_line("clock_drift_s")],
            unit="s",
            low=None,
        ),
    )


def _line(field: str, how: str = "mean") -> Given:
    if how == "mean":
        return ask(mean(field, "camera", CHOSEN), "$tag_device")
    return ask(windowed(f'{how}("{field}")', "camera", CHOSEN), "$tag_device")
