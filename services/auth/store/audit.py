"""Queries on the audit log. The service may add and read; what is old or erased goes by rules of the database."""

# ruff: noqa: S608 — what the f-strings put in are constants

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from shared.postgres import Connection, execute, fetch_all, fetch_one

COLUMNS = "id, at, action, subject, actor, host(address) AS address, client, session_id, details"
# What is not given is a constant to the planner, so that it takes the index of what is.
FILTER = """
    (%(subject)s::uuid IS NULL OR subject = %(subject)s) AND (%(actor)s::uuid IS NULL OR actor = %(actor)s)
    AND (%(action)s::text IS NULL OR action = %(action)s) AND at >= %(since)s AND at < %(until)s
"""
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Count:
    count: int


@dataclass(frozen=True)
class Deed:
    """A row of the log."""

    id: int
    at: datetime
    action: str
    subject: UUID | None
    actor: UUID | None
    address: str | None
    client: str
    session_id: UUID | None
    details: dict[str, Any]


@dataclass(frozen=True)
class DeedFilter:
    """Which rows: about somebody, by somebody, of one action, from `since` on, before `until`; all that is given."""

    subject: UUID | None = None
    actor: UUID | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def insert_audit(
    conn: Connection,
    action: str,
    *,
    subject: UUID | None,
    actor: UUID | None = None,
    address: str | None = None,
    session_id: UUID | None = None,
    client: str = "",
    details: dict[str, Any] | None = None,
) -> None:
    """Note a deed; without an `actor` nobody was logged in who did it."""
    sql = """
        INSERT INTO audit_log (actor, action, subject, address, session_id, client, details)
        VALUES (%(actor)s, %(action)s, %(subject)s, %(address)s, %(session_id)s, %(client)s, %(details)s)
    """
    params = {
        "actor": actor,
        "action": action,
        "subject": subject,
        "address": address,
        "session_id": session_id,
        "client": client,
        "details": details or {},
    }
    execute(conn, sql, params)


def list_audit(conn: Connection, which: DeedFilter, *, before: tuple[datetime, int] | None, limit: int) -> list[Deed]:
    """The newest rows, newest first; `before` is time and number of one of them."""
    sql = f"""
        SELECT {COLUMNS} FROM audit_log
        WHERE {FILTER} AND (at, id) < (%(before_at)s, %(before_id)s)
        ORDER BY at DESC, id DESC LIMIT %(limit)s
    """
    at, number = before or (LATEST, 0)
    params = {**_params(which), "before_at": at, "before_id": number, "limit": limit}
    return fetch_all(conn, Deed, sql, params)


def list_audit_onward(
    conn: Connection, which: DeedFilter, *, after: tuple[datetime, int] | None, limit: int
) -> list[Deed]:
    """The oldest rows, oldest first; `after` is time and number of one of them."""
    sql = f"""
        SELECT {COLUMNS} FROM audit_log
        WHERE {FILTER} AND (at, id) > (%(after_at)s, %(after_id)s)
        ORDER BY at, id LIMIT %(limit)s
    """
    at, number = after or (EARLIEST, 0)
    params = {**_params(which), "after_at": at, "after_id": number, "limit": limit}
    return fetch_all(conn, Deed, sql, params)


def _params(which: DeedFilter) -> dict[str, Any]:
    return {**asdict(which), "since": which.since or EARLIEST, "until": which.until or LATEST}


def delete_old_audit(conn: Connection, *, limit: int) -> int:
    """Have the oldest rows deleted that are past the time the owner of the log keeps them; how many."""
    row = fetch_one(conn, Count, "SELECT audit_log_shorten(%(limit)s) AS count", {"limit": limit})
    return row.count if row else 0
