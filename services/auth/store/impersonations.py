"""Queries on sessions in which an administrator acts for somebody else, and on sessions whose time is set."""

# ruff: noqa: S608 — what the f-strings put in are constants

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.auth.devices import Device
from services.auth.rows import Session
from services.auth.store.sessions import COLUMNS, ENDED, Ended, new_session
from shared.postgres import Connection, fetch_all, fetch_one


def insert_impersonation(
    conn: Connection,
    user_id: UUID,
    device: Device,
    amr: Sequence[Any],
    *,
    by: UUID,
    session_id: UUID,
    reason: str,
    lifetime_s: int,
) -> Session:
    """A session of `user_id` for the administrator `by`, opened from their own `session_id`."""
    sql = f"""
        INSERT INTO sessions (id, user_id, amr, device_name, platform, app_version, user_agent, ip, impersonated_by,
                              impersonated_from, impersonation_reason, not_after)
        VALUES (%(id)s, %(user_id)s, %(amr)s, %(device_name)s, %(platform)s, %(app_version)s, %(user_agent)s, %(ip)s,
                %(by)s, %(from)s, %(reason)s, clock_timestamp() + make_interval(secs => %(lifetime_s)s))
        RETURNING {COLUMNS}
    """
    params = new_session(user_id, device, amr) | {
        "by": by,
        "from": session_id,
        "reason": reason,
        "lifetime_s": lifetime_s,
    }
    session = fetch_one(conn, Session, sql, params)
    assert session is not None  # noqa: S101 — INSERT … RETURNING returns its row
    return session


def end_impersonations_from(conn: Connection, session_ids: Sequence[UUID], reason: str) -> list[Ended]:
    """End what administrators opened from these sessions of theirs; those that ended now."""
    sql = f"""
        UPDATE sessions SET ended_at = clock_timestamp(), end_reason = %(reason)s
        WHERE impersonated_from = ANY(%(ids)s::uuid[]) AND ended_at IS NULL
        RETURNING {ENDED}
    """
    return fetch_all(conn, Ended, sql, {"ids": [str(one) for one in session_ids], "reason": reason})


def end_overdue_sessions(conn: Connection, *, limit: int) -> list[Ended]:
    """End sessions whose time is over."""
    sql = f"""
        UPDATE sessions SET ended_at = clock_timestamp(), end_reason = 'expired' WHERE id IN (
            SELECT id FROM sessions WHERE ended_at IS NULL AND not_after <= clock_timestamp()
            ORDER BY not_after LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
        RETURNING {ENDED}
    """
    return fetch_all(conn, Ended, sql, {"limit": limit})
