"""Messages: a sender's server asks for one; it, and the person it went to, can see what became of it."""

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response, after_this_request, current_app, request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from werkzeug.local import LocalProxy

from services.notify import store
from services.notify.contracts import MessageAccepted
from services.notify.fields import CollapseKey, DataKey, Locale
from shared import outbox
from shared.errors import FieldError, NotFound, UnprocessableContent, ValidationFailed
from shared.ids import new_id
from shared.postgres import Connection, Database
from shared.routing import Answer, Blueprint, Body, Path, Query, caller, header_problem, service, user

bp = Blueprint("messages", __name__, url_prefix="/notify/v1")
db: Database = LocalProxy(lambda: current_app.extensions["database"])  # type: ignore[assignment]

SEND = "messages:send"
MAX_PUSH_BYTES = 3_000  # of title, body and data as JSON: both services take 4,096 with all that stands around them
MAX_TTL_S = 28 * 24 * 3600  # what FCM allows
MAX_DELIVERIES = 500
KEY = re.compile(r"[\x21-\x7e]{1,255}")
# Names that FCM or APNs keep for themselves, and the one under which the app finds our id.
RESERVED_DATA = re.compile(r"from|message_type|message_id|notification|collapse_key|aps|google.*|gcm.*", re.IGNORECASE)


class To(BaseModel):
    """Whom it is for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_id: UUID


class NewMessage(Body):
    """What to say, to whom, and by which ways."""

    to: To
    channels: list[Literal["push", "email"]] = Field(["push"], min_length=1, max_length=2)
    title: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    body: str = Field(min_length=1, max_length=2_000)
    data: dict[DataKey, Annotated[str, StringConstraints(max_length=1_000)]] = Field({}, max_length=30)
    priority: Literal["high", "normal"] = Field("high", description="normal may wait for a sleeping phone")
    collapse_key: CollapseKey | None = Field(None, description="a later message with this key replaces an earlier one")
    ttl_s: int = Field(7 * 24 * 3600, ge=1, le=MAX_TTL_S, description="after this it is not delivered any more")
    locale: Locale | None = Field(None, description="else that of the device or the person")

    @field_validator("channels")
    @classmethod
    def _each_once(cls, channels: list[str]) -> list[str]:
        if len(set(channels)) != len(channels):
            raise ValueError("A channel is named twice.")
        return channels

    @field_validator("data")
    @classmethod
    def _no_reserved_names(cls, data: dict[str, str]) -> dict[str, str]:
        reserved = [name for name in data if RESERVED_DATA.fullmatch(name)]
        if reserved:
            raise ValueError(f"{reserved[0]} is a reserved name.")
        return data


class AcceptedMessage(Answer):
    id: UUID
    status: Literal["accepted"] = "accepted"
    created_at: datetime


class MessageSummary(Answer):
    id: UUID
    user_id: UUID | None
    channels: list[str]
    template: str
    title: str | None
    body: str | None
    data: dict[str, str]
    status: Literal["accepted", "sending", "finished"]
    created_at: datetime
    expires_at: datetime


class DeliveryAnswer(Answer):
    """One way of a message: through fcm or apns to a device, or by email."""

    id: UUID
    channel: str
    device_id: UUID | None
    state: str = Field(description="queued, sending, retrying, sent or failed")
    outcome: str | None = Field(description="what became of the last attempt", examples=["accepted", "unregistered"])
    reason: str | None = Field(description="the provider's own word for it")
    provider_id: str | None = Field(description="the id the provider gave it")
    attempts: int
    next_attempt_at: datetime | None = Field(description="only while it is retried")
    created_at: datetime
    finished_at: datetime | None


class MessageDetail(MessageSummary):
    deliveries: list[DeliveryAnswer] = Field(description=f"at most {MAX_DELIVERIES}")


class MessageList(Answer):
    items: list[MessageSummary]
    next_cursor: str | None


class MessagePath(Path):
    message_id: UUID


class MessageQuery(Query):
    limit: int = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, max_length=200, description="next_cursor of the page before")


@bp.post("/messages", status=202)
@service(scope=SEND)
def send_message(body: NewMessage) -> AcceptedMessage:
    """Take a message on: it is durable when this answers, and its deliveries follow. Honours Idempotency-Key."""
    _check_size(body)
    key, sender_id = _idempotency_key(), caller().user_id
    with db.transaction() as conn:
        message = _seen_before(conn, sender_id, key, body) if key else None
        if message is None:
            message = _accept(conn, sender_id, body)
            if key:
                store.update_key(conn, sender_id, key, message.id)
    _set_location(message.id)
    return AcceptedMessage(id=message.id, created_at=message.created_at)


@bp.get("/messages")
@user
def list_messages(query: MessageQuery) -> MessageList:
    """Newest first: what was sent to the caller, or, with a sender's token, what that sender sent."""
    claims = caller()
    owner = {"sender_id": claims.user_id} if claims.role == "service" else {"user_id": claims.user_id}
    before = _decode(query.cursor) if query.cursor else None
    with db.transaction() as conn:
        rows = store.list_messages(conn, **owner, before=before, limit=query.limit + 1)
    page = rows[: query.limit]
    next_cursor = _encode(page[-1].created_at, page[-1].id) if len(rows) > query.limit else None
    return MessageList(items=[MessageSummary(**_summary(row)) for row in page], next_cursor=next_cursor)


@bp.get("/messages/<message_id>")
@user
def get_message(path: MessagePath) -> MessageDetail:
    """A message and what became of each delivery, for whom it was sent to and for senders."""
    claims = caller()
    is_sender = claims.role == "service" and claims.has_scope(SEND)
    with db.transaction() as conn:
        message = store.get_message(conn, path.message_id)
        if message is None or not (is_sender or message.user_id == claims.user_id):
            raise NotFound("There is no such message.")
        rows = store.list_deliveries(conn, message.id, limit=MAX_DELIVERIES)
    return MessageDetail(**_summary(message), deliveries=[_delivery(row) for row in rows])


def _accept(conn: Connection, sender_id: UUID, body: NewMessage) -> store.Message:
    fields = body.model_dump(exclude={"to"})
    owner = {"id": new_id(), "sender_id": sender_id, "user_id": body.to.user_id, "template": "message"}
    message = store.insert_message(conn, {**fields, **owner})
    assert message is not None  # noqa: S101 — the id is new
    outbox.add(conn, MessageAccepted(message_id=message.id))
    return message


def _seen_before(conn: Connection, sender_id: UUID, key: str, body: NewMessage) -> store.Message | None:
    """The message this key has made already. The key is taken from here on; a concurrent request with it waits."""
    wanted = hashlib.sha256(body.model_dump_json().encode()).digest()
    known = store.insert_key(conn, sender_id, key, wanted)
    if known is None:
        return None
    if bytes(known.request_hash) != wanted:
        raise UnprocessableContent("This Idempotency-Key came with another body.", code="idempotency_key_reused")
    return store.get_message(conn, known.message_id) if known.message_id else None


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not KEY.fullmatch(key):
        raise header_problem("Idempotency-Key", "1 to 255 printable ASCII characters without spaces")
    return key


def _check_size(body: NewMessage) -> None:
    size = len(json.dumps([body.title, body.body, body.data], ensure_ascii=False).encode())
    if "push" in body.channels and size > MAX_PUSH_BYTES:
        detail = f"Title, body and data have {size} bytes; a push holds {MAX_PUSH_BYTES}."
        pointer = "#/data" if body.data else "#/body"
        raise ValidationFailed(detail, errors=[FieldError(detail=detail, pointer=pointer)])


def _set_location(message_id: UUID) -> None:
    @after_this_request
    def add(response: Response) -> Response:
        response.headers["Location"] = f"{bp.url_prefix}/messages/{message_id}"
        return response


def _summary(message: store.Message) -> dict[str, Any]:
    status = "finished" if message.finished_at else "sending" if message.planned_at else "accepted"
    return {**asdict(message), "status": status}


def _delivery(row: store.Delivery) -> DeliveryAnswer:
    next_attempt_at = row.next_attempt_at if row.state == "retrying" else None
    return DeliveryAnswer(**{**asdict(row), "next_attempt_at": next_attempt_at})


def _encode(created_at: datetime, message_id: UUID) -> str:
    return urlsafe_b64encode(f"{created_at.isoformat()} {message_id}".encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        at, message_id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split(" ")
        created_at = datetime.fromisoformat(at)
        if created_at.tzinfo is None:
            raise ValueError(at)
        return created_at, UUID(message_id)
    except ValueError as error:
        detail = "This is not a cursor of this list."
        raise ValidationFailed(detail, errors=[FieldError(detail=detail, parameter="cursor")]) from error
