"""Queries of administrators: all users, page by page, what only they may change, and the log of it."""

# ruff: noqa: S608 — what the f-strings put in is COLUMNS, a constant

from datetime import datetime
from typing import Any
from uuid import UUID

from services.auth.rows import User
from services.auth.store.users import COLUMNS
from shared.postgres import Connection, execute, fetch_all, fetch_one


def list_users(conn: Connection, *, before: UUID | None, skip: int, limit: int) -> list[User]:
    """Users in the order of their ids, the newest first; those `before` an id, past the first `skip`."""
    sql = f"""
        SELECT {COLUMNS} FROM users
        WHERE %(before)s::uuid IS NULL OR id < %(before)s
        ORDER BY id DESC LIMIT %(limit)s OFFSET %(skip)s
    """
    return fetch_all(conn, User, sql, {"before": before, "skip": skip, "limit": limit})


def update_user_by_admin(
    conn: Connection,
    user_id: UUID,
    *,
    password_hash: str | None,
    user_metadata: dict[str, Any] | None,
    app_metadata: dict[str, Any] | None,
    is_confirmed: bool,
) -> User | None:
    """Set what is given; metadata is merged, and null removes a name.

    Of a contested address that is confirmed, nothing that was signed up with stays.
    """
    sql = f"""
        UPDATE users
        SET password_hash = coalesce(
                %(password_hash)s, CASE WHEN %(is_confirmed)s AND is_contested THEN NULL ELSE password_hash END),
            user_metadata = (CASE WHEN %(is_confirmed)s AND is_contested THEN '{{}}' ELSE user_metadata END
                             || %(user_metadata)s::jsonb) - %(user_removed)s::text[],
            app_metadata = (app_metadata || %(app_metadata)s::jsonb) - %(app_removed)s::text[],
            email_confirmed_at = CASE WHEN %(is_confirmed)s AND email IS NOT NULL
                                      THEN coalesce(email_confirmed_at, now()) ELSE email_confirmed_at END,
            is_contested = is_contested AND NOT %(is_confirmed)s,
            updated_at = now()
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    params = {
        "id": user_id,
        "password_hash": password_hash,
        "user_metadata": user_metadata or {},
        "user_removed": [name for name, value in (user_metadata or {}).items() if value is None],
        "app_metadata": app_metadata or {},
        "app_removed": [name for name, value in (app_metadata or {}).items() if value is None],
        "is_confirmed": is_confirmed,
    }
    return fetch_one(conn, User, sql, params)


def update_banned(conn: Connection, user_id: UUID, banned_until: datetime | None) -> User | None:
    sql = f"""
        UPDATE users SET banned_until = %(banned_until)s, updated_at = now() WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "banned_until": banned_until})


def update_role(conn: Connection, user_id: UUID, role: str) -> None:
    execute(conn, "UPDATE users SET role = %(role)s WHERE id = %(id)s", {"id": user_id, "role": role})


def delete_user(conn: Connection, user_id: UUID) -> None:
    """The user is gone from now on, with sessions and all."""
    execute(conn, "DELETE FROM users WHERE id = %(id)s", {"id": user_id})
