"""Queries on browsers: the session that a cookie shows."""

# ruff: noqa: S608 — what the f-strings put in are the columns, constants

from uuid import UUID

from services.auth.rows import Session, User
from services.auth.store import sessions, users
from services.auth.store.sessions import Ended
from shared.postgres import Connection, execute, fetch_all, fetch_pair


def insert_browser(conn: Connection, session_id: UUID, token_hash: bytes) -> None:
    sql = "INSERT INTO browsers (session_id, token_hash) VALUES (%(session_id)s, %(token_hash)s)"
    execute(conn, sql, {"session_id": session_id, "token_hash": token_hash})


def get_browser(conn: Connection, token_hash: bytes, *, idle_s: int, lifetime_s: int) -> tuple[User, Session] | None:
    """The living session of this cookie and whose it is; None too if it was not seen for `idle_s`."""
    sql = f"""
        SELECT {users.COLUMNS}, {sessions.COLUMNS}
        FROM browsers JOIN sessions ON sessions.id = browsers.session_id JOIN users ON users.id = sessions.user_id
        WHERE browsers.token_hash = %(token_hash)s AND sessions.ended_at IS NULL
          AND browsers.seen_at >= clock_timestamp() - make_interval(secs => %(idle_s)s)
          AND (%(lifetime_s)s = 0 OR sessions.created_at >= clock_timestamp() - make_interval(secs => %(lifetime_s)s))
    """
    params = {"token_hash": token_hash, "idle_s": idle_s, "lifetime_s": lifetime_s}
    return fetch_pair(conn, User, Session, sql, params)


def update_browser_seen(conn: Connection, session_id: UUID) -> None:
    """The browser was here just now; the list of sessions says so too."""
    sql = """
        WITH seen AS (
            UPDATE browsers SET seen_at = clock_timestamp() WHERE session_id = %(session_id)s RETURNING session_id
        )
        UPDATE sessions SET refreshed_at = clock_timestamp(), seen_on = current_date FROM seen
        WHERE sessions.id = %(session_id)s
    """
    execute(conn, sql, {"session_id": session_id})


def update_browser_token(conn: Connection, session_id: UUID, token_hash: bytes) -> None:
    """Another cookie shows this session from now on."""
    sql = "UPDATE browsers SET token_hash = %(token_hash)s WHERE session_id = %(session_id)s"
    execute(conn, sql, {"session_id": session_id, "token_hash": token_hash})


def end_idle_browsers(conn: Connection, *, idle_s: int, limit: int) -> list[Ended]:
    """End the sessions of browsers that were not seen for `idle_s`: their cookies are refused already."""
    sql = """
        WITH idle AS (
            DELETE FROM browsers WHERE session_id IN (
                SELECT session_id FROM browsers WHERE seen_at < now() - make_interval(secs => %(idle_s)s)
                ORDER BY seen_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
            )
            RETURNING session_id
        )
        UPDATE sessions SET ended_at = clock_timestamp(), end_reason = 'expired' FROM idle
        WHERE sessions.id = idle.session_id AND sessions.ended_at IS NULL
        RETURNING sessions.id, sessions.user_id
    """
    return fetch_all(conn, Ended, sql, {"idle_s": idle_s, "limit": limit})
