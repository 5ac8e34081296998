"""Answers in the shape that clients of supabase/auth expect, and what the bodies they send share (see bodies.py)."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5

from pydantic import AfterValidator, ConfigDict, Field, RootModel, SecretStr

from services.auth import rows
from services.auth.passwords import MAX_LENGTH
from shared.errors import UnprocessableContent
from shared.routing import Answer, Body, Query

MAX_METADATA_BYTES = 16_384
MAX_APP_METADATA_BYTES = 4096  # every access token carries them


def require_fitting(metadata: dict[str, Any], name: str = "user_metadata", max_bytes: int = MAX_METADATA_BYTES) -> None:
    """Raise UnprocessableContent(metadata_too_large): what was merged bit by bit is bounded too."""
    if len(json.dumps(metadata, ensure_ascii=False).encode()) > max_bytes:
        detail = f"{name} would be larger than {max_bytes} bytes."
        raise UnprocessableContent(detail, code="metadata_too_large")


def _fit(metadata: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode())
    except ValueError:
        raise ValueError("holds a number that JSON cannot hold") from None
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"is larger than {MAX_METADATA_BYTES} bytes")
    return metadata


def one_line(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("is not one line of readable text")
    return text.strip()


Password = Annotated[SecretStr, Field(min_length=1, max_length=MAX_LENGTH)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=512)]
Metadata = Annotated[dict[str, Any], AfterValidator(_fit)]


class ClientBody(Body):
    """A body of the protocol: members this service does not know are ignored, for its clients send such
    (`code_challenge`, `channel`, …) and newer clients will send more."""

    model_config = ConfigDict(extra="ignore")


class ClientQuery(Query):
    model_config = ConfigDict(extra="ignore")


class RedirectQuery(ClientQuery):
    redirect_to: str | None = Field(None, max_length=2048, description="where the link in the mail leads in the end")


class LogoutQuery(ClientQuery):
    scope: Literal["global", "local", "others"] = "global"


class Identity(Answer):
    identity_id: UUID
    id: str
    user_id: UUID
    identity_data: dict[str, Any]
    provider: str
    email: str | None
    last_sign_in_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Factor(Answer):
    """What a client may know of a second factor."""

    id: UUID
    friendly_name: str
    factor_type: str
    status: Literal["unverified", "verified"]
    created_at: datetime
    updated_at: datetime
    last_challenged_at: datetime | None


class User(Answer):
    id: UUID
    aud: str = "authenticated"
    role: str
    roles: list[str] = Field(description="those that were granted; `scope` of the next access token says what they may")
    email: str
    phone: str
    email_confirmed_at: datetime | None
    phone_confirmed_at: datetime | None
    confirmed_at: datetime | None
    confirmation_sent_at: datetime | None
    new_email: str | None
    email_change_sent_at: datetime | None
    new_phone: str | None
    phone_change_sent_at: datetime | None
    banned_until: datetime | None
    invited_at: datetime | None
    last_sign_in_at: datetime | None
    app_metadata: dict[str, Any]
    user_metadata: dict[str, Any]
    identities: list[Identity]
    factors: list[Factor]
    is_anonymous: bool
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, user: rows.User) -> "User":
        return cls(
            id=user.id,
            role=user.role,
            roles=user.all_roles,
            email=user.email or "",
            phone=user.phone or "",
            email_confirmed_at=user.email_confirmed_at,
            phone_confirmed_at=user.phone_confirmed_at,
            confirmed_at=min(filter(None, (user.email_confirmed_at, user.phone_confirmed_at)), default=None),
            confirmation_sent_at=user.confirmation_sent_at,
            new_email=user.new_email,
            email_change_sent_at=user.email_change_sent_at,
            new_phone=user.new_phone,
            phone_change_sent_at=user.phone_change_sent_at,
            banned_until=user.banned_until,
            invited_at=user.invited_at,
            last_sign_in_at=user.last_sign_in_at,
            app_metadata=user.app_metadata,
            user_metadata=user.user_metadata,
            identities=identities_of(user),
            factors=[Factor(**factor) for factor in user.factors],
            is_anonymous=user.is_anonymous,
            created_at=user.created_at,
            updated_at=user.updated_at,
        )


def identities_of(owner: rows.User) -> list[Identity]:
    """All of them, as clients see them: the address, the number, then accounts elsewhere in the order of linking.

    An address that came with an account elsewhere is no identity of its own, until it is changed.
    """
    found = [Identity(user_id=owner.id, **identity) for identity in owner.identities]
    if owner.phone:
        is_verified = owner.phone_confirmed_at is not None
        found.insert(0, _own(owner, id_of_number(owner), "phone", phone=owner.phone, phone_verified=is_verified))
    named = owner.app_metadata.get("providers")
    if owner.email and (not owner.identities or not isinstance(named, list) or "email" in named):
        is_verified = owner.email_confirmed_at is not None
        found.insert(0, _own(owner, owner.id, "email", email=owner.email, email_verified=is_verified))
    return found


def _own(owner: rows.User, identity_id: UUID, provider: str, **data: object) -> Identity:
    return Identity(
        identity_id=identity_id,
        id=str(owner.id),
        user_id=owner.id,
        identity_data={"sub": str(owner.id), **data},
        provider=provider,
        email=owner.email if provider == "email" else None,
        last_sign_in_at=owner.last_sign_in_at,
        created_at=owner.created_at,
        updated_at=owner.updated_at,
    )


def id_of_number(owner: rows.User) -> UUID:
    """The id of the identity that the number is; that of the address is the user's."""
    return uuid5(owner.id, "phone")


class Session(Answer):
    """What a client keeps. `expires_at` is in Unix seconds."""

    access_token: str = Field(repr=False)
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 — the kind of token
    expires_in: int
    expires_at: int
    refresh_token: str = Field(repr=False)
    user: User


class SignUpAnswer(RootModel[Session | User]):
    """The user, who has a mail to confirm; or a session, where addresses need no confirmation."""


class Halfway(Answer):
    """The first of the two addresses of a change was confirmed."""

    msg: str = "Confirmation link accepted. Please proceed to confirm link sent to the other email"
    code: str = "200"


class Verified(RootModel[Session | Halfway]):
    """A session; or word that the other address has to be confirmed too."""


class Nothing(Answer):
    """An empty object."""


class PublicKeys(Answer):
    keys: list[dict[str, Any]]


class Health(Answer):
    name: str = "Gatehouse auth"
    version: str = "1"
    description: str = "Speaks the protocol of supabase/auth"


class PublicSettings(Answer):
    """What a client may know before anyone has logged in."""

    external: dict[str, bool]
    disable_signup: bool = False
    mailer_autoconfirm: bool
    phone_autoconfirm: bool = False
    sms_provider: str = ""
    saml_enabled: bool = False
