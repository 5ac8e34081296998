"""Rows of this service's tables, as its code sees them. Hashes and secrets stay out of every repr."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class User:
    id: UUID
    email: str | None
    email_confirmed_at: datetime | None
    confirmation_sent_at: datetime | None
    password_hash: str | None = field(repr=False)
    role: str
    user_metadata: dict[str, Any] = field(repr=False)
    app_metadata: dict[str, Any]
    is_anonymous: bool
    last_sign_in_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Session:
    id: UUID
    user_id: UUID
    refresh_issued: int
    refresh_accepted: int
    refreshed_at: datetime
    aal: str
    amr: list[Any]
    device_name: str
    user_agent: str
    ip: str | None
    created_at: datetime


@dataclass(frozen=True)
class LockedSession:
    """A session as a refresh sees it, alive or ended; `age_s` is the time since its newest token was issued."""

    id: UUID
    user_id: UUID
    refresh_issued: int
    refresh_accepted: int
    age_s: float
    has_ended: bool


@dataclass(frozen=True)
class SigningKeyRow:
    kid: str
    state: str
    public_jwk: dict[str, Any]
    private_key_sealed: bytes = field(repr=False)
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None
