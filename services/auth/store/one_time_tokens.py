"""Queries on secrets that work once. Each use is one statement, so of many tries at the same time one wins."""

from dataclasses import dataclass
from uuid import UUID

from shared.ids import new_id
from shared.postgres import Connection, execute, fetch_one

MAX_ATTEMPTS = 5


@dataclass(frozen=True)
class Consumed:
    """Whose secret was used."""

    user_id: UUID


@dataclass(frozen=True)
class Try:
    user_id: UUID
    is_right: bool


def put_one_time_token(
    conn: Connection, user_id: UUID, kind: str, email: str, *, token_hash: bytes, code_hash: bytes, lifetime_s: int
) -> None:
    """Keep a new secret; the user's older one of this kind is void."""
    sql = """
        INSERT INTO one_time_tokens (id, user_id, kind, email, token_hash, code_hash, expires_at)
        VALUES (%(id)s, %(user_id)s, %(kind)s, %(email)s, %(token_hash)s, %(code_hash)s,
                clock_timestamp() + make_interval(secs => %(lifetime_s)s))
        ON CONFLICT (user_id, kind) DO UPDATE
        SET id = excluded.id, email = excluded.email, token_hash = excluded.token_hash, code_hash = excluded.code_hash,
            attempts = 0, created_at = now(), expires_at = excluded.expires_at, consumed_at = NULL
    """
    params = {
        "id": new_id(),
        "user_id": user_id,
        "kind": kind,
        "email": email,
        "token_hash": token_hash,
        "code_hash": code_hash,
        "lifetime_s": lifetime_s,
    }
    execute(conn, sql, params)


def consume_link(conn: Connection, kind: str, token_hash: bytes) -> UUID | None:
    """Use up the secret of a link; its user, or None if it is unknown, used or expired."""
    sql = """
        UPDATE one_time_tokens SET consumed_at = clock_timestamp()
        WHERE token_hash = %(token_hash)s AND kind = %(kind)s
          AND consumed_at IS NULL AND expires_at > clock_timestamp()
        RETURNING user_id
    """
    used = fetch_one(conn, Consumed, sql, {"kind": kind, "token_hash": token_hash})
    return used.user_id if used else None


def consume_code(conn: Connection, kind: str, email: str, code_hashes: list[bytes]) -> UUID | None:
    """Use up six digits; their user, or None. A wrong try is counted, and the fifth one voids the code.

    The caller must commit in both cases.
    """
    sql = """
        UPDATE one_time_tokens
        SET attempts = attempts + 1,
            consumed_at = CASE WHEN code_hash = ANY(%(code_hashes)s) THEN clock_timestamp() END
        WHERE lower(email) = lower(%(email)s) AND kind = %(kind)s AND attempts < %(max_attempts)s
          AND consumed_at IS NULL AND expires_at > clock_timestamp()
        RETURNING user_id, consumed_at IS NOT NULL AS is_right
    """
    params = {"kind": kind, "email": email, "code_hashes": code_hashes, "max_attempts": MAX_ATTEMPTS}
    tried = fetch_one(conn, Try, sql, params)
    return tried.user_id if tried and tried.is_right else None


def delete_expired_one_time_tokens(conn: Connection, *, limit: int) -> int:
    sql = """
        DELETE FROM one_time_tokens WHERE id IN (
            SELECT id FROM one_time_tokens WHERE expires_at < now()
            ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})
