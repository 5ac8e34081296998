"""What is asked of the audit log and answered from it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field

from services.auth.store import Deed, DeedFilter
from shared.routing import Answer, Query

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = timedelta(days=365 * 7000)


def place_of(cursor: str) -> tuple[datetime, int]:
    """Time and number of the row that a cursor names. Raise ValueError."""
    micros, separator, number = cursor.partition("-")
    if not (separator and micros.isascii() and micros.isdigit() and number.isascii() and number.isdigit()):
        raise ValueError("is no cursor of this list")
    if int(micros) > LAST // timedelta(microseconds=1) or int(number) >= 1 << 63:
        raise ValueError("is no cursor of this list")
    return EPOCH + timedelta(microseconds=int(micros)), int(number)


def cursor_of(deed: Deed) -> str:
    return f"{(deed.at - EPOCH) // timedelta(microseconds=1)}-{deed.id}"


def _checked(cursor: str) -> str:
    place_of(cursor)
    return cursor


Cursor = Annotated[str, Field(max_length=40), AfterValidator(_checked)]


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no time that a calendar has") from None


Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class HistoryQuery(Query):
    limit: int = Field(50, ge=1, le=100)
    cursor: Cursor | None = None

    @property
    def before(self) -> tuple[datetime, int] | None:
        return place_of(self.cursor) if self.cursor else None


class AuditQuery(HistoryQuery):
    user_id: UUID | None = Field(None, description="whose account it is about")
    actor_id: UUID | None = Field(None, description="who did it")
    action: str | None = Field(None, max_length=100, description="like `session.opened`")
    since: Time | None = Field(None, description="from this time on, RFC 3339")
    until: Time | None = Field(None, description="before this time")

    @property
    def filter(self) -> DeedFilter:
        return DeedFilter(self.user_id, self.actor_id, self.action, self.since, self.until)


class DeedItem(Answer):
    """A row of the log as administrators see it."""

    id: int
    at: datetime
    action: str
    user_id: UUID | None
    actor_id: UUID | None
    address: str | None
    client: str
    session_id: UUID | None
    details: dict[str, Any]

    @classmethod
    def of(cls, deed: Deed) -> "DeedItem":
        return cls(
            id=deed.id,
            at=deed.at,
            action=deed.action,
            user_id=deed.subject,
            actor_id=deed.actor,
            address=deed.address,
            client=deed.client,
            session_id=deed.session_id,
            details=deed.details,
        )


class AuditPage(Answer):
    items: list[DeedItem]
    next_cursor: str | None

    @classmethod
    def of(cls, found: list[Deed], limit: int) -> "AuditPage":
        """The first `limit` of what was found, with a cursor if there is more."""
        page = found[:limit]
        return cls(items=[DeedItem.of(deed) for deed in page], next_cursor=next_cursor(found, limit))


class HistoryItem(Answer):
    """What happened to an account as its owner sees it. Of what somebody else did: that, and when, no more."""

    id: int
    at: datetime
    action: str
    by: Literal["you", "nobody", "administrator"] = Field(description="nobody: who did it was not logged in")
    address: str | None
    client: str
    session_id: UUID | None
    details: dict[str, Any]

    @classmethod
    def of(cls, deed: Deed) -> "HistoryItem":
        is_own = deed.actor in (None, deed.subject) and not deed.action.startswith("impersonation.")
        return cls(
            id=deed.id,
            at=deed.at,
            action=deed.action,
            by="administrator" if not is_own else "you" if deed.actor else "nobody",
            address=deed.address if is_own else None,
            client=deed.client if is_own else "",
            session_id=deed.session_id if is_own else None,
            details=deed.details if is_own else {},
        )


class HistoryPage(Answer):
    items: list[HistoryItem]
    next_cursor: str | None

    @classmethod
    def of(cls, found: list[Deed], limit: int) -> "HistoryPage":
        page = found[:limit]
        return cls(items=[HistoryItem.of(deed) for deed in page], next_cursor=next_cursor(found, limit))


def next_cursor(found: list[Deed], limit: int) -> str | None:
    return cursor_of(found[limit - 1]) if len(found) > limit else None
