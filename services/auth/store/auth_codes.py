"""Queries on codes that a browser carries back to the app (PKCE)."""

from dataclasses import dataclass, field
from uuid import UUID

from services.auth.pkce import Challenge
from shared.postgres import Connection, execute, fetch_one


@dataclass(frozen=True)
class AuthCode:
    """A code that was used up just now."""

    user_id: UUID
    method: str
    code_challenge: str
    code_challenge_method: str
    is_expired: bool
    carried_sealed: bytes | None = field(default=None, repr=False)

    @property
    def challenge(self) -> Challenge:
        return Challenge(self.code_challenge, self.code_challenge_method)


def insert_auth_code(
    conn: Connection,
    code_hash: bytes,
    user_id: UUID,
    method: str,
    challenge: Challenge,
    *,
    lifetime_s: int,
    carried_sealed: bytes | None = None,
) -> None:
    sql = """
        INSERT INTO auth_codes (code_hash, user_id, method, code_challenge, code_challenge_method, carried_sealed,
                                expires_at)
        VALUES (%(code_hash)s, %(user_id)s, %(method)s, %(challenge)s, %(challenge_method)s, %(carried)s,
                clock_timestamp() + make_interval(secs => %(lifetime_s)s))
    """
    params = {
        "code_hash": code_hash,
        "user_id": user_id,
        "method": method,
        "challenge": challenge.challenge,
        "challenge_method": challenge.method,
        "carried": carried_sealed,
        "lifetime_s": lifetime_s,
    }
    execute(conn, sql, params)


def consume_auth_code(conn: Connection, code_hash: bytes) -> AuthCode | None:
    """Use up a code, whatever comes of it: a wrong verifier says that somebody else has it."""
    sql = """
        DELETE FROM auth_codes WHERE code_hash = %(code_hash)s
        RETURNING user_id, method, code_challenge, code_challenge_method, carried_sealed,
                  expires_at <= clock_timestamp() AS is_expired
    """
    return fetch_one(conn, AuthCode, sql, {"code_hash": code_hash})


def delete_expired_auth_codes(conn: Connection, *, limit: int) -> int:
    sql = """
        DELETE FROM auth_codes WHERE code_hash IN (
            SELECT code_hash FROM auth_codes WHERE expires_at < now()
            ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})
