"""Queries on users. Addresses arrive normalised; `lower()` is what the index is on."""

# ruff: noqa: S608 — what the f-strings put in are the two constants

from typing import Any
from uuid import UUID

from services.auth.rows import User
from shared.ids import new_id
from shared.postgres import Connection, execute, fetch_one

COLUMNS = """
    users.id, users.email, users.email_confirmed_at, users.confirmation_sent_at, users.password_hash, users.role,
    users.user_metadata, users.app_metadata, users.is_anonymous, users.last_sign_in_at, users.created_at,
    users.updated_at, users.phone, users.phone_confirmed_at, users.new_email, users.email_change_sent_at,
    users.new_phone, users.phone_change_sent_at, users.banned_until, users.invited_at,
    users.roles,
    (SELECT coalesce(jsonb_agg(to_jsonb(identity) ORDER BY identity.created_at), '[]') FROM (
        SELECT id AS identity_id, provider_id AS id, provider, identity_data, email, last_sign_in_at, created_at,
               updated_at
        FROM identities WHERE user_id = users.id) AS identity) AS identities,
    (SELECT coalesce(jsonb_agg(to_jsonb(factor) ORDER BY factor.created_at), '[]') FROM (
        SELECT id, kind AS factor_type, name AS friendly_name, created_at, updated_at, last_challenged_at,
               CASE WHEN expires_at IS NULL THEN 'verified' ELSE 'unverified' END AS status
        FROM factors
        WHERE user_id = users.id AND (expires_at IS NULL OR expires_at > clock_timestamp())) AS factor) AS factors
"""
HAS_LIVING_LINK = """
    EXISTS (SELECT 1 FROM one_time_tokens AS living
            WHERE living.user_id = users.id AND living.kind IN ('signup', 'invite') AND living.consumed_at IS NULL
              AND living.expires_at > clock_timestamp())
"""
EMAIL_ONLY = {"provider": "email", "providers": ["email"]}


def insert_user(
    conn: Connection,
    user_id: UUID,
    email: str | None,
    password_hash: str | None,
    user_metadata: dict[str, Any],
    *,
    is_confirmed: bool,
) -> User | None:
    """The new user, or None if the address is taken, whatever its case. If the id is taken, another is made."""
    sql = f"""
        INSERT INTO users (id, email, password_hash, user_metadata, app_metadata, email_confirmed_at)
        VALUES (CASE WHEN EXISTS (SELECT 1 FROM users WHERE id = %(id)s) THEN %(other_id)s ELSE %(id)s END,
                %(email)s, %(password_hash)s, %(user_metadata)s, %(app_metadata)s,
                CASE WHEN %(is_confirmed)s THEN now() END)
        ON CONFLICT DO NOTHING
        RETURNING {COLUMNS}
    """
    params = {
        "id": user_id,
        "other_id": new_id(),
        "email": email,
        "password_hash": password_hash,
        "user_metadata": user_metadata,
        "app_metadata": EMAIL_ONLY,
        "is_confirmed": is_confirmed,
    }
    return fetch_one(conn, User, sql, params)


def get_user_by_email(conn: Connection, email: str) -> User | None:
    sql = f"SELECT {COLUMNS} FROM users WHERE lower(email) = lower(%(email)s)"
    return fetch_one(conn, User, sql, {"email": email})


def lock_user_by_email(conn: Connection, email: str) -> User | None:
    """The user with this address, in turns with every other change of them."""
    execute(conn, "SELECT 1 FROM users WHERE lower(email) = lower(%(email)s) FOR UPDATE", {"email": email})
    return get_user_by_email(conn, email)


def get_user(conn: Connection, user_id: UUID) -> User | None:
    sql = f"SELECT {COLUMNS} FROM users WHERE id = %(id)s"
    return fetch_one(conn, User, sql, {"id": user_id})


def lock_user(conn: Connection, user_id: UUID) -> None:
    """Take turns with every other change of this user until the transaction ends."""
    execute(conn, "SELECT 1 FROM users WHERE id = %(id)s FOR UPDATE", {"id": user_id})


def get_user_of_session(conn: Connection, user_id: UUID, session_id: UUID | None) -> User | None:
    """The user, as long as this session of theirs has not ended."""
    sql = f"""
        SELECT {COLUMNS} FROM sessions JOIN users ON users.id = sessions.user_id
        WHERE sessions.id = %(session_id)s AND sessions.user_id = %(user_id)s AND sessions.ended_at IS NULL
    """
    return fetch_one(conn, User, sql, {"user_id": user_id, "session_id": session_id})


def update_contested(conn: Connection, email: str, password_hash: str | None) -> None:
    """Note that somebody signs up with another password while a link for this unconfirmed address is good,
    of a sign-up or of an invitation."""
    # The lock comes first, in a statement of its own: only the next one sees what another sign-up has just done.
    execute(conn, "SELECT 1 FROM users WHERE lower(email) = lower(%(email)s) FOR UPDATE", {"email": email})
    sql = f"""
        UPDATE users SET is_contested = true
        WHERE lower(email) = lower(%(email)s) AND email_confirmed_at IS NULL
          AND password_hash IS DISTINCT FROM %(password_hash)s AND {HAS_LIVING_LINK}
    """
    execute(conn, sql, {"email": email, "password_hash": password_hash})


def update_unconfirmed_user(
    conn: Connection, user_id: UUID, password_hash: str, user_metadata: dict[str, Any]
) -> User | None:
    """Let a later sign-up replace an earlier one that nobody confirmed; None while different ones contest."""
    sql = f"""
        UPDATE users
        SET password_hash = %(password_hash)s, user_metadata = %(user_metadata)s, is_contested = false,
            updated_at = now()
        WHERE id = %(id)s AND email_confirmed_at IS NULL AND NOT (is_contested AND {HAS_LIVING_LINK})
        RETURNING {COLUMNS}
    """
    params = {"id": user_id, "password_hash": password_hash, "user_metadata": user_metadata}
    return fetch_one(conn, User, sql, params)


def update_signed_in(
    conn: Connection, user_id: UUID, *, password_hash: str | None, new_hash: str | None = None
) -> User | None:
    """Note a log-in. With `password_hash`, only if it is still the one that was verified; `new_hash` replaces it."""
    sql = f"""
        UPDATE users
        SET last_sign_in_at = now(), password_hash = coalesce(%(new_hash)s, password_hash)
        WHERE id = %(id)s AND (%(password_hash)s IS NULL OR password_hash = %(password_hash)s)
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "password_hash": password_hash, "new_hash": new_hash})


def update_user(
    conn: Connection, user_id: UUID, *, password_hash: str | None, user_metadata: dict[str, Any] | None
) -> User | None:
    """Set what is given; names in `user_metadata` are merged into the stored ones, and null removes a name."""
    sql = f"""
        UPDATE users
        SET password_hash = coalesce(%(password_hash)s, password_hash),
            user_metadata = (user_metadata || %(metadata)s::jsonb) - %(removed)s::text[],
            updated_at = now()
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    metadata = user_metadata or {}
    removed = [name for name, value in metadata.items() if value is None]
    params = {"id": user_id, "password_hash": password_hash, "metadata": metadata, "removed": removed}
    return fetch_one(conn, User, sql, params)
