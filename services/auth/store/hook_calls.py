"""Queries on calls of hooks that send something."""

from dataclasses import dataclass, field
from uuid import UUID

from shared.postgres import Connection, execute, fetch_one


@dataclass(frozen=True)
class HookCall:
    id: UUID
    hook: str
    payload_sealed: bytes = field(repr=False)
    attempts: int


def insert_hook_call(conn: Connection, call_id: UUID, hook: str, sealed: bytes, *, lifetime_s: int) -> None:
    sql = """
        INSERT INTO hook_calls (id, hook, payload_sealed, expires_at)
        VALUES (%(id)s, %(hook)s, %(sealed)s, clock_timestamp() + make_interval(secs => %(lifetime_s)s))
    """
    execute(conn, sql, {"id": call_id, "hook": hook, "sealed": sealed, "lifetime_s": lifetime_s})


def claim_hook_call(conn: Connection, *, busy_s: float) -> HookCall | None:
    """A call that is due, which nobody else takes for `busy_s` and then longer with each attempt; None if none is."""
    sql = """
        UPDATE hook_calls
        SET attempts = attempts + 1,
            due_at = clock_timestamp() + make_interval(secs => %(busy_s)s + least(2 ^ attempts, 300))
        WHERE id = (SELECT id FROM hook_calls WHERE due_at <= clock_timestamp() AND expires_at > clock_timestamp()
                    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING id, hook, payload_sealed, attempts
    """
    return fetch_one(conn, HookCall, sql, {"busy_s": busy_s})


def delete_hook_call(conn: Connection, call_id: UUID) -> None:
    execute(conn, "DELETE FROM hook_calls WHERE id = %(id)s", {"id": call_id})


def delete_expired_hook_calls(conn: Connection, *, limit: int) -> int:
    """Calls whose code is of no use any more."""
    sql = """
        DELETE FROM hook_calls WHERE id IN (
            SELECT id FROM hook_calls WHERE expires_at < now() LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})
