"""Queries on requests that wait for an answer, and on what people agreed to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.postgres import Connection, execute, fetch_all, fetch_one


@dataclass(frozen=True)
class PendingRequest:
    """An authorization request that waits for somebody to log in or to agree."""

    id: str
    parameters: dict[str, str]
    created_at: datetime


@dataclass(frozen=True)
class Consent:
    """What a person agreed to let a client have."""

    client_id: UUID
    client_name: str
    client_uri: str
    logo_uri: str
    scopes: list[str]
    resources: list[str]
    granted_at: datetime


def insert_oauth_request(
    conn: Connection, request_id: str, client_id: UUID, parameters: dict[str, str], *, lifetime_s: int
) -> None:
    sql = """
        INSERT INTO oauth_requests (id, client_id, parameters, expires_at)
        VALUES (%(id)s, %(client_id)s, %(parameters)s, clock_timestamp() + make_interval(secs => %(lifetime_s)s))
    """
    params = {"id": request_id, "client_id": client_id, "parameters": parameters, "lifetime_s": lifetime_s}
    execute(conn, sql, params)


def get_oauth_request(conn: Connection, request_id: str) -> PendingRequest | None:
    sql = """
        SELECT id, parameters, created_at FROM oauth_requests
        WHERE id = %(id)s AND expires_at > clock_timestamp()
    """
    return fetch_one(conn, PendingRequest, sql, {"id": request_id})


def consume_oauth_request(conn: Connection, request_id: str) -> bool:
    """Use up a request that is decided on; False if somebody has done so just now."""
    return execute(conn, "DELETE FROM oauth_requests WHERE id = %(id)s", {"id": request_id}) > 0


def delete_expired_oauth_requests(conn: Connection, *, limit: int) -> int:
    sql = """
        DELETE FROM oauth_requests WHERE id IN (
            SELECT id FROM oauth_requests WHERE expires_at < now()
            ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})


def put_oauth_consent(
    conn: Connection, user_id: UUID, client_id: UUID, scopes: Sequence[str], resources: Sequence[str]
) -> None:
    """Remember that a person agreed, beside what they agreed to before."""
    sql = """
        INSERT INTO oauth_consents AS known (user_id, client_id, scopes, resources)
        VALUES (%(user_id)s, %(client_id)s, %(scopes)s::text[], %(resources)s::text[])
        ON CONFLICT (user_id, client_id) DO UPDATE
        SET scopes = (SELECT array_agg(DISTINCT scope) FROM unnest(known.scopes || excluded.scopes) AS scope),
            resources = (SELECT coalesce(array_agg(DISTINCT one), '{}')
                         FROM unnest(known.resources || excluded.resources) AS one)
    """
    params = {"user_id": user_id, "client_id": client_id, "scopes": list(scopes), "resources": list(resources)}
    execute(conn, sql, params)


def has_oauth_consent(
    conn: Connection, user_id: UUID, client_id: UUID, scopes: Sequence[str], resources: Sequence[str]
) -> bool:
    """True if a person agreed to all of this before."""
    sql = """
        SELECT 1 FROM oauth_consents
        WHERE user_id = %(user_id)s AND client_id = %(client_id)s
          AND scopes @> %(scopes)s::text[] AND resources @> %(resources)s::text[]
    """
    params = {"user_id": user_id, "client_id": client_id, "scopes": list(scopes), "resources": list(resources)}
    return execute(conn, sql, params) > 0


def list_oauth_consents(conn: Connection, user_id: UUID) -> list[Consent]:
    """What a person agreed to, the newest first."""
    sql = """
        SELECT oauth_consents.client_id, oauth_clients.name AS client_name, oauth_clients.client_uri,
               oauth_clients.logo_uri, oauth_consents.scopes, oauth_consents.resources, oauth_consents.granted_at
        FROM oauth_consents JOIN oauth_clients ON oauth_clients.id = oauth_consents.client_id
        WHERE oauth_consents.user_id = %(user_id)s
        ORDER BY oauth_consents.granted_at DESC
    """
    return fetch_all(conn, Consent, sql, {"user_id": user_id})


def delete_oauth_consent(conn: Connection, user_id: UUID, client_id: UUID) -> bool:
    sql = "DELETE FROM oauth_consents WHERE user_id = %(user_id)s AND client_id = %(client_id)s"
    return execute(conn, sql, {"user_id": user_id, "client_id": client_id}) > 0
