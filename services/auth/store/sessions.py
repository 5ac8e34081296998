"""Queries on sessions. A session that ended keeps its row for a while, so that a late token gets a true answer."""

# ruff: noqa: S608 — what the f-strings put in are constants

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg2.extras import Json

from services.auth.devices import Device
from services.auth.rows import LockedSession, Session, User
from services.auth.store import users
from shared.ids import new_id
from shared.postgres import Connection, execute, fetch_all, fetch_one, fetch_pair

COLUMNS = """
    sessions.id, sessions.user_id, sessions.refresh_issued, sessions.refresh_accepted, sessions.refreshed_at,
    sessions.aal, sessions.amr, sessions.device_name, sessions.platform, sessions.app_version, sessions.user_agent,
    host(sessions.ip) AS ip, sessions.created_at, sessions.impersonated_by, sessions.not_after
"""
ENDED = "id, user_id, impersonated_by, impersonation_reason"
CLOCKS_APART_S = 60  # ids are made by this process, `created_at` by the database


@dataclass(frozen=True)
class Ended:
    """A session that has just ended."""

    id: UUID
    user_id: UUID
    impersonated_by: UUID | None = None
    impersonation_reason: str | None = None


def insert_session(conn: Connection, user_id: UUID, device: Device, amr: Sequence[Any]) -> Session:
    sql = f"""
        INSERT INTO sessions (id, user_id, amr, device_name, platform, app_version, user_agent, ip)
        VALUES (%(id)s, %(user_id)s, %(amr)s, %(device_name)s, %(platform)s, %(app_version)s, %(user_agent)s, %(ip)s)
        RETURNING {COLUMNS}
    """
    session = fetch_one(conn, Session, sql, new_session(user_id, device, amr))
    assert session is not None  # noqa: S101 — INSERT … RETURNING returns its row
    return session


def new_session(user_id: UUID, device: Device, amr: Sequence[Any]) -> dict[str, Any]:
    """The columns that every new session fills, by name."""
    return {
        "id": new_id(),
        "user_id": user_id,
        "amr": Json(list(amr)),
        "device_name": device.name,
        "platform": device.platform,
        "app_version": device.app_version,
        "user_agent": device.user_agent,
        "ip": device.ip,
    }


def lock_session(conn: Connection, session_id: UUID) -> LockedSession | None:
    """The session, alive or ended, held until the transaction ends: refreshes of one session take turns."""
    sql = """
        SELECT id, user_id, device_name, refresh_issued, refresh_accepted, ended_at IS NOT NULL AS has_ended,
               extract(epoch FROM clock_timestamp() - refreshed_at)::float8 AS age_s,
               extract(epoch FROM clock_timestamp() - created_at)::float8 AS lived_s,
               coalesce(not_after <= clock_timestamp(), false) AS is_over
        FROM sessions WHERE id = %(id)s FOR UPDATE
    """
    return fetch_one(conn, LockedSession, sql, {"id": session_id})


def rotate_newest(
    conn: Connection, session_id: UUID, number: int, device: Device, *, idle_s: int, lifetime_s: int
) -> tuple[User, Session] | None:
    """Exchange token `number` if it is the newest of a living session; what the answer needs, or None.

    One statement: of several at once the first one finds its number to be the newest, and the others do not any more.
    It changes no indexed column, but for the first one of a day.
    """
    sql = f"""
        UPDATE sessions
        SET refresh_issued = refresh_issued + 1, refresh_accepted = refresh_issued, refreshed_at = clock_timestamp(),
            seen_on = current_date, ip = coalesce(%(ip)s, ip),
            app_version = coalesce(nullif(%(app_version)s, ''), app_version)
        FROM users
        WHERE sessions.id = %(id)s AND sessions.refresh_issued = %(number)s AND sessions.ended_at IS NULL
          AND sessions.refreshed_at >= clock_timestamp() - make_interval(secs => %(idle_s)s)
          AND (%(lifetime_s)s = 0 OR sessions.created_at >= clock_timestamp() - make_interval(secs => %(lifetime_s)s))
          AND (sessions.not_after IS NULL OR sessions.not_after > clock_timestamp())
          AND users.id = sessions.user_id
        RETURNING {users.COLUMNS}, {COLUMNS}
    """
    params = {
        "id": session_id,
        "number": number,
        "ip": device.ip,
        "app_version": device.app_version,
        "idle_s": idle_s,
        "lifetime_s": lifetime_s,
    }
    return fetch_pair(conn, User, Session, sql, params)


def get_session_and_user(conn: Connection, session_id: UUID) -> tuple[User, Session] | None:
    """A living session and whose it is."""
    sql = f"""
        SELECT {users.COLUMNS}, {COLUMNS} FROM sessions JOIN users ON users.id = sessions.user_id
        WHERE sessions.id = %(id)s AND sessions.ended_at IS NULL
    """
    return fetch_pair(conn, User, Session, sql, {"id": session_id})


def update_refreshed(conn: Connection, session_id: UUID, *, issued: int, accepted: int) -> None:
    sql = """
        UPDATE sessions
        SET refresh_issued = %(issued)s, refresh_accepted = %(accepted)s, refreshed_at = clock_timestamp(),
            seen_on = current_date
        WHERE id = %(id)s
    """
    execute(conn, sql, {"id": session_id, "issued": issued, "accepted": accepted})


def get_session(conn: Connection, session_id: UUID) -> Session | None:
    """The session, unless it has ended."""
    sql = f"SELECT {COLUMNS} FROM sessions WHERE id = %(id)s AND ended_at IS NULL"
    return fetch_one(conn, Session, sql, {"id": session_id})


def list_sessions(conn: Connection, user_id: UUID, *, before: UUID | None, limit: int) -> list[Session]:
    """A user's living sessions, newest first; ids are in the order of creation."""
    sql = f"""
        SELECT {COLUMNS} FROM sessions
        WHERE user_id = %(user_id)s AND ended_at IS NULL AND (%(before)s::uuid IS NULL OR id < %(before)s)
        ORDER BY id DESC LIMIT %(limit)s
    """
    return fetch_all(conn, Session, sql, {"user_id": user_id, "before": before, "limit": limit})


def end_sessions(
    conn: Connection,
    user_id: UUID,
    reason: str,
    *,
    only: UUID | None = None,
    but: UUID | None = None,
    impersonated: bool = False,
) -> list[Ended]:
    """End a user's living sessions, `only` one of them or all `but` one, or those in which another acts for them; those
    that ended now."""
    sql = f"""
        UPDATE sessions SET ended_at = clock_timestamp(), end_reason = %(reason)s
        WHERE user_id = %(user_id)s AND ended_at IS NULL
          AND (%(only)s::uuid IS NULL OR id = %(only)s) AND (%(but)s::uuid IS NULL OR id <> %(but)s)
          AND (NOT %(impersonated)s OR impersonated_by IS NOT NULL)
        RETURNING {ENDED}
    """
    params = {"user_id": user_id, "reason": reason, "only": only, "but": but, "impersonated": impersonated}
    return fetch_all(conn, Ended, sql, params)


def end_surplus_sessions(conn: Connection, user_id: UUID, *, keep: int) -> list[Ended]:
    """End a user's living sessions beyond `keep`, those that were not seen for longest first. An administrator who acts
    for them takes nobody's place."""
    sql = f"""
        UPDATE sessions SET ended_at = clock_timestamp(), end_reason = 'session_limit' WHERE id IN (
            SELECT id FROM sessions
            WHERE user_id = %(user_id)s AND ended_at IS NULL AND impersonated_by IS NULL
            ORDER BY refreshed_at DESC, id DESC OFFSET %(keep)s
        )
        RETURNING {ENDED}
    """
    return fetch_all(conn, Ended, sql, {"user_id": user_id, "keep": keep})


def update_session_name(conn: Connection, user_id: UUID, session_id: UUID, device_name: str) -> Session | None:
    """Name a living session of this user; the session, or None if there is none."""
    sql = f"""
        UPDATE sessions SET device_name = %(device_name)s
        WHERE id = %(id)s AND user_id = %(user_id)s AND ended_at IS NULL
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, Session, sql, {"id": session_id, "user_id": user_id, "device_name": device_name})


def delete_ended_sessions(conn: Connection, *, kept_s: int, limit: int) -> int:
    """Delete sessions that ended `kept_s` ago."""
    sql = """
        DELETE FROM sessions WHERE id IN (
            SELECT id FROM sessions WHERE ended_at < now() - make_interval(secs => %(kept_s)s)
            ORDER BY ended_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"kept_s": kept_s, "limit": limit})


def end_idle_sessions(conn: Connection, *, idle_s: int, limit: int) -> list[Ended]:
    """End sessions that nobody refreshed for `idle_s`; their refresh tokens are refused already."""
    sql = f"""
        UPDATE sessions SET ended_at = clock_timestamp(), end_reason = 'expired' WHERE id IN (
            SELECT id FROM sessions
            WHERE ended_at IS NULL AND seen_on <= (now() - make_interval(secs => %(idle_s)s))::date
              AND refreshed_at < now() - make_interval(secs => %(idle_s)s)
            ORDER BY seen_on LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
        RETURNING {ENDED}
    """
    return fetch_all(conn, Ended, sql, {"idle_s": idle_s, "limit": limit})


def end_old_sessions(conn: Connection, *, lifetime_s: int, limit: int) -> list[Ended]:
    """End sessions whose log-in is `lifetime_s` ago. Their ids tell the time (UUIDv7), so that the key is the index."""
    sql = f"""
        UPDATE sessions SET ended_at = clock_timestamp(), end_reason = 'expired' WHERE id IN (
            SELECT id FROM sessions
            WHERE ended_at IS NULL AND id < %(oldest)s AND created_at < now() - make_interval(secs => %(lifetime_s)s)
            ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
        RETURNING {ENDED}
    """
    oldest = UUID(int=int((time.time() - lifetime_s + CLOCKS_APART_S) * 1000) << 80)
    return fetch_all(conn, Ended, sql, {"oldest": oldest, "lifetime_s": lifetime_s, "limit": limit})
