"""Events between services: CloudEvents 1.0 in JSON. Fields are only ever added; readers ignore unknown ones."""

from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.ids import new_id

EXCHANGE = "gatehouse.events"


class Event(BaseModel):
    """One fact. `type` is `noun.verbed` and the routing key; `subject` says which field names the entity."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: ClassVar[str]
    source: ClassVar[str]
    subject: ClassVar[str]


class Envelope(BaseModel):
    """CloudEvents 1.0 (structured mode), with the W3C trace context of the request that caused the event."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"] = "1.0"
    id: UUID = Field(default_factory=new_id)
    source: str
    type: str
    subject: str
    time: datetime = Field(default_factory=lambda: datetime.now(UTC))
    datacontenttype: Literal["application/json"] = "application/json"
    traceparent: str | None = None
    data: dict[str, Any]

    @classmethod
    def of(cls, event: Event, *, source: str | None = None, traceparent: str | None = None) -> Self:
        data = event.model_dump(mode="json")
        return cls(
            source=source or event.source,
            type=event.type,
            subject=str(data[event.subject]),
            traceparent=traceparent,
            data=data,
        )


class UserRegistered(Event):
    """A person exists. The address may still be unconfirmed; anonymous people have none."""

    type = "user.registered"
    source = "auth"
    subject = "user_id"

    user_id: UUID
    email: str | None = None
    is_anonymous: bool = False
    locale: str | None = None
    created_at: datetime


class UserUpdated(Event):
    """The person's address or its confirmation changed. `updated_at` orders updates that arrive out of order."""

    type = "user.updated"
    source = "auth"
    subject = "user_id"

    user_id: UUID
    email: str | None = None
    email_confirmed_at: datetime | None = None
    updated_at: datetime


class UserSecurityChanged(Event):
    """Something that guards an account was added, used, removed, changed or attacked: for who watches from outside.

    No service of ours reads it: auth notes the same in its own audit log, in the transaction that makes it true. Who
    wants it binds a queue of their own. `change` is a stable word (`factor_added`, `password_changed`, …); readers must
    bear words they do not know.
    """

    type = "user.security_changed"
    source = "auth"
    subject = "user_id"

    user_id: UUID
    session_id: UUID | None = None
    change: str
    factor_id: UUID | None = None
    factor_type: str | None = None
    ip: str | None = None
    changed_at: datetime


class UserMerged(Event):
    """A guest became part of an account: what belonged to the guest belongs to `user_id` from now on."""

    type = "user.merged"
    source = "auth"
    subject = "user_id"

    user_id: UUID
    merged_user_id: UUID
    merged_at: datetime


class UserDeletionRequested(Event):
    """A person goes: every service deletes what it keeps of them."""

    type = "user.deletion_requested"
    source = "auth"
    subject = "user_id"

    user_id: UUID
    reason: str
    requested_at: datetime


class SessionCreated(Event):
    """Somebody logged in."""

    type = "session.created"
    source = "auth"
    subject = "session_id"

    session_id: UUID
    user_id: UUID
    created_at: datetime


class SessionRevoked(Event):
    """A session ended early; its access tokens are refused until the last one, issued just before, has expired.

    `continued_by` is the session that goes on in its place on the same device, if there is one. `detail` says more of a
    reason (`session_limit`, `idle`, `lifetime` or `time_over` of `expired`); readers must bear words they do not know.
    """

    type = "session.revoked"
    source = "auth"
    subject = "session_id"

    session_id: UUID
    user_id: UUID
    reason: Literal["logout", "reuse_detected", "password_changed", "ended_by_user", "ended_by_admin", "expired"]
    revoked_at: datetime
    continued_by: UUID | None = None
    detail: str | None = None


class ProfileUpdated(Event):
    """What notify's templates need to know of a person."""

    type = "profile.updated"
    source = "profile"
    subject = "user_id"

    user_id: UUID
    display_name: str | None = None
    locale: str | None = None
    timezone: str | None = None
    version: int


class DataChanged(Event):
    """A space moved to `seq`: a hint, the reader pulls."""

    type = "data.changed"
    source = "data"
    subject = "space_id"

    space_id: UUID
    seq: int
    collections: list[str]


class MessageRequested(Event):
    """Any service asks notify to tell a person something. `message_id` makes it happen once, however often it is asked.

    `email` overrides the contact notify knows (a confirmation goes to the address that is to be confirmed).
    `languages` are those a request asked for, best first. They count after what is known of the person; so does a
    `locale` that is the first of them, for that is nobody's choice.
    """

    type = "message.requested"
    source = "any"
    subject = "message_id"

    message_id: UUID
    user_id: UUID | None = None
    email: str | None = None
    channels: list[Literal["push", "email"]]
    template: str
    params: dict[str, str] = {}
    locale: str | None = None
    languages: list[str] = []
    expires_at: datetime | None = None


class DeviceUnregistered(Event):
    """A push provider says that an installation is gone."""

    type = "device.unregistered"
    source = "notify"
    subject = "device_id"

    device_id: UUID
    user_id: UUID
    session_id: UUID | None = None
    unregistered_at: datetime


EVENTS: dict[str, type[Event]] = {
    event.type: event
    for event in (
        UserRegistered,
        UserUpdated,
        UserMerged,
        UserDeletionRequested,
        UserSecurityChanged,
        SessionCreated,
        SessionRevoked,
        ProfileUpdated,
        DataChanged,
        MessageRequested,
        DeviceUnregistered,
    )
}

# Which services have a queue for an event. Nobody's yet: it goes to whoever listens at the moment, and no further.
READERS: dict[str, tuple[str, ...]] = {
    "user.registered": ("profile", "data", "notify"),
    "user.updated": ("notify",),
    "user.security_changed": (),
    "user.merged": ("profile", "data", "notify"),
    "user.deletion_requested": ("profile", "data", "notify"),
    "session.created": (),
    "session.revoked": ("notify",),
    "profile.updated": ("notify",),
    "data.changed": (),
    "message.requested": ("notify",),
    "device.unregistered": (),
}
