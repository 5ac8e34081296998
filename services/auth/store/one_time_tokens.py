"""Queries on secrets that work once. Each use locks the user and is one statement: of many at once, one wins."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.auth.pkce import Challenge
from shared.ids import new_id
from shared.postgres import Connection, execute, fetch_all, fetch_one

MAX_ATTEMPTS = 5


@dataclass(frozen=True)
class Owner:
    """Whose secret it is."""

    user_id: UUID


@dataclass(frozen=True)
class Consumed:
    """A secret that was right; `email` is where it went, the rest came with the request that it answers."""

    user_id: UUID
    kind: str
    email: str
    code_challenge: str | None
    code_challenge_method: str | None
    user_metadata: dict[str, Any] | None

    @property
    def challenge(self) -> Challenge | None:
        return Challenge.of(self.code_challenge, self.code_challenge_method)


@dataclass(frozen=True)
class Try(Consumed):
    is_right: bool


def put_one_time_token(
    conn: Connection,
    user_id: UUID,
    kind: str,
    email: str,
    *,
    token_hash: bytes,
    code_hash: bytes,
    lifetime_s: int,
    challenge: Challenge | None = None,
    user_metadata: dict[str, Any] | None = None,
) -> None:
    """Keep a new secret; the user's older one of this kind is void."""
    sql = """
        INSERT INTO one_time_tokens
            (id, user_id, kind, email, token_hash, code_hash, expires_at, code_challenge, code_challenge_method,
             user_metadata)
        VALUES (%(id)s, %(user_id)s, %(kind)s, %(email)s, %(token_hash)s, %(code_hash)s,
                clock_timestamp() + make_interval(secs => %(lifetime_s)s), %(challenge)s, %(method)s,
                %(user_metadata)s)
        ON CONFLICT (user_id, kind) DO UPDATE
        SET id = excluded.id, email = excluded.email, token_hash = excluded.token_hash, code_hash = excluded.code_hash,
            attempts = 0, created_at = now(), expires_at = excluded.expires_at, consumed_at = NULL,
            code_challenge = excluded.code_challenge, code_challenge_method = excluded.code_challenge_method,
            user_metadata = excluded.user_metadata
    """
    params = {
        "id": new_id(),
        "user_id": user_id,
        "kind": kind,
        "email": email,
        "token_hash": token_hash,
        "code_hash": code_hash,
        "lifetime_s": lifetime_s,
        "challenge": challenge.challenge if challenge else None,
        "method": challenge.method if challenge else None,
        "user_metadata": user_metadata,
    }
    execute(conn, sql, params)


def is_contested(conn: Connection, token_hash: bytes) -> bool:
    """True if this link is good and its address was signed up with under different passwords."""
    sql = """
        SELECT user_id FROM one_time_tokens JOIN users ON users.id = user_id
        WHERE token_hash = %(token_hash)s AND kind = 'signup' AND is_contested
          AND consumed_at IS NULL AND expires_at > clock_timestamp()
    """
    return fetch_one(conn, Owner, sql, {"token_hash": token_hash}) is not None


def is_used(conn: Connection, user_id: UUID, kind: str) -> bool:
    """True if the latest secret of this kind was used up, and would be good still."""
    sql = """
        SELECT user_id FROM one_time_tokens
        WHERE user_id = %(user_id)s AND kind = %(kind)s AND consumed_at IS NOT NULL AND expires_at > clock_timestamp()
    """
    return fetch_one(conn, Owner, sql, {"user_id": user_id, "kind": kind}) is not None


def consume_link(
    conn: Connection, kinds: Collection[str], token_hash: bytes, *, sets_password: bool = False
) -> Consumed | None:
    """Use up the secret of a link, or None if it is unknown, used or expired.

    That of a sign-up with a contested address only for a caller who sets a new password.
    """
    lock = """
        SELECT users.id AS user_id FROM users JOIN one_time_tokens ON one_time_tokens.user_id = users.id
        WHERE token_hash = %(token_hash)s AND kind = ANY(%(kinds)s)
          AND (%(sets_password)s OR kind <> 'signup' OR NOT is_contested)
        FOR UPDATE OF users
    """
    use = """
        UPDATE one_time_tokens SET consumed_at = clock_timestamp()
        WHERE token_hash = %(token_hash)s AND kind = ANY(%(kinds)s)
          AND consumed_at IS NULL AND expires_at > clock_timestamp()
        RETURNING user_id, kind, email, code_challenge, code_challenge_method, user_metadata
    """
    params = {"kinds": list(kinds), "token_hash": token_hash, "sets_password": sets_password}
    return fetch_one(conn, Consumed, use, params) if fetch_one(conn, Owner, lock, params) else None


def consume_code(
    conn: Connection, kinds: Collection[str], address: str, code_hashes: list[bytes], *, wrong_per_day: int
) -> tuple[Consumed | None, bool]:
    """Use up the digits that went to an address or number, or None; and whether there was anything to try.

    A wrong try is counted, the fifth voids the code.

    Wrong tries outlive a code: after `wrong_per_day` of them in 24 hours no code is taken, nor that of a sign-up with
    a contested address. The caller must commit in both cases.
    """
    lock = """
        SELECT id AS user_id FROM users
        WHERE id IN (SELECT user_id FROM one_time_tokens
                     WHERE lower(email) = lower(%(address)s) AND kind = ANY(%(kinds)s))
          AND (SELECT count(*) FROM unnest(wrong_codes_at) AS wrong_at
               WHERE wrong_at > clock_timestamp() - interval '1 day') < %(wrong_per_day)s
        ORDER BY id FOR UPDATE
    """
    use = """
        UPDATE one_time_tokens AS t
        SET attempts = attempts + 1,
            consumed_at = CASE WHEN code_hash = ANY(%(code_hashes)s) THEN clock_timestamp() END
        FROM users
        WHERE users.id = t.user_id AND users.id = ANY(%(user_ids)s::uuid[]) AND (kind <> 'signup' OR NOT is_contested)
          AND lower(t.email) = lower(%(address)s) AND kind = ANY(%(kinds)s) AND attempts < %(max_attempts)s
          AND consumed_at IS NULL AND expires_at > clock_timestamp()
        RETURNING t.user_id, t.kind, t.email, t.code_challenge, t.code_challenge_method, t.user_metadata,
                  consumed_at IS NOT NULL AS is_right
    """
    params: dict[str, Any] = {"kinds": list(kinds), "address": address, "wrong_per_day": wrong_per_day}
    owners = fetch_all(conn, Owner, lock, params)
    if not owners:
        return None, False
    params |= {
        "user_ids": [str(owner.user_id) for owner in owners],
        "code_hashes": code_hashes,
        "max_attempts": MAX_ATTEMPTS,
    }
    tried = fetch_all(conn, Try, use, params)
    right = next((each for each in tried if each.is_right), None)
    if right is None:
        for user_id in {each.user_id for each in tried}:
            _count_wrong_code(conn, user_id)
    return right, True


def _count_wrong_code(conn: Connection, user_id: UUID) -> None:
    """Keep the time, and forget what is a day old."""
    sql = """
        UPDATE users SET wrong_codes_at = clock_timestamp() || ARRAY(
            SELECT wrong_at FROM unnest(wrong_codes_at) AS wrong_at
            WHERE wrong_at > clock_timestamp() - interval '1 day')
        WHERE id = %(id)s
    """
    execute(conn, sql, {"id": user_id})


def delete_one_time_tokens(conn: Connection, user_id: UUID, kinds: Collection[str] | None = None) -> None:
    """Void a user's secrets of these kinds, or all of them."""
    sql = "DELETE FROM one_time_tokens WHERE user_id = %(id)s AND (%(kinds)s IS NULL OR kind = ANY(%(kinds)s::text[]))"
    execute(conn, sql, {"id": user_id, "kinds": list(kinds) if kinds else None})


def delete_expired_one_time_tokens(conn: Connection, *, limit: int) -> int:
    sql = """
        DELETE FROM one_time_tokens WHERE id IN (
            SELECT id FROM one_time_tokens WHERE expires_at < now()
            ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})
