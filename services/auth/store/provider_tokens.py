"""Queries on refresh tokens of providers, which are kept to be given back."""

from dataclasses import dataclass, field
from uuid import UUID

from shared.postgres import Connection, execute, fetch_one


@dataclass(frozen=True)
class ProviderToken:
    """One that is to be given back."""

    id: UUID
    provider: str
    client_id: str
    token_sealed: bytes = field(repr=False)
    attempts: int


def put_provider_token(
    conn: Connection, token_id: UUID, identity_id: UUID, provider: str, client_id: str, sealed: bytes
) -> None:
    """Keep it in place of the one before: giving that one back would end the new one, too."""
    old = "DELETE FROM provider_tokens WHERE identity_id = %(identity_id)s AND client_id = %(client_id)s"
    sql = """
        INSERT INTO provider_tokens (id, identity_id, provider, client_id, token_sealed)
        VALUES (%(id)s, %(identity_id)s, %(provider)s, %(client_id)s, %(sealed)s)
    """
    params = {
        "id": token_id,
        "identity_id": identity_id,
        "provider": provider,
        "client_id": client_id,
        "sealed": sealed,
    }
    execute(conn, old, params)
    execute(conn, sql, params)


def claim_due_provider_token(conn: Connection, *, busy_s: float) -> ProviderToken | None:
    """One whose identity is gone, which nobody else takes for `busy_s` and then longer with each attempt."""
    sql = """
        UPDATE provider_tokens
        SET attempts = attempts + 1,
            due_at = clock_timestamp() + make_interval(secs => %(busy_s)s + least(2 ^ least(attempts, 12), 3600))
        WHERE id = (SELECT id FROM provider_tokens WHERE identity_id IS NULL AND due_at <= clock_timestamp()
                    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING id, provider, client_id, token_sealed, attempts
    """
    return fetch_one(conn, ProviderToken, sql, {"busy_s": busy_s})


def delete_provider_token(conn: Connection, token_id: UUID) -> None:
    execute(conn, "DELETE FROM provider_tokens WHERE id = %(id)s", {"id": token_id})
