"""Queries on secrets that work once. Each use locks the user and is one statement: of many at once, one wins."""

from dataclasses import dataclass
from uuid import UUID

from shared.ids import new_id
from shared.postgres import Connection, execute, fetch_one

MAX_ATTEMPTS = 5


@dataclass(frozen=True)
class Owner:
    """Whose secret it is."""

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


def is_contested(conn: Connection, kind: str, token_hash: bytes) -> bool:
    """True if this link is good and its address was signed up with under different passwords."""
    sql = """
        SELECT user_id FROM one_time_tokens JOIN users ON users.id = user_id
        WHERE token_hash = %(token_hash)s AND kind = %(kind)s AND is_contested
          AND consumed_at IS NULL AND expires_at > clock_timestamp()
    """
    return fetch_one(conn, Owner, sql, {"kind": kind, "token_hash": token_hash}) is not None


def consume_link(conn: Connection, kind: str, token_hash: bytes, *, sets_password: bool) -> UUID | None:
    """Use up the secret of a link; its user, or None if it is unknown, used or expired.

    Of a contested address only for a caller who sets a new password.
    """
    lock = """
        SELECT id AS user_id FROM users
        WHERE id = (SELECT user_id FROM one_time_tokens WHERE token_hash = %(token_hash)s AND kind = %(kind)s)
          AND (%(sets_password)s OR NOT is_contested)
        FOR UPDATE
    """
    use = """
        UPDATE one_time_tokens SET consumed_at = clock_timestamp()
        WHERE token_hash = %(token_hash)s AND kind = %(kind)s
          AND consumed_at IS NULL AND expires_at > clock_timestamp()
        RETURNING user_id
    """
    params = {"kind": kind, "token_hash": token_hash, "sets_password": sets_password}
    owner = fetch_one(conn, Owner, lock, params) and fetch_one(conn, Owner, use, params)
    return owner.user_id if owner else None


def consume_code(
    conn: Connection, kind: str, email: str, code_hashes: list[bytes], *, wrong_per_day: int
) -> UUID | None:
    """Use up six digits; their user, or None. A wrong try is counted, and the fifth one voids the code.

    Wrong tries outlive a code: after `wrong_per_day` of them in 24 hours no code is taken, nor of a contested address.
    The caller must commit in both cases.
    """
    lock = """
        SELECT id AS user_id FROM users
        WHERE lower(email) = lower(%(email)s) AND NOT is_contested
          AND (SELECT count(*) FROM unnest(wrong_codes_at) AS wrong_at
               WHERE wrong_at > clock_timestamp() - interval '1 day') < %(wrong_per_day)s
        FOR UPDATE
    """
    use = """
        UPDATE one_time_tokens
        SET attempts = attempts + 1,
            consumed_at = CASE WHEN code_hash = ANY(%(code_hashes)s) THEN clock_timestamp() END
        WHERE lower(email) = lower(%(email)s) AND kind = %(kind)s AND attempts < %(max_attempts)s
          AND consumed_at IS NULL AND expires_at > clock_timestamp()
        RETURNING user_id, consumed_at IS NOT NULL AS is_right
    """
    params = {"kind": kind, "email": email, "code_hashes": code_hashes, "max_attempts": MAX_ATTEMPTS}
    if fetch_one(conn, Owner, lock, {"email": email, "wrong_per_day": wrong_per_day}) is None:
        return None
    tried = fetch_one(conn, Try, use, params)
    if tried is not None and not tried.is_right:
        _count_wrong_code(conn, tried.user_id)
    return tried.user_id if tried and tried.is_right else None


def _count_wrong_code(conn: Connection, user_id: UUID) -> None:
    """Keep the time, and forget what is a day old."""
    sql = """
        UPDATE users SET wrong_codes_at = clock_timestamp() || ARRAY(
            SELECT wrong_at FROM unnest(wrong_codes_at) AS wrong_at
            WHERE wrong_at > clock_timestamp() - interval '1 day')
        WHERE id = %(id)s
    """
    execute(conn, sql, {"id": user_id})


def delete_expired_one_time_tokens(conn: Connection, *, limit: int) -> int:
    sql = """
        DELETE FROM one_time_tokens WHERE id IN (
            SELECT id FROM one_time_tokens WHERE expires_at < now()
            ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})
