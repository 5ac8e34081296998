"""Queries on what people granted to clients: codes, and the families of refresh tokens that they become."""

# ruff: noqa: S608 — what the f-strings put in are COLUMNS and ALIVE, constants

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg2.extras import Json

from services.auth.store.sessions import Ended
from shared.postgres import Connection, execute, fetch_all, fetch_one


@dataclass(frozen=True)
class Grant:
    """What one person granted to one client at one time; `age_s` is the time since its newest token was issued.

    `scopes` asked for and agreed to; `opens_session`: the house's own API is among what it is for.
    """

    id: UUID
    client_id: UUID
    user_id: UUID
    session_id: UUID | None
    opens_session: bool
    scopes: list[str]
    resource: str | None
    redirect_uri: str
    code_challenge: str = field(repr=False)
    nonce: str | None = field(repr=False)
    auth_time: int
    aal: str
    amr: list[Any]
    refresh_issued: int
    refresh_accepted: int
    age_s: float

    # What Authlib asks of a code and of a token.
    code_challenge_method = "S256"

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return " ".join(self.scopes)


@dataclass(frozen=True)
class NewGrant:
    """What a code stands for."""

    id: UUID
    client_id: UUID
    user_id: UUID
    session_id: UUID
    opens_session: bool
    scopes: Sequence[str]
    resource: str | None
    redirect_uri: str
    code_challenge: str
    nonce: str | None
    auth_time: int
    aal: str
    amr: Sequence[Any]


COLUMNS = """
    oauth_grants.id, oauth_grants.client_id, oauth_grants.user_id, oauth_grants.session_id, oauth_grants.opens_session,
    oauth_grants.scopes, oauth_grants.resource, oauth_grants.redirect_uri, oauth_grants.code_challenge,
    oauth_grants.nonce, oauth_grants.auth_time, oauth_grants.aal, oauth_grants.amr, oauth_grants.refresh_issued,
    oauth_grants.refresh_accepted,
    extract(epoch FROM clock_timestamp() - oauth_grants.refreshed_at)::float8 AS age_s
"""
# Neither expired, nor past the end of the session that it hangs on, nor of somebody who is banned.
ALIVE = """
    oauth_grants.expires_at > clock_timestamp()
    AND (oauth_grants.session_id IS NULL OR EXISTS (
        SELECT 1 FROM sessions WHERE sessions.id = oauth_grants.session_id AND sessions.ended_at IS NULL))
    AND NOT EXISTS (
        SELECT 1 FROM users WHERE users.id = oauth_grants.user_id AND users.banned_until > clock_timestamp())
"""


def insert_oauth_grant(conn: Connection, new: NewGrant, code_hash: bytes, *, lifetime_s: int) -> None:
    sql = """
        INSERT INTO oauth_grants (id, client_id, user_id, session_id, opens_session, scopes, resource, redirect_uri,
                                  code_hash, code_challenge, nonce, auth_time, aal, amr, expires_at)
        VALUES (%(id)s, %(client_id)s, %(user_id)s, %(session_id)s, %(opens_session)s, %(scopes)s::text[],
                %(resource)s, %(redirect_uri)s, %(code_hash)s, %(code_challenge)s, %(nonce)s, %(auth_time)s, %(aal)s,
                %(amr)s, clock_timestamp() + make_interval(secs => %(lifetime_s)s))
    """
    given = {**vars(new), "scopes": list(new.scopes), "amr": Json(list(new.amr))}
    execute(conn, sql, {**given, "code_hash": code_hash, "lifetime_s": lifetime_s})


def lock_user_of_oauth_code(conn: Connection, code_hash: bytes) -> None:
    """Take turns with other changes of whose code it is, in their order: the person, what they granted, sessions."""
    sql = """
        SELECT 1 FROM users WHERE id = (SELECT user_id FROM oauth_grants WHERE code_hash = %(code_hash)s) FOR UPDATE
    """
    execute(conn, sql, {"code_hash": code_hash})


def consume_oauth_code(conn: Connection, code_hash: bytes) -> Grant | None:
    """Use up a code; the grant it stands for, unless it was used before or is too old. One statement: of many at once
    the first one finds it unused. The row stays as long as the grant, so that a second use is known for what it is."""
    sql = f"""
        UPDATE oauth_grants SET code_used_at = clock_timestamp()
        WHERE code_hash = %(code_hash)s AND code_used_at IS NULL AND {ALIVE}
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, Grant, sql, {"code_hash": code_hash})


def get_reused_oauth_grant(conn: Connection, code_hash: bytes) -> Grant | None:
    """What a code that was used before has given."""
    sql = f"SELECT {COLUMNS} FROM oauth_grants WHERE code_hash = %(code_hash)s AND code_used_at IS NOT NULL"
    return fetch_one(conn, Grant, sql, {"code_hash": code_hash})


def get_oauth_grant(conn: Connection, grant_id: UUID) -> Grant | None:
    """A living grant whose code was used."""
    sql = f"""
        SELECT {COLUMNS} FROM oauth_grants
        WHERE id = %(id)s AND code_used_at IS NOT NULL AND {ALIVE}
    """
    return fetch_one(conn, Grant, sql, {"id": grant_id})


def get_oauth_grant_of_session(conn: Connection, session_id: UUID) -> Grant | None:
    """The living grant that opened this session."""
    sql = f"""
        SELECT {COLUMNS} FROM oauth_grants
        WHERE session_id = %(session_id)s AND opens_session AND code_used_at IS NOT NULL AND {ALIVE}
    """
    return fetch_one(conn, Grant, sql, {"session_id": session_id})


def lock_oauth_grant(conn: Connection, grant_id: UUID) -> Grant | None:
    """The same, held until the transaction ends: refreshes of one grant take turns."""
    sql = "SELECT 1 FROM oauth_grants WHERE id = %(id)s FOR UPDATE"
    return get_oauth_grant(conn, grant_id) if execute(conn, sql, {"id": grant_id}) else None


def update_oauth_grant_begun(conn: Connection, grant_id: UUID, *, session_id: UUID | None, lifetime_s: int) -> None:
    """The code came from who had asked: the grant hangs on this session, or on none, and lives so long."""
    sql = """
        UPDATE oauth_grants
        SET session_id = %(session_id)s, refreshed_at = clock_timestamp(),
            expires_at = clock_timestamp() + make_interval(secs => %(lifetime_s)s)
        WHERE id = %(id)s
    """
    execute(conn, sql, {"id": grant_id, "session_id": session_id, "lifetime_s": lifetime_s})


def update_oauth_grant_refreshed(
    conn: Connection, grant_id: UUID, *, issued: int, accepted: int, lifetime_s: int
) -> None:
    sql = """
        UPDATE oauth_grants
        SET refresh_issued = %(issued)s, refresh_accepted = %(accepted)s, refreshed_at = clock_timestamp(),
            expires_at = clock_timestamp() + make_interval(secs => %(lifetime_s)s)
        WHERE id = %(id)s
    """
    execute(conn, sql, {"id": grant_id, "issued": issued, "accepted": accepted, "lifetime_s": lifetime_s})


def copy_assurance(conn: Connection, session_id: UUID, *, of: UUID) -> None:
    """Let a session that was just opened say how the person logged in at another one of theirs, beside its own way."""
    sql = """
        UPDATE sessions SET aal = other.aal, proved_by = other.proved_by, amr = other.amr || sessions.amr
        FROM sessions AS other
        WHERE sessions.id = %(id)s AND other.id = %(other)s AND other.user_id = sessions.user_id
    """
    execute(conn, sql, {"id": session_id, "other": of})


def move_oauth_grants(conn: Connection, session_id: UUID, to: UUID) -> None:
    """What hangs on one session of a person hangs on another one that takes its place."""
    sql = "UPDATE oauth_grants SET session_id = %(to)s WHERE session_id = %(session_id)s AND NOT opens_session"
    execute(conn, sql, {"session_id": session_id, "to": to})


def touch_session(conn: Connection, session_id: UUID) -> None:
    """A grant that has a session of its own was refreshed: so somebody uses it."""
    sql = """
        UPDATE sessions SET refreshed_at = clock_timestamp(), seen_on = current_date
        WHERE id = %(id)s AND ended_at IS NULL
    """
    execute(conn, sql, {"id": session_id})


def delete_oauth_grant(conn: Connection, grant_id: UUID, reason: str) -> list[Ended]:
    """End a grant; its own session, if it had one, ends with it."""
    return _delete(conn, "id = %(id)s", {"id": grant_id, "reason": reason})


def delete_refused_oauth_code(conn: Connection, grant_id: UUID) -> None:
    """A code came from somebody who had not asked for it: nothing began, and the browser's session goes on."""
    execute(conn, "DELETE FROM oauth_grants WHERE id = %(id)s", {"id": grant_id})


def delete_oauth_grants_of_user(
    conn: Connection, user_id: UUID, reason: str, *, client_id: UUID | None = None, but: UUID | None = None
) -> list[Ended]:
    """End what a user granted, to one client or to all, `but` what hangs on one session; the sessions that ended."""
    where = """
        user_id = %(user_id)s AND (%(client_id)s::uuid IS NULL OR client_id = %(client_id)s)
        AND (%(but)s::uuid IS NULL OR session_id IS DISTINCT FROM %(but)s)
    """
    return _delete(conn, where, {"user_id": user_id, "client_id": client_id, "but": but, "reason": reason})


def delete_oauth_grants_of_client(conn: Connection, client_id: UUID, reason: str) -> list[Ended]:
    """End what anybody granted to a client."""
    return _delete(conn, "client_id = %(client_id)s", {"client_id": client_id, "reason": reason})


def delete_surplus_oauth_grants(
    conn: Connection, user_id: UUID, client_id: UUID, reason: str, *, begun: bool, keep: int
) -> list[Ended]:
    """End what a user granted to one client, but for `keep`: of what has `begun`, or of codes that nobody came for.

    First goes what is over, then all but the newest of each session, then what was not refreshed for longest.
    """
    where = f"""
        id IN (SELECT id FROM oauth_grants
               WHERE user_id = %(user_id)s AND client_id = %(client_id)s AND (code_used_at IS NOT NULL) = %(begun)s
               ORDER BY ({ALIVE}) DESC,
                        row_number() OVER (PARTITION BY coalesce(session_id, id) ORDER BY refreshed_at DESC) > 1,
                        refreshed_at DESC, id DESC
               OFFSET %(keep)s)
    """
    params = {"user_id": user_id, "client_id": client_id, "begun": begun, "keep": keep, "reason": reason}
    return _delete(conn, where, params)


def delete_expired_oauth_grants(conn: Connection, *, limit: int) -> int:
    """Delete codes that nobody came for, and grants that nobody refreshed."""
    sql = """
        DELETE FROM oauth_grants WHERE id IN (
            SELECT id FROM oauth_grants WHERE expires_at < now()
            ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})


def _delete(conn: Connection, where: str, params: dict[str, Any]) -> list[Ended]:
    """Two statements: whoever waited for a code that was being exchanged sees the session that came of it only in the
    second."""
    gone = f"""
        DELETE FROM oauth_grants WHERE {where}
        RETURNING CASE WHEN opens_session AND code_used_at IS NOT NULL THEN session_id END AS session_id
    """
    own = [row.session_id for row in fetch_all(conn, _Gone, gone, params) if row.session_id is not None]
    sql = """
        UPDATE sessions SET ended_at = clock_timestamp(), end_reason = %(reason)s
        WHERE id = ANY(%(own)s::uuid[]) AND ended_at IS NULL
        RETURNING id, user_id
    """
    return fetch_all(conn, Ended, sql, {"own": own, "reason": params["reason"]}) if own else []


@dataclass(frozen=True)
class _Gone:
    session_id: UUID | None
