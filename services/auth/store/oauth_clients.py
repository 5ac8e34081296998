"""Queries on clients of the OAuth provider."""

# ruff: noqa: S608 — what the f-strings put in is COLUMNS, a constant

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from services.auth.oauth.clients import Client
from shared.postgres import Connection, execute, fetch_all, fetch_one

COLUMNS = """
    oauth_clients.id, oauth_clients.name, oauth_clients.secret_hash, oauth_clients.auth_method,
    oauth_clients.redirect_uris, oauth_clients.post_logout_redirect_uris, oauth_clients.grant_types,
    oauth_clients.scopes, oauth_clients.resources, oauth_clients.is_first_party, oauth_clients.client_uri,
    oauth_clients.logo_uri, oauth_clients.created_at, oauth_clients.updated_at
"""


@dataclass(frozen=True)
class NewClient:
    """What is registered of a client."""

    id: UUID
    name: str
    secret_hash: bytes | None = field(repr=False)
    auth_method: str
    redirect_uris: Sequence[str]
    post_logout_redirect_uris: Sequence[str]
    grant_types: Sequence[str]
    scopes: Sequence[str]
    resources: Sequence[str]
    is_first_party: bool
    client_uri: str = ""
    logo_uri: str = ""


def insert_oauth_client(conn: Connection, new: NewClient) -> Client:
    sql = f"""
        INSERT INTO oauth_clients (id, name, secret_hash, auth_method, redirect_uris, post_logout_redirect_uris,
                                   grant_types, scopes, resources, is_first_party, client_uri, logo_uri)
        VALUES (%(id)s, %(name)s, %(secret_hash)s, %(auth_method)s, %(redirect_uris)s::text[],
                %(post_logout_redirect_uris)s::text[], %(grant_types)s::text[], %(scopes)s::text[],
                %(resources)s::text[], %(is_first_party)s, %(client_uri)s, %(logo_uri)s)
        RETURNING {COLUMNS}
    """
    client = fetch_one(conn, Client, sql, {name: _plain(value) for name, value in vars(new).items()})
    assert client is not None  # noqa: S101 — INSERT … RETURNING returns its row
    return client


def get_oauth_client(conn: Connection, client_id: UUID) -> Client | None:
    return fetch_one(conn, Client, f"SELECT {COLUMNS} FROM oauth_clients WHERE id = %(id)s", {"id": client_id})


def list_oauth_clients(conn: Connection, *, skip: int, limit: int) -> list[Client]:
    """Clients, the newest first, past the first `skip`."""
    sql = f"SELECT {COLUMNS} FROM oauth_clients ORDER BY id DESC LIMIT %(limit)s OFFSET %(skip)s"
    return fetch_all(conn, Client, sql, {"skip": skip, "limit": limit})


def update_oauth_client(
    conn: Connection,
    client_id: UUID,
    *,
    name: str | None,
    redirect_uris: Sequence[str] | None,
    post_logout_redirect_uris: Sequence[str] | None,
    grant_types: Sequence[str] | None,
    auth_method: str | None,
    client_uri: str | None,
    logo_uri: str | None,
) -> Client | None:
    """Set what is given."""
    sql = f"""
        UPDATE oauth_clients
        SET name = coalesce(%(name)s, name), redirect_uris = coalesce(%(redirect_uris)s::text[], redirect_uris),
            post_logout_redirect_uris = coalesce(%(post_logout_redirect_uris)s::text[], post_logout_redirect_uris),
            grant_types = coalesce(%(grant_types)s::text[], grant_types),
            auth_method = coalesce(%(auth_method)s, auth_method), client_uri = coalesce(%(client_uri)s, client_uri),
            logo_uri = coalesce(%(logo_uri)s, logo_uri), updated_at = now()
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    params = {
        "id": client_id,
        "name": name,
        "redirect_uris": _plain(redirect_uris),
        "post_logout_redirect_uris": _plain(post_logout_redirect_uris),
        "grant_types": _plain(grant_types),
        "auth_method": auth_method,
        "client_uri": client_uri,
        "logo_uri": logo_uri,
    }
    return fetch_one(conn, Client, sql, params)


def update_oauth_secret(conn: Connection, client_id: UUID, secret_hash: bytes) -> Client | None:
    """The old secret is of no use from now on."""
    sql = f"""
        UPDATE oauth_clients SET secret_hash = %(secret_hash)s, updated_at = now()
        WHERE id = %(id)s AND secret_hash IS NOT NULL
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, Client, sql, {"id": client_id, "secret_hash": secret_hash})


def delete_oauth_client(conn: Connection, client_id: UUID) -> bool:
    """The client is gone, with every consent and grant it had; False if there was none."""
    return execute(conn, "DELETE FROM oauth_clients WHERE id = %(id)s", {"id": client_id}) > 0


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
