"""Devices of the caller: an installation of the app belongs to one user and one session at a time."""

import re
from dataclasses import asdict
from datetime import datetime
from typing import Literal
from uuid import UUID

from flask import current_app
from pydantic import Field, ValidationInfo, field_validator
from werkzeug.local import LocalProxy

from services.notify import store
from services.notify.fields import AppId, Locale, OneLine, TimeZone
from shared.errors import Forbidden, NotFound, Unauthorized
from shared.postgres import Database
from shared.routing import Answer, Blueprint, Body, Path, Query, caller, user

bp = Blueprint("devices", __name__, url_prefix="/notify/v1")
db: Database = LocalProxy(lambda: current_app.extensions["database"])  # type: ignore[assignment]

MAX_DEVICES = 50  # of one user; the one that registered longest ago makes room
TOKEN = {
    "android": re.compile(r"[A-Za-z0-9_:%.=/+-]{20,2000}"),
    "ios": re.compile(r"([0-9a-f]{2}){32,100}"),
}


class DeviceRegistration(Body):
    """What an installation says of itself, at each start of the app or when anything of it changes."""

    platform: Literal["android", "ios"]
    token: str = Field(max_length=2000, description="registration token of FCM, or device token of APNs in hex")
    app_id: AppId | None = Field(None, description="bundle id (iOS) or package name (Android)")
    environment: Literal["production", "sandbox"] = Field("production", description="APNs environment of the build")
    locale: Locale | None = None
    timezone: TimeZone | None = None
    app_version: OneLine | None = None
    name: OneLine | None = Field(None, description="what the owner calls it", examples=["Alice's phone"])

    @field_validator("token")
    @classmethod
    def _token_of_platform(cls, token: str, info: ValidationInfo) -> str:
        platform = info.data.get("platform")
        token = token.lower() if platform == "ios" else token
        if platform and not TOKEN[platform].fullmatch(token):
            raise ValueError(f"This is not a push token of {platform}.")
        return token


class DeviceAnswer(Answer):
    """A device without its push token, which is nobody's to read."""

    id: UUID
    platform: str
    app_id: str | None
    environment: str
    locale: str | None
    timezone: str | None
    app_version: str | None
    name: str | None
    is_current: bool = Field(description="registered by the session that asks")
    created_at: datetime
    registered_at: datetime


class DeviceList(Answer):
    items: list[DeviceAnswer]
    next_cursor: str | None


class DevicePath(Path):
    device_id: UUID


class DeviceQuery(Query):
    limit: int = Field(50, ge=1, le=100)
    cursor: UUID | None = Field(None, description="next_cursor of the page before")


@bp.put("/devices/<device_id>")
@user
def put_device(path: DevicePath, body: DeviceRegistration) -> tuple[DeviceAnswer, int]:
    """Register or refresh. The same installation or push token under another user moves to the caller."""
    claims = caller()
    if claims.session_id is None or claims.role == "service":
        raise Forbidden("A device is registered by a person's session.", code="session_required")
    _require_the_person()
    fields = {**body.model_dump(), "id": path.device_id, "user_id": claims.user_id, "session_id": claims.session_id}
    with db.transaction() as conn:
        store.lock_registration(conn, claims.session_id, path.device_id, f"{body.platform} {body.token}")
        if store.is_session_revoked(conn, claims.session_id):
            raise Unauthorized("This session has ended.", code="session_revoked")
        store.delete_devices_with_token(conn, body.platform, body.token, except_id=path.device_id)
        device, is_new = store.put_device(conn, fields)
        store.delete_surplus_devices(conn, claims.user_id, keep=MAX_DEVICES)
    return _answer(device), 201 if is_new else 200


@bp.get("/devices")
@user
def list_devices(query: DeviceQuery) -> DeviceList:
    """The caller's devices, ordered by id."""
    with db.transaction() as conn:
        rows = store.list_devices(conn, caller().user_id, after=query.cursor, limit=query.limit + 1)
    page = rows[: query.limit]
    next_cursor = str(page[-1].id) if len(rows) > query.limit else None
    return DeviceList(items=[_answer(device) for device in page], next_cursor=next_cursor)


@bp.delete("/devices/<device_id>")
@user
def delete_device(path: DevicePath) -> None:
    """Stop pushes to one of the caller's devices."""
    _require_the_person()
    with db.transaction() as conn:
        if not store.delete_device(conn, path.device_id, caller().user_id):
            raise NotFound("You have no such device.")


def _require_the_person() -> None:
    """An administrator who acts for somebody neither gets their pushes nor takes them from their devices."""
    if caller().act is not None:
        raise Forbidden("Who acts for somebody else may not do this.", code="impersonated")


def _answer(device: store.Device) -> DeviceAnswer:
    return DeviceAnswer(**asdict(device), is_current=device.session_id == caller().session_id)
