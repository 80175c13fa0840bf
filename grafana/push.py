"""Bring the dashboards into an existing Grafana: first the difference, then a yes, then the push.

    grafana = Grafana("https://grafana.example", token="…")
    planned = plan(grafana, source=Source(url="http://influxdb:8086", password="…"))
    for line in planned.lines(): print(line)
    if yes: apply(grafana, planned)

Everything is named by uid, so that pushing twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from grafana.build import load
from grafana.client import Grafana, PushError
from grafana.diff import differences
from grafana.names import DATABASE, DATASOURCE_NAME, DATASOURCE_UID, FOLDER_TITLE, FOLDER_UID

__all__ = ["Change", "Grafana", "Plan", "PushError", "Source", "apply", "plan", "push"]

State = Literal["new", "changed", "same", "locked"]


@dataclass(frozen=True, slots=True)
class Source:
    """The InfluxDB that Grafana shall read: 1.x and 2.x by user, 2.x and 3 by token."""

    url: str
    database: str = DATABASE
    user: str = "grafana"
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    """Wins over user and password."""

    def body(self) -> dict[str, Any]:
        """The data source as Grafana's API takes it."""
        settings: dict[str, Any] = {
            "version": "InfluxQL",
            "dbName": self.database,
            "httpMode": "POST",
            "timeInterval": "10s",
            "maxSeries": 2000,
        }
        body: dict[str, Any] = {
            "uid": DATASOURCE_UID,
            "name": DATASOURCE_NAME,
            "type": "influxdb",
            "access": "proxy",
            "url": self.url,
            "jsonData": settings,
        }
        if self.token:
            settings["httpHeaderName1"] = "Authorization"
            body["secureJsonData"] = {"httpHeaderValue1": f"Token {self.token}"}
        elif self.password:
            body |= {"user": self.user, "secureJsonData": {"password": self.password}}
        return body


@dataclass(frozen=True, slots=True)
class Change:
    """One thing in Grafana and what pushing does to it. `locked`: provisioned from files there."""

    what: Literal["folder", "data source", "dashboard"]
    uid: str
    title: str
    state: State
    details: tuple[str, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def lines(self) -> list[str]:
        first = f"{self.state:8} {self.what} {self.title} ({self.uid})"
        return [first, *(f"           {detail}" for detail in self.details)]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a push would do, in the order it does it."""

    changes: tuple[Change, ...]

    @property
    def pending(self) -> tuple[Change, ...]:
        return tuple(each for each in self.changes if each.state in ("new", "changed"))

    def lines(self) -> list[str]:
        """For a person to read before saying yes."""
        return [line for change in self.changes for line in change.lines()]


def plan(
    grafana: Grafana,
    boards: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    source: Source | None = None,
    folder_uid: str = FOLDER_UID,
    folder_title: str = FOLDER_TITLE,
) -> Plan:
    """Compare without changing anything. `boards` defaults to the committed dashboards.

    Without `source` the data source must be there already. Raises `PushError`.
    """
    changes = [_plan_source(grafana, source), _plan_folder(grafana, folder_uid, folder_title)]
    for board in (load() if boards is None else boards).values():
        changes.append(_plan_board(grafana, board, folder_uid))
    return Plan(tuple(changes))


def apply(grafana: Grafana, planned: Plan) -> list[str]:
    """Do what the plan says; one line for each thing done. Raises `PushError` at the first that
    fails, the rest stays as it was; pushing again goes on from there."""
    done = []
    for change in planned.pending:
        _APPLY[change.what](grafana, change)
        done.append(f"{'made' if change.state == 'new' else 'saved'} {change.what} {change.title}")
    return done


def push(
    grafana: Grafana,
    *,
    source: Source | None = None,
    confirm: Callable[[Plan], bool],
    folder_uid: str = FOLDER_UID,
    folder_title: str = FOLDER_TITLE,
) -> Sequence[str]:
    """Plan, ask, apply; what was done. Nothing is asked when nothing differs."""
    planned = plan(grafana, source=source, folder_uid=folder_uid, folder_title=folder_title)
    if not planned.pending or not confirm(planned):
        return []
    return apply(grafana, planned)


def source_health(grafana: Grafana) -> str:
    """What Grafana says when it tries the data source: "" if it works, else the reason."""
    path = f"/datasources/uid/{DATASOURCE_UID}/health"
    try:
        answer = grafana.get(path)
    except PushError as error:
        return str(error)
    return "" if answer.get("status") == "OK" else str(answer.get("message", "no reason given"))


def _plan_source(grafana: Grafana, source: Source | None) -> Change:
    path = f"/datasources/uid/{DATASOURCE_UID}"
    theirs = grafana.maybe(lambda: grafana.face.api.GET(path), f"GET {path}")
    if theirs is None and source is None:
        raise PushError(
            f"this Grafana has no data source with uid {DATASOURCE_UID}, and the settings name no"
            " InfluxDB: set store.kind to influxdb and store.url, or make the data source by hand"
        )
    if source is None or (theirs and theirs.get("readOnly")):
        state: State = "locked" if theirs and theirs.get("readOnly") else "same"
        title = str((theirs or {}).get("name", DATASOURCE_NAME))
        return Change("data source", DATASOURCE_UID, title, state)
    body = source.body()
    if theirs is None:
        return Change("data source", DATASOURCE_UID, source.url, "new", body=body)
    visible = {key: value for key, value in body.items() if key != "secureJsonData"}
    details = [key for key in visible if differences({key: visible[key]}, theirs)]
    if "version" in theirs:
        body["version"] = theirs["version"]
    state = "changed" if details else "same"
    return Change("data source", DATASOURCE_UID, source.url, state, tuple(details), body)


def _plan_folder(grafana: Grafana, uid: str, title: str) -> Change:
    theirs = grafana.maybe(lambda: grafana.face.folder.get_folder(uid), f"GET /folders/{uid}")
    # A folder that somebody renamed keeps its name: the uid is what counts.
    name = title if theirs is None else str(theirs.get("title", title))
    return Change("folder", uid, name, "new" if theirs is None else "same")


def _plan_board(grafana: Grafana, board: Mapping[str, Any], folder_uid: str) -> Change:
    uid, title = str(board["uid"]), str(board["title"])
    theirs = grafana.maybe(
        lambda: grafana.face.dashboard.get_dashboard(uid), f"GET /dashboards/uid/{uid}"
    )
    body: dict[str, Any] = {
        "dashboard": {**board, "id": None},
        "folderUid": folder_uid,
        "message": "toba-hub grafana push",
        "overwrite": False,
    }
    if theirs is None:
        return Change("dashboard", uid, title, "new", body=body)
    meta = theirs.get("meta", {})
    details = differences(board, theirs["dashboard"])
    if meta.get("folderUid", folder_uid) != folder_uid:
        details.insert(0, f"moved here from folder {meta.get('folderTitle') or 'General'}")
    if meta.get("provisioned"):
        return Change("dashboard", uid, title, "locked", tuple(details))
    # Grafana refuses the save (412) if somebody else saved after this look.
    body["dashboard"]["version"] = theirs["dashboard"].get("version", meta.get("version", 0))
    return Change(
        "dashboard", uid, title, "changed" if details else "same", tuple(details), body=body
    )


def _apply_source(grafana: Grafana, change: Change) -> None:
    body = dict(change.body)
    if change.state == "new":
        grafana.post("/datasources", body)
    else:
        grafana.put(f"/datasources/uid/{change.uid}", body)


def _apply_folder(grafana: Grafana, change: Change) -> None:
    grafana.call(
        lambda: grafana.face.folder.create_folder(change.title, change.uid), "POST /folders"
    )


def _apply_board(grafana: Grafana, change: Change) -> None:
    body = dict(change.body)
    grafana.call(
        lambda: grafana.face.dashboard.update_dashboard(body),
        f"POST /dashboards/db for {change.title}",
    )


_APPLY: Mapping[str, Callable[[Grafana, Change], None]] = {
    "data source": _apply_source,
    "folder": _apply_folder,
    "dashboard": _apply_board,
}
