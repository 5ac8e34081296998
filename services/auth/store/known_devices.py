"""Queries on the devices that a person has logged in with."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.postgres import Connection, execute, fetch_one


@dataclass(frozen=True)
class Recognition:
    """What was known before this log-in: this device, how many others, and how many of them were told of in a day."""

    is_known: bool
    others: int
    told_today: int


def put_known_device(conn: Connection, user_id: UUID, fingerprint: bytes) -> Recognition:
    """Know this device from now on. Of two log-ins at once with a new one, the second finds it known."""
    sql = """
        WITH before AS (
            SELECT count(*) FILTER (WHERE fingerprint <> %(fingerprint)s)::integer AS others,
                   count(*) FILTER (WHERE told_at > now() - interval '1 day')::integer AS told_today
            FROM known_devices WHERE user_id = %(user_id)s
        ), put AS (
            INSERT INTO known_devices (user_id, fingerprint) VALUES (%(user_id)s, %(fingerprint)s)
            ON CONFLICT (user_id, fingerprint) DO UPDATE SET seen_at = clock_timestamp()
            RETURNING xmax::text <> '0' AS is_known
        )
        SELECT is_known, others, told_today FROM put, before
    """
    found = fetch_one(conn, Recognition, sql, {"user_id": user_id, "fingerprint": fingerprint})
    assert found is not None  # noqa: S101 — INSERT … RETURNING returns its row
    return found


def insert_known_devices(conn: Connection, user_id: UUID, fingerprints: Sequence[bytes]) -> None:
    """Know these devices too."""
    sql = """
        INSERT INTO known_devices (user_id, fingerprint)
        SELECT %(user_id)s, fingerprint FROM unnest(%(fingerprints)s::bytea[]) AS fingerprint
        ON CONFLICT DO NOTHING
    """
    execute(conn, sql, {"user_id": user_id, "fingerprints": list(fingerprints)})


def delete_surplus_known_devices(conn: Connection, user_id: UUID, *, keep: int) -> None:
    """Forget the devices of a person beyond `keep`, those that were not seen for longest first."""
    sql = """
        DELETE FROM known_devices WHERE user_id = %(user_id)s AND fingerprint IN (
            SELECT fingerprint FROM known_devices WHERE user_id = %(user_id)s
            ORDER BY seen_at DESC, fingerprint OFFSET %(keep)s
        )
    """
    execute(conn, sql, {"user_id": user_id, "keep": keep})


def update_told_of_device(conn: Connection, user_id: UUID, fingerprint: bytes) -> None:
    sql = "UPDATE known_devices SET told_at = now() WHERE user_id = %(user_id)s AND fingerprint = %(fingerprint)s"
    execute(conn, sql, {"user_id": user_id, "fingerprint": fingerprint})
