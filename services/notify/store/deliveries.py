"""Queries on deliveries. Functions take the open transaction first and never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg2.extras import Json, execute_values

from shared.postgres import Connection, execute, fetch_all


@dataclass(frozen=True)
class NewDelivery:
    id: UUID
    message_id: UUID
    channel: str
    target: str
    device_id: UUID | None = None


@dataclass(frozen=True)
class Delivery:
    id: UUID
    message_id: UUID
    channel: str
    device_id: UUID | None
    state: str
    attempts: int
    outcome: str | None
    reason: str | None
    provider_id: str | None
    next_attempt_at: datetime
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class Claimed:
    """A delivery in this sender's hand, with all that its provider needs. `attempt` counts from 1.

    `locales` are languages for it, best first: the message's own, the device's, the person's, those the request asked
    for. A message's own that is the first the request asked for is no choice of anybody's. `token` is None when the
    device is gone, or belongs to somebody else by now.
    """

    id: UUID
    message_id: UUID
    channel: str
    target: str
    device_id: UUID | None
    attempt: int
    created_at: datetime
    claimed_at: datetime
    expires_at: datetime
    is_expired: bool
    template: str
    params: dict[str, str]
    title: str | None
    body: str | None
    data: dict[str, str]
    priority: str
    collapse_key: str | None
    locales: list[str]
    display_name: str | None
    token: str | None
    app_id: str | None
    environment: str | None


@dataclass(frozen=True)
class Waiting:
    """An unfinished delivery that may not be taken yet."""

    id: UUID
    wait_s: float


@dataclass(frozen=True)
class Stored:
    id: UUID
    message_id: UUID


@dataclass(frozen=True)
class Queued:
    """A delivery that a sender of its channel is to be told of."""

    id: UUID
    channel: str


@dataclass(frozen=True)
class Age:
    channel: str
    age_s: float


def insert_deliveries(conn: Connection, rows: Sequence[NewDelivery]) -> list[Queued]:
    """The ids and channels that were new; a (message, channel, target) that is there already is left alone."""
    if not rows:
        return []
    sql = """
        INSERT INTO deliveries (id, message_id, channel, target, device_id) VALUES %s
        ON CONFLICT (message_id, channel, target) DO NOTHING RETURNING id, channel
    """
    values = [(row.id, row.message_id, row.channel, row.target, row.device_id) for row in rows]
    with conn.cursor() as cursor:
        inserted = execute_values(cursor, sql, values, page_size=1000, fetch=True)
    return [Queued(**row) for row in inserted]


def insert_failed_delivery(conn: Connection, row: NewDelivery, *, outcome: str, reason: str) -> None:
    """A delivery that cannot even start, so that the sender of the message sees why."""
    sql = """
        INSERT INTO deliveries (id, message_id, channel, target, state, outcome, reason, finished_at)
        VALUES (%(id)s, %(message_id)s, %(channel)s, %(target)s, 'failed', %(outcome)s, %(reason)s, now())
        ON CONFLICT DO NOTHING
    """
    execute(conn, sql, {**vars(row), "outcome": outcome, "reason": reason})


def claim_deliveries(conn: Connection, ids: Sequence[UUID], *, lease_s: float) -> list[Claimed]:
    """Take those that are due: nobody else can take them before the lease is over. Rows another holds are left out."""
    sql = """
        WITH due AS (
            SELECT d.id, m.template, m.params, m.title, m.body, m.data, m.priority, m.collapse_key, m.expires_at,
                   m.expires_at <= now() AS is_expired, c.display_name,
                   array_remove(ARRAY[nullif(m.locale, m.languages[1]), v.locale, c.locale] || m.languages, NULL)
                   AS locales, v.token, v.app_id, v.environment
            FROM deliveries d
            JOIN messages m ON m.id = d.message_id
            LEFT JOIN devices v ON v.id = d.device_id AND v.user_id = m.user_id
            LEFT JOIN contacts c ON c.user_id = m.user_id
            WHERE d.id = ANY(%(ids)s) AND d.finished_at IS NULL AND d.next_attempt_at <= now()
            ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
        )
        UPDATE deliveries d SET
            state = 'sending', attempts = d.attempts + 1, next_attempt_at = now() + %(lease_s)s * interval '1 second'
        FROM due WHERE d.id = due.id
        RETURNING d.id, d.message_id, d.channel, d.target, d.device_id, d.attempts AS attempt, d.created_at,
                  now() AS claimed_at, due.expires_at, due.is_expired, due.template, due.params, due.title, due.body,
                  due.data, due.priority, due.collapse_key, due.locales, due.display_name, due.token, due.app_id,
                  due.environment
    """
    return fetch_all(conn, Claimed, sql, {"ids": list(ids), "lease_s": lease_s})


def list_waiting(conn: Connection, ids: Sequence[UUID]) -> list[Waiting]:
    sql = """
        SELECT id, greatest(extract(epoch FROM next_attempt_at - now()), 0)::float8 AS wait_s
        FROM deliveries WHERE id = ANY(%(ids)s) AND finished_at IS NULL
    """
    return fetch_all(conn, Waiting, sql, {"ids": list(ids)})


def store_outcomes(conn: Connection, outcomes: Sequence[dict[str, Any]]) -> list[Stored]:
    """Write what became of claimed deliveries; the rows that took it.

    An outcome of an older attempt is dropped if another sender has claimed the row since, unless it says "accepted":
    that is a fact about the provider whoever learnt it. What was not begun gives its attempt back.
    """
    sql = """
        UPDATE deliveries d SET
            attempts = d.attempts - (NOT r.is_attempt)::integer,
            state = r.state, outcome = r.outcome, reason = r.reason, provider_id = r.provider_id,
            next_attempt_at = now() + coalesce(r.retry_s, 0) * interval '1 second',
            finished_at = CASE WHEN r.retry_s IS NULL THEN now() END
        FROM jsonb_to_recordset(%(outcomes)s) AS r (
            id uuid, attempt integer, is_attempt boolean, state text, outcome text, reason text, provider_id text,
            retry_s float8
        )
        WHERE d.id = r.id AND d.finished_at IS NULL AND (d.attempts = r.attempt OR r.state = 'sent')
        RETURNING d.id, d.message_id
    """
    return fetch_all(conn, Stored, sql, {"outcomes": Json(list(outcomes))})


def list_deliveries(conn: Connection, message_id: UUID, *, limit: int) -> list[Delivery]:
    sql = """
        SELECT id, message_id, channel, device_id, state, attempts, outcome, reason, provider_id, next_attempt_at,
               created_at, finished_at
        FROM deliveries WHERE message_id = %(id)s ORDER BY id LIMIT %(limit)s
    """
    return fetch_all(conn, Delivery, sql, {"id": message_id, "limit": limit})


def take_strays(conn: Connection, *, overdue_s: float, limit: int) -> list[Queued]:
    """Deliveries that have been due for so long that the broker must have lost them; their clock starts anew."""
    sql = """
        WITH stray AS (
            SELECT id FROM deliveries
            WHERE finished_at IS NULL AND next_attempt_at < now() - %(overdue_s)s * interval '1 second'
            ORDER BY next_attempt_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
        UPDATE deliveries d SET next_attempt_at = now() FROM stray WHERE d.id = stray.id RETURNING d.id, d.channel
    """
    return fetch_all(conn, Queued, sql, {"overdue_s": overdue_s, "limit": limit})


def list_ages(conn: Connection) -> list[Age]:
    """How long the delivery that is overdue most has been, by channel."""
    sql = """
        SELECT channel, greatest(extract(epoch FROM now() - min(next_attempt_at)), 0)::float8 AS age_s
        FROM deliveries WHERE finished_at IS NULL GROUP BY channel
    """
    return fetch_all(conn, Age, sql)
