"""Queries on keys of WebAuthn and on challenges that were answered. A passkey belongs to no factor."""

# ruff: noqa: S608 — what the f-strings put in is COLUMNS, a constant

from uuid import UUID

from services.auth.rows import Credential, NewKey
from shared.ids import new_id
from shared.postgres import Connection, execute, fetch_all, fetch_one

COLUMNS = """
    id, user_id, factor_id, credential_id, public_key, sign_count, aaguid, is_backup_eligible, is_backed_up,
    transports, name, created_at, last_used_at
"""


def insert_credential(
    conn: Connection, made: NewKey, user_id: UUID, name: str, *, factor_id: UUID | None = None
) -> Credential | None:
    """Keep a key; None if some account has it already."""
    sql = f"""
        INSERT INTO webauthn_credentials (
            id, user_id, factor_id, credential_id, public_key, sign_count, aaguid, is_backup_eligible, is_backed_up,
            transports, name)
        VALUES (
            %(id)s, %(user_id)s, %(factor_id)s, %(credential_id)s, %(public_key)s, %(sign_count)s, %(aaguid)s,
            %(is_backup_eligible)s, %(is_backed_up)s, %(transports)s, %(name)s)
        ON CONFLICT DO NOTHING
        RETURNING {COLUMNS}
    """
    params = {"id": new_id(), "user_id": user_id, "factor_id": factor_id, "name": name, **vars(made)}
    return fetch_one(conn, Credential, sql, params)


def list_credentials(conn: Connection, user_id: UUID) -> list[Credential]:
    """Every key of a user, passkeys and those of factors, oldest first."""
    sql = f"SELECT {COLUMNS} FROM webauthn_credentials WHERE user_id = %(user_id)s ORDER BY id"
    return fetch_all(conn, Credential, sql, {"user_id": user_id})


def get_passkey(conn: Connection, credential_id: bytes) -> Credential | None:
    """The passkey with the id that its authenticator gave it."""
    sql = f"SELECT {COLUMNS} FROM webauthn_credentials WHERE credential_id = %(id)s AND factor_id IS NULL"
    return fetch_one(conn, Credential, sql, {"id": credential_id})


def get_credential_of_factor(conn: Connection, factor_id: UUID) -> Credential | None:
    sql = f"SELECT {COLUMNS} FROM webauthn_credentials WHERE factor_id = %(factor_id)s"
    return fetch_one(conn, Credential, sql, {"factor_id": factor_id})


def update_credential_used(conn: Connection, key_id: UUID, *, sign_count: int, is_backed_up: bool) -> bool:
    """Accept a counter that moved on, or that the authenticator does not keep. False if it stood still or fell back."""
    sql = """
        UPDATE webauthn_credentials
        SET sign_count = %(sign_count)s, is_backed_up = %(is_backed_up)s, last_used_at = clock_timestamp()
        WHERE id = %(id)s AND (sign_count < %(sign_count)s OR (sign_count = 0 AND %(sign_count)s = 0))
    """
    return execute(conn, sql, {"id": key_id, "sign_count": sign_count, "is_backed_up": is_backed_up}) == 1


def update_passkey_name(conn: Connection, user_id: UUID, key_id: UUID, name: str) -> Credential | None:
    sql = f"""
        UPDATE webauthn_credentials SET name = %(name)s
        WHERE id = %(id)s AND user_id = %(user_id)s AND factor_id IS NULL
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, Credential, sql, {"id": key_id, "user_id": user_id, "name": name})


def delete_passkey(conn: Connection, user_id: UUID, key_id: UUID) -> Credential | None:
    """The passkey that is gone now, or None if the user had no such."""
    sql = f"""
        DELETE FROM webauthn_credentials WHERE id = %(id)s AND user_id = %(user_id)s AND factor_id IS NULL
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, Credential, sql, {"id": key_id, "user_id": user_id})


def use_challenge(conn: Connection, challenge_id: UUID, *, expires_at: float) -> bool:
    """Note that a challenge was answered: True once."""
    sql = """
        INSERT INTO used_challenges (id, expires_at) VALUES (%(id)s, to_timestamp(%(expires_at)s))
        ON CONFLICT DO NOTHING
    """
    return execute(conn, sql, {"id": challenge_id, "expires_at": expires_at}) == 1


def delete_used_challenges(conn: Connection, *, limit: int) -> int:
    """Delete those that are refused by their age anyway."""
    sql = """
        DELETE FROM used_challenges WHERE id IN (
            SELECT id FROM used_challenges WHERE expires_at < now() - interval '1 minute'
            ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})
