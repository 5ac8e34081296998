"""A small service made of what is shared and nothing else: `gunicorn "tests.shared.service:create_app()"` serves it."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path as File
from typing import Any, Literal
from uuid import UUID

from flask import Flask, Response
from pydantic import Field

import shared.app
from shared.ids import new_id
from shared.routing import (
    Answer,
    Blueprint,
    Body,
    Path,
    Query,
    caller,
    is_not_modified,
    not_modified,
    public,
    require_match,
    service,
    set_etag,
    user,
)
from shared.settings import Settings, load

SECRET = "postgresql://things:hunter2@db/things"


class Owner(Body):
    name: str


class Thing(Body):
    name: str = Field(min_length=1, max_length=20)
    count: int = Field(ge=0, le=1000)
    weight: float | None = None
    kind: Literal["round", "square"] = "round"
    made_at: datetime | None = None
    parts: list[Owner] = Field(default=[])
    extra: dict[str, Any] = Field(default={})


class Made(Answer):
    id: UUID
    name: str
    made_at: datetime | None


class Listing(Query):
    limit: int = Field(20, ge=1, le=100)
    tag: list[str] = Field(default=[])
    word: str = ""


class Listed(Answer):
    limit: int
    tag: list[str]
    word: str


class ThingPath(Path):
    thing_id: UUID


class Named(Answer):
    name: str


bp = Blueprint("things", __name__, url_prefix="/things/v1")


@bp.post("/things", status=201)
@public
def make_thing(body: Thing) -> Made:
    return Made(id=new_id(), name=body.name, made_at=body.made_at)


@bp.get("/things")
@public
def list_things(query: Listing) -> Listed:
    return Listed(**query.model_dump())


@bp.get("/things/<thing_id>")
@public
def get_thing(path: ThingPath) -> Named | Response:
    return not_modified() if is_not_modified(7) else Named(name=str(path.thing_id))


@bp.put("/things/<thing_id>")
@public
def put_thing(path: ThingPath, body: Owner) -> Named:
    """An id that ends in 0 is of nothing stored; every other is at version 7. If-Match is a must."""
    require_match(None if str(path.thing_id).endswith("0") else 7, required=True)
    set_etag(8)
    return Named(name=body.name)


@bp.get("/names/<name>")
@public
def get_name(path: Named) -> Named:
    return path


@bp.get("/me")
@user
def get_me() -> Named:
    return Named(name=str(caller().user_id))


@bp.get("/careful")
@user(aal="aal2")
def get_careful() -> None:
    return None


@bp.post("/letters")
@service(scope="letters:send")
def send_letter(body: Owner) -> None:
    return None


@bp.get("/broken")
@public
def break_down() -> None:
    raise RuntimeError(f"no connection to {SECRET}")


def create_app(settings: Settings | None = None, ready: dict[str, Callable[[], None]] | None = None) -> Flask:
    """Ready while the file named by NOT_READY_FILE is not there, unless `ready` says otherwise."""
    app: Flask = shared.app.create_app(
        "things",
        settings or load(Settings),
        title="Things",
        blueprints=[bp],
        ready={"storage": lambda: None, "queue": _check_queue} if ready is None else ready,
    )
    return app


def _check_queue() -> None:
    if File(os.environ.get("NOT_READY_FILE", "/nonexistent")).exists():
        raise ConnectionError(SECRET)
