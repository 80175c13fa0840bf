"""Random passwords for docker compose, in `.env` (mode 0600). What is there already is kept."""

from __future__ import annotations

import re
from pathlib import Path
from secrets import token_urlsafe

from hub import wholefile

NAMES = {
    "INFLUX_ADMIN_PASSWORD": "InfluxDB: the user `admin` on http://127.0.0.1:8086",
    "INFLUX_TOKEN": "InfluxDB: the operator token, which the hub writes with",
    "GRAFANA_INFLUX_PASSWORD": "InfluxDB: the user `grafana`, who can only read the bucket",
    "GRAFANA_ADMIN_PASSWORD": "Grafana: the user `admin` on http://127.0.0.1:3000",
    "MQTT_HUB_PASSWORD": "mosquitto: the user `hub`",
}
"""Every secret of docker-compose.yml and what it opens."""

MADE = "SECRETS_MADE"
"""Without it in .env, compose stops and says what to run."""

_LINE = re.compile(r"^\s*(?:export\s+)?([A-Z_]+)\s*=\s*(.*?)\s*$")


def write(folder: Path) -> list[str]:
    """Complete `folder/.env`; one line for people about each secret, never its value.

    Raises OSError when the file can't be written.
    """
    path = folder / ".env"
    text = path.read_text("utf-8") if path.exists() else ""
    have = {found[1] for line in text.splitlines() if (found := _LINE.match(line)) and found[2]}
    missing = [name for name in NAMES if name not in have]
    lines = [f"# {NAMES[name]}\n{name}={token_urlsafe(24)}\n" for name in missing]
    if MADE not in have:
        lines.append(f"# docker compose looks for this.\n{MADE}=yes\n")
    if lines:
        start = text if not text or text.endswith("\n") else text + "\n"
        wholefile.replace(path, (start + "".join(lines)).encode())
    path.chmod(0o600)
    return [
        f"{path}: {'made' if name in missing else 'kept'} {name} ({about})"
        for name, about in NAMES.items()
    ]
