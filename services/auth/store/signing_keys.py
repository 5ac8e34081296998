"""Queries on signing keys."""

from dataclasses import dataclass
from typing import Any

from services.auth.rows import SigningKeyRow
from shared.postgres import Connection, execute, fetch_all, fetch_one


@dataclass(frozen=True)
class _State:
    state: str


LOCK = 0x6B657973  # any fixed number: processes that make or move keys take turns


def lock_signing_keys(conn: Connection) -> None:
    """Wait until no other process makes or moves keys; held until the transaction ends."""
    execute(conn, "SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": LOCK})


def list_signing_keys(conn: Connection) -> list[SigningKeyRow]:
    """Every key, the active one first."""
    sql = """
        SELECT kid, state, public_jwk, private_key_sealed, created_at, activated_at, retired_at FROM signing_keys
        ORDER BY state, created_at DESC
    """
    return fetch_all(conn, SigningKeyRow, sql)


def insert_signing_key(conn: Connection, kid: str, state: str, public_jwk: dict[str, Any], sealed: bytes) -> None:
    sql = """
        INSERT INTO signing_keys (kid, state, public_jwk, private_key_sealed, activated_at)
        VALUES (%(kid)s, %(state)s, %(public_jwk)s, %(sealed)s, CASE WHEN %(state)s = 'active' THEN now() END)
    """
    execute(conn, sql, {"kid": kid, "state": state, "public_jwk": public_jwk, "sealed": sealed})


def update_next_key_active(conn: Connection) -> None:
    """The active key retires and the pre-published one takes its place."""
    execute(conn, "UPDATE signing_keys SET state = 'retiring', retired_at = now() WHERE state = 'active'")
    execute(conn, "UPDATE signing_keys SET state = 'active', activated_at = now() WHERE state = 'pre_published'")


def delete_signing_key(conn: Connection, kid: str) -> str | None:
    """Delete a key; the state it was in, or None if there is no such key."""
    deleted = fetch_one(conn, _State, "DELETE FROM signing_keys WHERE kid = %(kid)s RETURNING state", {"kid": kid})
    return deleted.state if deleted else None


def delete_retired_keys(conn: Connection, *, kept_s: int) -> int:
    sql = "DELETE FROM signing_keys WHERE state = 'retiring' AND retired_at < now() - make_interval(secs => %(kept_s)s)"
    return execute(conn, sql, {"kept_s": kept_s})
