"""Queries on identities: what a person logs in with. Address and number lie in `users`, the others in a table."""

# ruff: noqa: S608 — what the f-strings put in are constants

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg2.errors import UniqueViolation

from services.auth.rows import User
from services.auth.store.addresses import email_exists
from services.auth.store.users import COLUMNS
from shared.errors import UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection, execute, fetch_one

# Without the provider that goes; `provider` is the first of those left.
WITHOUT = """
    app_metadata || jsonb_build_object(
        'providers', coalesce(app_metadata -> 'providers', '[]') - %(provider)s,
        'provider', coalesce(app_metadata -> 'providers', '[]') - %(provider)s -> 0)
"""
# With the provider that comes; `provider` is the first that came.
WITH = """
    app_metadata || jsonb_build_object(
        'provider', coalesce(app_metadata ->> 'provider', %(provider)s),
        'providers', CASE WHEN coalesce(app_metadata -> 'providers', '[]') ? %(provider)s
                          THEN app_metadata -> 'providers'
                          ELSE coalesce(app_metadata -> 'providers', '[]') || to_jsonb(%(provider)s::text) END)
"""


@dataclass(frozen=True)
class IdentityKey:
    id: UUID


def insert_identity(
    conn: Connection,
    user_id: UUID,
    provider: str,
    provider_id: str,
    *,
    email: str | None,
    identity_data: dict[str, Any],
) -> UUID:
    """Link an account elsewhere. Raise UnprocessableContent(identity_already_exists) if it is linked already."""
    sql = """
        INSERT INTO identities (id, user_id, provider, provider_id, email, identity_data)
        VALUES (%(id)s, %(user_id)s, %(provider)s, %(provider_id)s, %(email)s, %(identity_data)s)
    """
    identity_id = new_id()
    params = {
        "id": identity_id,
        "user_id": user_id,
        "provider": provider,
        "provider_id": provider_id,
        "email": email,
        "identity_data": identity_data,
    }
    try:
        execute(conn, sql, params)
    except UniqueViolation:
        raise UnprocessableContent("Identity is already linked", code="identity_already_exists") from None
    added = """
        UPDATE users SET app_metadata = app_metadata || jsonb_build_object(
            'provider', coalesce(app_metadata ->> 'provider', %(provider)s),
            'providers', coalesce(app_metadata -> 'providers', '[]') || to_jsonb(%(provider)s::text))
        WHERE id = %(user_id)s AND NOT coalesce(app_metadata -> 'providers', '[]') ? %(provider)s
    """
    execute(conn, added, params)
    return identity_id


def delete_identity(conn: Connection, user_id: UUID, identity_id: UUID) -> User | None:
    """Unlink an account elsewhere; its provider stays named if there is another account with it."""
    sql = f"""
        WITH gone AS (DELETE FROM identities WHERE id = %(id)s AND user_id = %(user_id)s RETURNING provider)
        UPDATE users SET updated_at = clock_timestamp(), app_metadata = CASE
            WHEN EXISTS (SELECT 1 FROM identities AS other, gone
                         WHERE other.user_id = users.id AND other.provider = gone.provider AND other.id <> %(id)s)
            THEN app_metadata ELSE {WITHOUT.replace("%(provider)s", "(SELECT provider FROM gone)")} END
        WHERE id = %(user_id)s AND EXISTS (SELECT 1 FROM gone)
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": identity_id, "user_id": user_id})


def update_email_unlinked(conn: Connection, user_id: UUID) -> User | None:
    """The address goes, and the password with it if there is no number to go with it."""
    sql = f"""
        UPDATE users
        SET email = NULL, email_confirmed_at = NULL, new_email = NULL, updated_at = clock_timestamp(),
            password_hash = CASE WHEN phone_confirmed_at IS NULL THEN NULL ELSE password_hash END,
            app_metadata = {WITHOUT}
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "provider": "email"})


def update_phone_unlinked(conn: Connection, user_id: UUID) -> User | None:
    """The number goes, and the password with it if there is no address to go with it."""
    sql = f"""
        UPDATE users
        SET phone = NULL, phone_confirmed_at = NULL, new_phone = NULL, updated_at = clock_timestamp(),
            password_hash = CASE WHEN email_confirmed_at IS NULL THEN NULL ELSE password_hash END,
            app_metadata = {WITHOUT}
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "provider": "phone"})


def lock_identity(conn: Connection, provider: str, provider_id: str) -> None:
    """Take turns with everybody who comes with this account elsewhere, until the transaction ends."""
    sql = "SELECT pg_advisory_xact_lock(hashtextextended(%(provider)s || chr(10) || %(provider_id)s, 0))"
    execute(conn, sql, {"provider": provider, "provider_id": provider_id})


def get_user_by_identity(conn: Connection, provider: str, provider_id: str) -> User | None:
    """Whose account elsewhere this is."""
    sql = f"""
        SELECT {COLUMNS} FROM users
        WHERE id = (SELECT user_id FROM identities WHERE provider = %(provider)s AND provider_id = %(provider_id)s)
    """
    return fetch_one(conn, User, sql, {"provider": provider, "provider_id": provider_id})


def update_identity_used(
    conn: Connection, provider: str, provider_id: str, *, email: str | None, identity_data: dict[str, Any]
) -> None:
    """Note a log-in, and what the provider says today; what it leaves out stays as it was (Apple says a name once)."""
    sql = """
        UPDATE identities
        SET last_sign_in_at = clock_timestamp(), updated_at = clock_timestamp(),
            email = coalesce(%(email)s, email), identity_data = identity_data || %(identity_data)s::jsonb
        WHERE provider = %(provider)s AND provider_id = %(provider_id)s
    """
    params = {"provider": provider, "provider_id": provider_id, "email": email, "identity_data": identity_data}
    execute(conn, sql, params)


def delete_identities(conn: Connection, user_id: UUID) -> None:
    """Unlink all of them; no provider is named any more, not even `email`."""
    execute(conn, "DELETE FROM identities WHERE user_id = %(id)s", {"id": user_id})
    sql = "UPDATE users SET app_metadata = app_metadata - 'provider' - 'providers' WHERE id = %(id)s"
    execute(conn, sql, {"id": user_id})


def insert_external_user(
    conn: Connection, user_id: UUID, email: str | None, user_metadata: dict[str, Any]
) -> User | None:
    """A user whose address, if any, a provider vouches for; None if the address is taken."""
    sql = f"""
        INSERT INTO users (id, email, email_confirmed_at, user_metadata)
        VALUES (%(id)s, %(email)s, CASE WHEN %(email)s IS NOT NULL THEN now() END, %(user_metadata)s)
        ON CONFLICT DO NOTHING
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "email": email, "user_metadata": user_metadata})


def update_metadata_added(conn: Connection, user_id: UUID, user_metadata: dict[str, Any], *, max_bytes: int) -> None:
    """Add names that are not there yet, unless it would be too much; what the person has set stays."""
    sql = """
        UPDATE users SET user_metadata = %(user_metadata)s::jsonb || user_metadata, updated_at = clock_timestamp()
        WHERE id = %(id)s AND NOT user_metadata @> (%(user_metadata)s::jsonb || user_metadata)
          AND octet_length((%(user_metadata)s::jsonb || user_metadata)::text) <= %(max_bytes)s
    """
    execute(conn, sql, {"id": user_id, "user_metadata": user_metadata, "max_bytes": max_bytes})


def update_email_vouched(conn: Connection, user_id: UUID, email: str | None) -> User | None:
    """Who had no address gets the one that a provider vouches for, and is a guest no more.

    Raise UnprocessableContent(email_exists).
    """
    sql = f"""
        UPDATE users
        SET email = coalesce(email, %(email)s), is_anonymous = false, updated_at = clock_timestamp(),
            email_confirmed_at = CASE WHEN email IS NULL AND %(email)s IS NOT NULL THEN clock_timestamp()
                                      ELSE email_confirmed_at END
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    try:
        return fetch_one(conn, User, sql, {"id": user_id, "email": email})
    except UniqueViolation:
        raise email_exists() from None


def get_identity_id(conn: Connection, provider: str, provider_id: str) -> UUID | None:
    sql = "SELECT id FROM identities WHERE provider = %(provider)s AND provider_id = %(provider_id)s"
    found = fetch_one(conn, IdentityKey, sql, {"provider": provider, "provider_id": provider_id})
    return found.id if found else None
