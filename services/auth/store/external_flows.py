"""Queries on people who are on their way to a provider and back."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.auth.pkce import Challenge
from shared.postgres import Connection, execute, fetch_one

COLUMNS = "provider, place, is_page, code_challenge, code_challenge_method, session_id, asked"


@dataclass(frozen=True)
class ExternalFlow:
    """Where somebody is to come back to, and what for: with a `session_id`, to link an account to its user."""

    provider: str
    place: str
    is_page: bool = False
    code_challenge: str | None = None
    code_challenge_method: str | None = None
    session_id: UUID | None = None
    asked: Any = None

    @property
    def challenge(self) -> Challenge | None:
        if self.code_challenge is None or self.code_challenge_method is None:
            return None
        return Challenge(self.code_challenge, self.code_challenge_method)


def insert_external_flow(
    conn: Connection, state_hash: bytes, browser_hash: bytes | None, flow: ExternalFlow, *, lifetime_s: int
) -> None:
    sql = f"""
        INSERT INTO external_flows (state_hash, browser_hash, {COLUMNS}, expires_at)
        VALUES (%(state_hash)s, %(browser_hash)s, %(provider)s, %(place)s, %(is_page)s, %(code_challenge)s,
                %(code_challenge_method)s, %(session_id)s, %(asked)s,
                clock_timestamp() + make_interval(secs => %(lifetime_s)s))
    """  # noqa: S608 — a constant
    params = {
        "state_hash": state_hash,
        "browser_hash": browser_hash,
        "provider": flow.provider,
        "place": flow.place,
        "is_page": flow.is_page,
        "code_challenge": flow.code_challenge,
        "code_challenge_method": flow.code_challenge_method,
        "session_id": flow.session_id,
        "asked": flow.asked or {},
        "lifetime_s": lifetime_s,
    }
    execute(conn, sql, params)


def open_external_flow(conn: Connection, state_hash: bytes, browser_hash: bytes) -> ExternalFlow | None:
    """Bind what an app got to the first browser that opens it; None in any other."""
    sql = f"""
        UPDATE external_flows SET browser_hash = %(browser_hash)s
        WHERE state_hash = %(state_hash)s AND expires_at > clock_timestamp() AND session_id IS NOT NULL
          AND (browser_hash IS NULL OR browser_hash = %(browser_hash)s)
        RETURNING {COLUMNS}
    """  # noqa: S608 — a constant
    return fetch_one(conn, ExternalFlow, sql, {"state_hash": state_hash, "browser_hash": browser_hash})


def consume_external_flow(conn: Connection, state_hash: bytes, browser_hash: bytes) -> ExternalFlow | None:
    """Use a state up in the browser that it belongs to; None in any other, which does not use it up."""
    sql = f"""
        DELETE FROM external_flows
        WHERE state_hash = %(state_hash)s AND browser_hash = %(browser_hash)s AND expires_at > clock_timestamp()
        RETURNING {COLUMNS}
    """  # noqa: S608 — a constant
    return fetch_one(conn, ExternalFlow, sql, {"state_hash": state_hash, "browser_hash": browser_hash})


def delete_expired_external_flows(conn: Connection, *, limit: int) -> int:
    sql = """
        DELETE FROM external_flows WHERE state_hash IN (
            SELECT state_hash FROM external_flows WHERE expires_at < now()
            ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})
