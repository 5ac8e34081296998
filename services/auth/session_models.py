"""Bodies of requests and answers of sessions, as their owners and administrators see them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field

from services.auth import rows
from services.auth.models import one_line
from shared.routing import Answer, Body, Path, Query


class SessionsQuery(Query):
    limit: int = Field(50, ge=1, le=100)
    cursor: UUID | None = None


class SessionPath(Path):
    session_id: UUID


class SessionChange(Body):
    """A name that its owner gives a session."""

    device_name: Annotated[str, AfterValidator(one_line), Field(min_length=1, max_length=100)]


class SessionItem(Answer):
    """One log-in of the caller."""

    id: UUID
    device_name: str
    platform: str = Field(description="ios, android, web, … as the app says, or guessed; may be empty")
    app_version: str = Field(description="as the app says in X-App-Version; may be empty")
    user_agent: str
    ip: str | None = Field(description="address of the log-in or the last refresh")
    aal: str
    amr: list[Any] = Field(description="how the person proved who they are, and when")
    created_at: datetime
    last_seen_at: datetime = Field(description="the last refresh: at most the life of an access token behind")
    is_current: bool
    is_impersonated: bool = Field(description="an administrator acts for the person; it ends by itself at `not_after`")
    not_after: datetime | None = Field(description="when it ends, however much it is used")

    @classmethod
    def of(cls, session: rows.Session, *, current: UUID | None) -> "SessionItem":
        return cls(
            id=session.id,
            device_name=session.device_name,
            platform=session.platform,
            app_version=session.app_version,
            user_agent=session.user_agent,
            ip=session.ip,
            aal=session.aal,
            amr=session.amr,
            created_at=session.created_at,
            last_seen_at=session.refreshed_at,
            is_current=session.id == current,
            is_impersonated=session.impersonated_by is not None,
            not_after=session.not_after,
        )


class SessionPage(Answer):
    items: list[SessionItem]
    next_cursor: str | None

    @classmethod
    def of(cls, found: list[rows.Session], limit: int, *, current: UUID | None) -> "SessionPage":
        """The first `limit` of what was found, with a cursor if there is more."""
        items = [SessionItem.of(session, current=current) for session in found[:limit]]
        return cls(items=items, next_cursor=str(items[-1].id) if len(found) > limit else None)
