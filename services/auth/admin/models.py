"""What administrators send and get, in the shape of supabase/auth. What is not offered is refused, not passed over."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, RootModel, SecretStr, model_validator

from services.auth import foreign_hashes, models
from services.auth.addresses import Email
from services.auth.phones import Phone
from shared.routing import Answer, Body, Path

SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
PART = r"(\d{1,9}(?:\.\d{1,9})?)(ms|us|µs|ns|h|m|s)"
PER_PAGE = 50
LONGEST = timedelta(days=36_525)


def duration_of(text: str) -> timedelta | None:
    """`none`, or a length of time as Go writes it: `24h`, `1h30m`. Raise ValueError."""
    if text == "none":
        return None
    if not re.fullmatch(f"(?:{PART})+", text, re.ASCII):
        raise ValueError("is neither none nor a time like 24h or 1h30m")
    seconds = sum(float(number) * SECONDS[unit] for number, unit in re.findall(PART, text, re.ASCII))
    if not 0 < seconds <= LONGEST.total_seconds():
        raise ValueError("is not between a moment and a hundred years")
    return timedelta(seconds=seconds)


def _checked(text: str) -> str:
    duration_of(text)
    return text


def _verifiable(stored: SecretStr) -> SecretStr:
    if not foreign_hashes.is_supported(stored.get_secret_value()):
        raise ValueError("is not a hash that can be verified here")
    return stored


# The client sends `page=&per_page=` when it was not told.
Number = Annotated[
    Annotated[int, Field(ge=1, le=1000)] | None, BeforeValidator(lambda value: None if value == "" else value)
]
Reason = Annotated[str, AfterValidator(models.one_line), Field(min_length=3, max_length=200)]


class UsersQuery(models.ClientQuery):
    page: Number = None
    per_page: Number = None
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before, in place of `page`")
    filter: str | None = Field(None, max_length=254, description="how the address begins: only these, by address")


class UserPath(Path):
    user_id: UUID


class RolePath(UserPath):
    role: str = Field(max_length=32)


class UserSessionPath(UserPath):
    session_id: UUID


class UserFactorPath(UserPath):
    factor_id: UUID


class UserPasskeyPath(UserPath):
    passkey_id: UUID


class UserAttributes(Body):
    """`ban_duration` is `none` or a time like `24h`; metadata is merged, and null removes a name."""

    email: Email | None = None
    phone: Phone | None = None
    email_confirm: bool = False
    phone_confirm: bool = False
    password: models.Password | None = None
    password_hash: Annotated[SecretStr, Field(max_length=1024), AfterValidator(_verifiable)] | None = Field(
        None, description="of another system, as `import` takes them"
    )
    role: Literal["authenticated", "admin"] | None = Field(
        None, description="`admin` makes an administrator, `authenticated` takes that back; others are granted by name"
    )
    user_metadata: models.Metadata | None = None
    app_metadata: models.Metadata | None = None
    ban_duration: Annotated[str, Field(max_length=64), AfterValidator(_checked)] | None = None

    @model_validator(mode="after")
    def _has_one_password(self) -> Self:
        if self.password is not None and self.password_hash is not None:
            raise ValueError("only a password or a password hash should be provided")
        return self

    @property
    def lets_in(self) -> bool:
        """True if whoever sends this could get into the account by it."""
        return any((self.email, self.phone, self.password, self.password_hash))


class NewUser(UserAttributes):
    """An address, a number, or both."""

    id: UUID | None = None

    @model_validator(mode="after")
    def _has_address(self) -> Self:
        if self.email is None and self.phone is None:
            raise ValueError("cannot create a user without either an email or phone")
        return self


class Deletion(models.ClientBody):
    may_be_missing = True

    should_soft_delete: Literal[False] = Field(False, description="who is deleted is gone: nothing else is offered")


class UserPage(Answer):
    users: list[models.User]
    aud: str = "authenticated"
    next_cursor: str | None


class Invitation(models.ClientBody):
    email: Email
    data: models.Metadata | None = Field(None, description="becomes user_metadata")


class LinkWanted(models.ClientBody):
    """`password` goes with `signup` of somebody new, `new_email` with a change of address."""

    type: Literal["signup", "invite", "magiclink", "recovery", "email_change_current", "email_change_new"]
    email: Email
    new_email: Email | None = None
    password: models.Password | None = None
    data: models.Metadata | None = Field(None, description="becomes user_metadata")
    redirect_to: str | None = Field(None, max_length=2048)


class GeneratedLink(models.User):
    """The user, and what a mail would have held. `hashed_token` is the `token_hash` that `verify` takes."""

    action_link: str = Field(repr=False)
    email_otp: str = Field(repr=False)
    hashed_token: str = Field(repr=False)
    verification_type: str
    redirect_to: str


class Factors(RootModel[list[models.Factor]]):
    """A bare list, as the protocol has it; ten at most."""


class FactorChange(Body):
    friendly_name: Annotated[str, Field(min_length=1, max_length=120)]


class Impersonation(Body):
    reason: Reason = Field(description="why; it goes into the audit log")
    lifetime_s: int = Field(900, ge=60, le=3600, description="how long it lasts at most; it cannot be made longer")


def require_fitting(user_metadata: dict[str, Any], app_metadata: dict[str, Any]) -> None:
    """Raise UnprocessableContent(metadata_too_large). Every access token carries `app_metadata`."""
    models.require_fitting(user_metadata)
    models.require_fitting(app_metadata, "app_metadata", models.MAX_APP_METADATA_BYTES)
