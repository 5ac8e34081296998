"""Queries that lift sessions to aal2 and let them fall back."""

# ruff: noqa: S608 — what the f-strings put in are constants

from uuid import UUID

from services.auth.rows import Session
from services.auth.store.sessions import COLUMNS, ENDED, Ended
from shared.postgres import Connection, execute, fetch_all, fetch_one

SECOND = '@.method == "totp" || @.method starts with "mfa/"'


def raise_session(conn: Connection, session_id: UUID, *, method: str, proved_by: UUID, at: int) -> Session | None:
    """Lift a living session to aal2: `method` is the newest in `amr` from now on. None if the session has ended."""
    sql = f"""
        UPDATE sessions
        SET aal = 'aal2', proved_by = %(proved_by)s,
            amr = jsonb_build_array(jsonb_build_object('method', %(method)s::text, 'timestamp', %(at)s))
                  || jsonb_path_query_array(amr, '$[*] ? (@.method != $m)', jsonb_build_object('m', %(method)s::text))
        WHERE id = %(id)s AND ended_at IS NULL
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, Session, sql, {"id": session_id, "method": method, "proved_by": proved_by, "at": at})


def lower_sessions(conn: Connection, user_id: UUID, proved_by: UUID) -> int:
    """Sessions that stand on this factor are aal1 again, and their `amr` says nothing of it."""
    sql = f"""
        UPDATE sessions
        SET aal = 'aal1', proved_by = NULL, amr = jsonb_path_query_array(amr, '$[*] ? (!({SECOND}))')
        WHERE user_id = %(user_id)s AND proved_by = %(proved_by)s
    """
    return execute(conn, sql, {"user_id": user_id, "proved_by": proved_by})


def end_weaker_sessions(conn: Connection, user_id: UUID, reason: str, *, but: UUID) -> list[Ended]:
    """End a user's sessions that are only aal1; those that ended now."""
    sql = f"""
        UPDATE sessions SET ended_at = clock_timestamp(), end_reason = %(reason)s
        WHERE user_id = %(user_id)s AND ended_at IS NULL AND aal = 'aal1' AND id <> %(but)s
        RETURNING {ENDED}
    """
    return fetch_all(conn, Ended, sql, {"user_id": user_id, "reason": reason, "but": but})
