"""Queries on the audit log. It only grows: nothing here changes or deletes what was noted."""

from typing import Any
from uuid import UUID

from shared.postgres import Connection, execute


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
