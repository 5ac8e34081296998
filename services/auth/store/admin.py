"""Queries of administrators: all users, page by page, and what only they may change."""

# ruff: noqa: S608 — what the f-strings put in are constants

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg2.errors import UniqueViolation

from services.auth.rows import User
from services.auth.store.addresses import email_exists
from services.auth.store.identities import WITH
from services.auth.store.phones import phone_exists
from services.auth.store.users import COLUMNS
from shared.postgres import Connection, execute, fetch_all, fetch_one

LAST_CHARACTER = "\U0010ffff"


def list_users(conn: Connection, *, before: UUID | None, skip: int, limit: int) -> list[User]:
    """Users in the order of their ids, the newest first; those `before` an id, past the first `skip`."""
    sql = f"""
        SELECT {COLUMNS} FROM users
        WHERE %(before)s::uuid IS NULL OR id < %(before)s
        ORDER BY id DESC LIMIT %(limit)s OFFSET %(skip)s
    """
    return fetch_all(conn, User, sql, {"before": before, "skip": skip, "limit": limit})


def list_users_by_address(conn: Connection, prefix: str, *, after: str | None, limit: int) -> list[User]:
    """Users whose address begins like this, in the order of their addresses; those `after` one."""
    sql = f"""
        SELECT {COLUMNS} FROM users
        WHERE lower(email) COLLATE "C" >= %(prefix)s AND lower(email) COLLATE "C" < %(end)s
          AND (%(after)s::text IS NULL OR lower(email) COLLATE "C" > %(after)s)
        ORDER BY lower(email) COLLATE "C" LIMIT %(limit)s
    """
    lowered = prefix.lower()
    params = {"prefix": lowered, "end": lowered + LAST_CHARACTER, "after": after, "limit": limit}
    return fetch_all(conn, User, sql, params)


def update_user_by_admin(
    conn: Connection,
    user_id: UUID,
    *,
    password_hash: str | None,
    user_metadata: dict[str, Any] | None,
    app_metadata: dict[str, Any] | None,
    is_confirmed: bool,
    is_phone_confirmed: bool,
) -> User | None:
    """Set what is given; metadata is merged, and null removes a name.

    Of a contested address or number that is confirmed, nothing that was signed up with stays.
    """
    sql = f"""
        UPDATE users
        SET password_hash = coalesce(
                %(password_hash)s,
                CASE WHEN (%(is_confirmed)s OR %(is_phone_confirmed)s) AND is_contested
                     THEN NULL ELSE password_hash END),
            user_metadata = (CASE WHEN (%(is_confirmed)s OR %(is_phone_confirmed)s) AND is_contested
                                  THEN '{{}}' ELSE user_metadata END
                             || %(user_metadata)s::jsonb) - %(user_removed)s::text[],
            app_metadata = (app_metadata || %(app_metadata)s::jsonb) - %(app_removed)s::text[],
            email_confirmed_at = CASE WHEN %(is_confirmed)s AND email IS NOT NULL
                                      THEN coalesce(email_confirmed_at, now()) ELSE email_confirmed_at END,
            phone_confirmed_at = CASE WHEN %(is_phone_confirmed)s AND phone IS NOT NULL
                                      THEN coalesce(phone_confirmed_at, now()) ELSE phone_confirmed_at END,
            is_contested = is_contested AND NOT %(is_confirmed)s AND NOT %(is_phone_confirmed)s,
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
        "is_phone_confirmed": is_phone_confirmed,
    }
    return fetch_one(conn, User, sql, params)


def update_banned(conn: Connection, user_id: UUID, banned_until: datetime | None) -> User | None:
    sql = f"""
        UPDATE users SET banned_until = %(banned_until)s, updated_at = now() WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "banned_until": banned_until})


def update_email_by_admin(conn: Connection, user_id: UUID, email: str) -> User | None:
    """Another address in place of the old one, confirmed if that was. Raise UnprocessableContent(email_exists)."""
    sql = f"""
        UPDATE users
        SET email = %(email)s, new_email = NULL, email_change_sent_at = NULL, is_anonymous = false, updated_at = now(),
            app_metadata = {WITH}
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    try:
        return fetch_one(conn, User, sql, {"id": user_id, "email": email, "provider": "email"})
    except UniqueViolation:
        raise email_exists() from None


def update_phone_by_admin(conn: Connection, user_id: UUID, phone: str) -> User | None:
    """Another number in place of the old one, confirmed if that was. Raise UnprocessableContent(phone_exists)."""
    sql = f"""
        UPDATE users
        SET phone = %(phone)s, new_phone = NULL, phone_change_sent_at = NULL, is_anonymous = false, updated_at = now(),
            app_metadata = {WITH}
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    try:
        return fetch_one(conn, User, sql, {"id": user_id, "phone": phone, "provider": "phone"})
    except UniqueViolation:
        raise phone_exists() from None


def update_invited(conn: Connection, user_id: UUID) -> User | None:
    """Note that somebody is invited just now."""
    sql = f"UPDATE users SET invited_at = now(), updated_at = now() WHERE id = %(id)s RETURNING {COLUMNS}"
    return fetch_one(conn, User, sql, {"id": user_id})


def delete_user(conn: Connection, user_id: UUID) -> None:
    """The user is gone from now on, with sessions and all."""
    execute(conn, "DELETE FROM users WHERE id = %(id)s", {"id": user_id})
