"""Rows of this service's tables, as its code sees them. Hashes and secrets stay out of every repr."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.auth.scopes import ORDINARY

BY_OAUTH_CODE = "oauth_provider/authorization_code"  # in `amr`, as GoTrue calls it


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
    phone: str | None = None
    phone_confirmed_at: datetime | None = None
    new_email: str | None = None
    email_change_sent_at: datetime | None = None
    new_phone: str | None = None
    phone_change_sent_at: datetime | None = None
    banned_until: datetime | None = None
    invited_at: datetime | None = None
    # Roles beside the one that is in `role`.
    roles: list[str] = field(default_factory=list)
    # Accounts elsewhere, in the order of linking, as JSON.
    identities: list[dict[str, Any]] = field(default_factory=list)
    # What others may see of each factor that has not expired, oldest first, as JSON.
    factors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_banned(self) -> bool:
        return self.banned_until is not None and self.banned_until > datetime.now(UTC)

    @property
    def all_roles(self) -> list[str]:
        """Every role that was granted, the administrator's first."""
        return ([] if self.role == ORDINARY else [self.role]) + self.roles

    @property
    def has_second_factor(self) -> bool:
        return any(factor["status"] == "verified" for factor in self.factors)


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
    platform: str
    app_version: str
    user_agent: str
    ip: str | None
    created_at: datetime
    # Of an administrator who acts for the person: who, and when it is over.
    impersonated_by: UUID | None = None
    not_after: datetime | None = None

    @property
    def auth_time(self) -> int:
        """When the person last proved who they are, in Unix seconds (OpenID Connect Core, section 2). A code of the
        OAuth provider proves nothing anew: it hands on what was proved in the browser, however long ago."""
        proofs = [int(one["timestamp"]) for one in self.amr if "timestamp" in one and one["method"] != BY_OAUTH_CODE]
        return max(proofs, default=int(self.created_at.timestamp()))


@dataclass(frozen=True)
class LockedSession:
    """A session as a refresh sees it, alive or ended; `age_s` is the time since its newest token was issued,
    `lived_s` since the log-in. `is_over`: its time has come, whatever its state."""

    id: UUID
    user_id: UUID
    device_name: str
    refresh_issued: int
    refresh_accepted: int
    age_s: float
    lived_s: float
    has_ended: bool
    is_over: bool


@dataclass(frozen=True)
class SigningKeyRow:
    kid: str
    state: str
    public_jwk: dict[str, Any]
    private_key_sealed: bytes = field(repr=False)
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None


@dataclass(frozen=True)
class Factor:
    """A second factor. `wrong_today`: wrong codes of the last 24 hours; `places`: where right ones came from."""

    id: UUID
    user_id: UUID
    kind: str
    name: str
    seed_sealed: bytes | None = field(repr=False)
    phone: str | None
    is_verified: bool
    wrong_today: int
    places: list[bytes]
    created_at: datetime


@dataclass(frozen=True)
class FactorChallenge:
    """A question to a session; `is_over` once it was answered or has expired."""

    id: UUID
    expires_at: datetime
    is_over: bool
    code_hash: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class NewKey:
    """A key of WebAuthn as its authenticator has just made it."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    aaguid: UUID
    is_backup_eligible: bool
    is_backed_up: bool
    transports: list[str]


@dataclass(frozen=True)
class Credential(NewKey):
    """A key of WebAuthn that a user has: a passkey, or, with a `factor_id`, the key of a factor."""

    id: UUID
    user_id: UUID
    factor_id: UUID | None
    name: str
    created_at: datetime
    last_used_at: datetime | None
