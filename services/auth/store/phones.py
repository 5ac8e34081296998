"""Queries on the numbers of users. Numbers arrive in E.164 without the plus."""

# ruff: noqa: S608 — what the f-strings put in are constants

from typing import Any
from uuid import UUID

from psycopg2.errors import UniqueViolation

from services.auth.rows import User
from services.auth.store.addresses import MAY_GET_MAIL
from services.auth.store.users import COLUMNS
from shared.errors import UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection, execute, fetch_one

PHONE_ONLY = {"provider": "phone", "providers": ["phone"]}
HAS_LIVING_CODE = """
    EXISTS (SELECT 1 FROM one_time_tokens AS living
            WHERE living.user_id = users.id AND living.kind = 'sms' AND living.consumed_at IS NULL
              AND living.expires_at > clock_timestamp())
"""


def insert_phone_user(
    conn: Connection, user_id: UUID, phone: str, password_hash: str | None, user_metadata: dict[str, Any]
) -> User | None:
    """The new user, or None if the number is taken. If the id is taken, another is made."""
    sql = f"""
        INSERT INTO users (id, phone, password_hash, user_metadata, app_metadata)
        VALUES (CASE WHEN EXISTS (SELECT 1 FROM users WHERE id = %(id)s) THEN %(other_id)s ELSE %(id)s END,
                %(phone)s, %(password_hash)s, %(user_metadata)s, %(app_metadata)s)
        ON CONFLICT DO NOTHING
        RETURNING {COLUMNS}
    """
    params = {
        "id": user_id,
        "other_id": new_id(),
        "phone": phone,
        "password_hash": password_hash,
        "user_metadata": user_metadata,
        "app_metadata": PHONE_ONLY,
    }
    return fetch_one(conn, User, sql, params)


def get_user_by_phone(conn: Connection, phone: str) -> User | None:
    return fetch_one(conn, User, f"SELECT {COLUMNS} FROM users WHERE phone = %(phone)s", {"phone": phone})


def lock_user_for_sms(conn: Connection, phone: str, kind: str, *, interval_s: int, per_day: int) -> User | None:
    """The user with this number, or about to get it, locked, if a message of this kind may go there now."""
    sql = f"""
        SELECT {COLUMNS} FROM users
        WHERE (phone = %(phone)s OR (%(kind)s = 'phone_change' AND new_phone = %(phone)s)) AND {MAY_GET_MAIL}
        ORDER BY id LIMIT 1 FOR UPDATE
    """
    return fetch_one(conn, User, sql, {"phone": phone, "kind": kind, "interval_s": interval_s, "per_day": per_day})


def update_phone_sign_up(
    conn: Connection, phone: str, password_hash: str | None, user_metadata: dict[str, Any]
) -> None:
    """Somebody signs up again with a number that nobody confirmed, or logs in with it.

    While a code for it is good, a password of another sign-up makes it contested: none counts. Later it is replaced.
    """
    execute(conn, "SELECT 1 FROM users WHERE phone = %(phone)s FOR UPDATE", {"phone": phone})
    sql = f"""
        UPDATE users
        SET is_contested = {HAS_LIVING_CODE} AND (is_contested OR password_hash IS DISTINCT FROM %(password_hash)s),
            password_hash = CASE WHEN {HAS_LIVING_CODE} THEN password_hash ELSE %(password_hash)s END,
            user_metadata = CASE WHEN {HAS_LIVING_CODE} THEN user_metadata ELSE %(user_metadata)s END
        WHERE phone = %(phone)s AND phone_confirmed_at IS NULL AND email_confirmed_at IS NULL
    """
    execute(conn, sql, {"phone": phone, "password_hash": password_hash, "user_metadata": user_metadata})


def update_phone_confirmed(conn: Connection, user_id: UUID) -> User | None:
    """Confirm. Of a contested number nothing that was signed up with stays."""
    sql = f"""
        UPDATE users
        SET phone_confirmed_at = coalesce(phone_confirmed_at, clock_timestamp()), is_contested = false,
            updated_at = clock_timestamp(),
            password_hash = CASE WHEN is_contested THEN NULL ELSE password_hash END,
            user_metadata = CASE WHEN is_contested THEN '{{}}' ELSE user_metadata END
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id})


def update_new_phone(conn: Connection, user_id: UUID, new_phone: str) -> User | None:
    """Keep the number that is to be; it counts for nothing yet."""
    sql = f"""
        UPDATE users SET new_phone = %(new_phone)s, phone_change_sent_at = clock_timestamp(), updated_at = now()
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "new_phone": new_phone})


def update_phone_changed(conn: Connection, user_id: UUID, new_phone: str) -> User | None:
    """The new number takes the place of the old one, if it is still the one asked for; a guest is none from now on.

    Raise UnprocessableContent(phone_exists) if somebody else has it meanwhile.
    """
    sql = f"""
        UPDATE users
        SET phone = new_phone, phone_confirmed_at = clock_timestamp(), new_phone = NULL, phone_change_sent_at = NULL,
            is_anonymous = false, updated_at = clock_timestamp(),
            app_metadata = app_metadata || jsonb_build_object(
                'provider', coalesce(app_metadata ->> 'provider', 'phone'),
                'providers', CASE WHEN coalesce(app_metadata -> 'providers', '[]') ? 'phone'
                                  THEN app_metadata -> 'providers'
                                  ELSE coalesce(app_metadata -> 'providers', '[]') || '"phone"' END)
        WHERE id = %(id)s AND new_phone = %(new_phone)s
        RETURNING {COLUMNS}
    """
    try:
        return fetch_one(conn, User, sql, {"id": user_id, "new_phone": new_phone})
    except UniqueViolation:
        raise phone_exists() from None


def phone_exists() -> UnprocessableContent:
    return UnprocessableContent("A user with this phone number has already been registered", code="phone_exists")
