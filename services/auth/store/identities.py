"""Queries on identities: what a person logs in with. Address and number lie in `users`, the others in a table."""

# ruff: noqa: S608 — what the f-strings put in are constants

from typing import Any
from uuid import UUID

from psycopg2.errors import UniqueViolation

from services.auth.rows import User
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
