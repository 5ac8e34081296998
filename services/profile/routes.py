"""What the profile service answers: a person's own profile, and what others may see of it."""

from dataclasses import asdict, replace
from datetime import datetime
from uuid import UUID

from flask import Response, current_app
from pydantic import Field
from werkzeug.local import LocalProxy

from services.profile import store
from services.profile.fields import Bio, DisplayName, Locale, TimeZone
from shared import outbox
from shared.contracts import ProfileUpdated
from shared.errors import NotFound
from shared.postgres import Database
from shared.routing import (
    Answer,
    Blueprint,
    Body,
    Path,
    caller,
    is_not_modified,
    not_modified,
    require_match,
    set_etag,
    user,
)

bp = Blueprint("profile", __name__, url_prefix="/profile/v1")
db: Database = LocalProxy(lambda: current_app.extensions["database"])  # type: ignore[assignment]


class ProfilePatch(Body):
    """A JSON merge patch (RFC 7396): what is absent stays, null clears, and null for `visibility` means private."""

    display_name: DisplayName | None = Field(None, description="one line of 1 to 64 characters")
    bio: Bio | None = Field(None, description="at most 500 characters")
    locale: Locale | None = Field(None, description="BCP 47 language tag", examples=["pt-BR"])
    timezone: TimeZone | None = Field(None, description="IANA time zone", examples=["Europe/Lisbon"])
    visibility: store.Visibility | None = Field(None, description="who sees display_name and bio")


class MyProfile(Answer):
    user_id: UUID
    display_name: str | None
    bio: str | None
    locale: str | None
    timezone: str | None
    visibility: store.Visibility
    version: int = Field(description="grows by one with each change")
    created_at: datetime
    updated_at: datetime


class PublicProfile(Answer):
    user_id: UUID
    display_name: str | None
    bio: str | None


class UserPath(Path):
    user_id: UUID


@bp.get("/me")
@user
def get_my_profile() -> MyProfile | Response:
    """The caller's profile. It exists as soon as somebody asks, also before the news of the sign-up has come."""
    with db.transaction() as conn:
        profile = store.upsert_profile(conn, caller().user_id)
    if is_not_modified(_tag(profile)):
        return not_modified()
    return MyProfile(**asdict(profile))


@bp.patch("/me")
@user
def update_my_profile(body: ProfilePatch) -> MyProfile:
    """Change the named fields; with If-Match only if nobody else has changed them meanwhile."""
    patch = body.model_dump(exclude_unset=True)
    if "visibility" in patch:
        patch["visibility"] = patch["visibility"] or "private"
    with db.transaction() as conn:
        current = store.lock_profile(conn, caller().user_id)
        require_match(_tag(current))
        if replace(current, **patch) != current:
            current = store.update_profile(conn, replace(current, **patch))
            outbox.add(conn, ProfileUpdated(**asdict(current)))
    set_etag(_tag(current))
    return MyProfile(**asdict(current))


@bp.get("/users/<user_id>")
@user
def get_public_profile(path: UserPath) -> PublicProfile | Response:
    """What others see of a person; a private profile cannot be told from one that does not exist."""
    with db.transaction() as conn:
        profile = store.get_public_profile(conn, path.user_id)
    if profile is None:
        raise NotFound("There is no such public profile.")
    if is_not_modified(_tag(profile)):
        return not_modified()
    return PublicProfile(user_id=profile.user_id, display_name=profile.display_name, bio=profile.bio)


def _tag(profile: store.Profile) -> str:
    """Names person and version: `/me` is one address for everybody, and a phone may change hands."""
    return f"{profile.user_id.hex[-12:]}-{profile.version}"
