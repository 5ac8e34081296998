"""Queries on devices and ended sessions. Functions take the open transaction first and never commit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.postgres import Connection, execute, fetch_all, fetch_one


@dataclass(frozen=True)
class Device:
    id: UUID
    user_id: UUID
    session_id: UUID
    platform: str
    app_id: str | None
    environment: str
    locale: str | None
    timezone: str | None
    app_version: str | None
    name: str | None
    created_at: datetime
    registered_at: datetime


@dataclass(frozen=True)
class _Flag:
    flag: bool


DEVICE_COLUMNS = """
    id, user_id, session_id, platform, app_id, environment, locale, timezone, app_version, name, created_at,
    registered_at
"""


def lock_registration(conn: Connection, *names: object) -> None:
    """Make transactions that name the same session, device or token take turns; always in one order, so no deadlock."""
    sql = """
        SELECT pg_advisory_xact_lock(key)
        FROM (SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest(%(names)s) AS name ORDER BY key) AS keys
    """
    execute(conn, sql, {"names": [str(name) for name in names]})


def is_session_revoked(conn: Connection, session_id: UUID) -> bool:
    sql = "SELECT EXISTS (SELECT FROM revoked_sessions WHERE session_id = %(session_id)s) AS flag"
    row = fetch_one(conn, _Flag, sql, {"session_id": session_id})
    return bool(row and row.flag)


def insert_revoked_session(conn: Connection, session_id: UUID, *, remember_s: int) -> None:
    sql = """
        INSERT INTO revoked_sessions (session_id, forget_at)
        VALUES (%(session_id)s, now() + %(remember_s)s * interval '1 second')
        ON CONFLICT (session_id) DO UPDATE SET forget_at = excluded.forget_at
    """
    execute(conn, sql, {"session_id": session_id, "remember_s": remember_s})


def delete_past_revoked_sessions(conn: Connection, *, limit: int) -> int:
    sql = """
        DELETE FROM revoked_sessions WHERE session_id IN (
            SELECT session_id FROM revoked_sessions WHERE forget_at < now()
            ORDER BY forget_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})


def delete_devices_with_token(conn: Connection, platform: str, token: str, *, except_id: UUID) -> int:
    """A push token names one installation: whoever had it before has it no longer."""
    sql = "DELETE FROM devices WHERE platform = %(platform)s AND token = %(token)s AND id <> %(except_id)s"
    return execute(conn, sql, {"platform": platform, "token": token, "except_id": except_id})


def put_device(conn: Connection, fields: dict[str, Any]) -> tuple[Device, bool]:
    """Insert or replace; the row, and whether it is new to this user. Another user's row under this id is replaced."""
    own = "SELECT EXISTS (SELECT FROM devices WHERE id = %(id)s AND user_id = %(user_id)s) AS flag"
    known = fetch_one(conn, _Flag, own, fields)
    is_new = not (known and known.flag)
    if is_new:
        execute(conn, "DELETE FROM devices WHERE id = %(id)s", fields)
    sql = f"""
        INSERT INTO devices (id, user_id, session_id, platform, token, app_id, environment, locale, timezone,
                             app_version, name)
        VALUES (%(id)s, %(user_id)s, %(session_id)s, %(platform)s, %(token)s, %(app_id)s, %(environment)s,
                %(locale)s, %(timezone)s, %(app_version)s, %(name)s)
        ON CONFLICT (id) DO UPDATE SET
            session_id = excluded.session_id, platform = excluded.platform, token = excluded.token,
            app_id = excluded.app_id, environment = excluded.environment, locale = excluded.locale,
            timezone = excluded.timezone, app_version = excluded.app_version, name = excluded.name,
            registered_at = now()
        RETURNING {DEVICE_COLUMNS}
    """  # noqa: S608 — a constant
    device = fetch_one(conn, Device, sql, fields)
    assert device is not None  # noqa: S101 — an upsert returns its row
    return device, is_new


def delete_surplus_devices(conn: Connection, user_id: UUID, *, keep: int) -> int:
    """Keep the `keep` devices that registered last: a message must not fan out to invented ones without end."""
    sql = """
        DELETE FROM devices WHERE id IN (
            SELECT id FROM devices WHERE user_id = %(user_id)s ORDER BY registered_at DESC, id DESC OFFSET %(keep)s
        )
    """
    return execute(conn, sql, {"user_id": user_id, "keep": keep})


def list_devices(conn: Connection, user_id: UUID, *, after: UUID | None, limit: int) -> list[Device]:
    sql = f"""
        SELECT {DEVICE_COLUMNS} FROM devices
        WHERE user_id = %(user_id)s AND (%(after)s::uuid IS NULL OR id > %(after)s)
        ORDER BY id LIMIT %(limit)s
    """  # noqa: S608 — a constant
    return fetch_all(conn, Device, sql, {"user_id": user_id, "after": after, "limit": limit})


def delete_device(conn: Connection, device_id: UUID, user_id: UUID) -> bool:
    """False if this user has no such device."""
    sql = "DELETE FROM devices WHERE id = %(id)s AND user_id = %(user_id)s"
    return execute(conn, sql, {"id": device_id, "user_id": user_id}) > 0


def delete_devices_of_session(conn: Connection, session_id: UUID) -> int:
    return execute(conn, "DELETE FROM devices WHERE session_id = %(id)s", {"id": session_id})


def delete_devices_of_user(conn: Connection, user_id: UUID) -> int:
    return execute(conn, "DELETE FROM devices WHERE user_id = %(id)s", {"id": user_id})


def update_session_of_devices(conn: Connection, session_id: UUID, continued_by: UUID) -> int:
    sql = "UPDATE devices SET session_id = %(continued_by)s WHERE session_id = %(session_id)s"
    return execute(conn, sql, {"session_id": session_id, "continued_by": continued_by})


def update_owner_of_devices(conn: Connection, user_id: UUID, new_owner_id: UUID) -> int:
    sql = "UPDATE devices SET user_id = %(new_owner_id)s WHERE user_id = %(user_id)s"
    return execute(conn, sql, {"user_id": user_id, "new_owner_id": new_owner_id})


def delete_gone_device(conn: Connection, device_id: UUID, token: str, gone_at: datetime) -> Device | None:
    """Delete what a provider calls gone, unless the app has registered again since, or with another token."""
    sql = f"""
        DELETE FROM devices WHERE id = %(id)s AND token = %(token)s AND registered_at <= %(gone_at)s
        RETURNING {DEVICE_COLUMNS}
    """  # noqa: S608 — a constant
    return fetch_one(conn, Device, sql, {"id": device_id, "token": token, "gone_at": gone_at})
