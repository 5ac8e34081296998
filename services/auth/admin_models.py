"""What administrators send and get, in the shape of supabase/auth. What is not offered is refused, not passed over."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field

from services.auth import models
from services.auth.addresses import Email
from shared.routing import Answer, Body, Path

SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
PART = r"(\d{1,9}(?:\.\d{1,9})?)(ms|us|µs|ns|h|m|s)"
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


# The client sends `page=&per_page=` when it was not told.
Number = Annotated[
    Annotated[int, Field(ge=1, le=1000)] | None, BeforeValidator(lambda value: None if value == "" else value)
]


class UsersQuery(models.ClientQuery):
    page: Number = None
    per_page: Number = None
    cursor: UUID | None = Field(None, description="`next_cursor` of the page before; in place of `page`")


class UserPath(Path):
    user_id: UUID


class UserAttributes(Body):
    """`ban_duration` is `none` or a time like `24h`; metadata is merged, and null removes a name."""

    email_confirm: bool = False
    password: models.Password | None = None
    user_metadata: models.Metadata | None = None
    app_metadata: models.Metadata | None = None
    ban_duration: Annotated[str, Field(max_length=64), AfterValidator(_checked)] | None = None


class NewUser(UserAttributes):
    email: Email


class Deletion(models.ClientBody):
    should_soft_delete: Literal[False] = Field(False, description="who is deleted is gone: nothing else is offered")


class UserPage(Answer):
    users: list[models.User]
    aud: str = "authenticated"
    next_cursor: UUID | None


def require_fitting(user_metadata: dict[str, Any], app_metadata: dict[str, Any]) -> None:
    """Raise UnprocessableContent(metadata_too_large). Every access token carries `app_metadata`."""
    models.require_fitting(user_metadata)
    models.require_fitting(app_metadata, "app_metadata", models.MAX_APP_METADATA_BYTES)
