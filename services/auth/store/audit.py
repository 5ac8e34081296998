"""Queries on the audit log. The service may add and read; what is old or erased goes by rules of the database."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.postgres import Connection, execute, fetch_one


@dataclass(frozen=True)
class Count:
    count: int


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


def delete_old_audit(conn: Connection, *, limit: int) -> int:
    """Have the oldest rows deleted that are past the time the owner of the log keeps them; how many."""
    row = fetch_one(conn, Count, "SELECT audit_log_shorten(%(limit)s) AS count", {"limit": limit})
    return row.count if row else 0
