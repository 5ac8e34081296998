"""The outbox: an event is written in the transaction that makes it true, and a relay brings it to the broker.

    with db.transaction() as conn:
        store.insert_user(conn, …)
        outbox.add(conn, UserRegistered(…))     # both or neither; the commit wakes the relay

A crash between the broker's confirm and the commit that forgets the row sends the event again, with the same id.
"""

import select
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg2

from shared import trace
from shared.contracts import Envelope, Event
from shared.errors import Unavailable
from shared.held import Held
from shared.postgres import Connection, Database, execute, fetch_all, fetch_one

CHANNEL = "outbox"


@dataclass(frozen=True)
class Age:
    age_s: float


def add(conn: Connection, *events: Event, source: str | None = None) -> None:
    """Write events in the caller's transaction. `source` names the service where the event's class leaves it open."""
    for event in events:
        envelope = Envelope.of(event, source=source, traceparent=trace.traceparent.get())
        execute(conn, "INSERT INTO outbox (envelope) VALUES (%(e)s)", {"e": envelope.model_dump_json()})
    execute(conn, f"NOTIFY {CHANNEL}")


class PostgresSource:
    """The `outbox` table of a PostgreSQL database; NOTIFY wakes the relay at the commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listening: Connection | None = None

    @contextmanager
    def batch(self, limit: int) -> Iterator[Held]:
        """Several relays may run: each takes rows that no other holds."""
        sql = """
            WITH taken AS (SELECT position FROM outbox ORDER BY position LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
            DELETE FROM outbox USING taken WHERE outbox.position = taken.position
            RETURNING outbox.position, outbox.envelope
        """
        with self._database.transaction() as conn:
            rows = fetch_all(conn, _Taken, sql, {"limit": limit})
            rows.sort(key=lambda row: row.position)
            held = Held(Envelope.model_validate_json(row.envelope) for row in rows)
            yield held
            for envelope in held.unread:
                sql = "INSERT INTO outbox_unread (type, envelope) VALUES (%(type)s, %(envelope)s)"
                execute(conn, sql, {"type": envelope.type, "envelope": envelope.model_dump_json()})

    def unread(self) -> dict[str, int]:
        with self._database.transaction() as conn:
            rows = fetch_all(conn, _Unread, "SELECT type, count(*) AS count FROM outbox_unread GROUP BY type")
        return {row.type: row.count for row in rows}

    def release(self, event_types: Collection[str], limit: int) -> int:
        sql = """
            WITH chosen AS (
                SELECT position FROM outbox_unread WHERE type = ANY(%(types)s)
                ORDER BY position LIMIT %(limit)s FOR UPDATE SKIP LOCKED
            ), freed AS (
                DELETE FROM outbox_unread USING chosen WHERE outbox_unread.position = chosen.position
                RETURNING outbox_unread.position, outbox_unread.envelope
            )
            INSERT INTO outbox (envelope) SELECT envelope FROM freed ORDER BY position
        """
        with self._database.transaction() as conn:
            return execute(conn, sql, {"types": list(event_types), "limit": limit})

    def wait(self, timeout_s: float) -> bool:
        try:
            if self._listening is None:
                self._listen()
                return True  # what was added before we listened was not announced to us
            if not self._listening.notifies:
                select.select([self._listening], [], [], timeout_s)
            self._listening.poll()
            is_woken = bool(self._listening.notifies)
            self._listening.notifies.clear()
            return is_woken
        except (psycopg2.Error, OSError, ValueError, Unavailable):
            self._listening = None
            time.sleep(min(timeout_s, 0.5))
            return True

    def lag_s(self) -> float:
        sql = "SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS age_s FROM outbox"
        with self._database.transaction() as conn:
            row = fetch_one(conn, Age, sql)
        return max(row.age_s, 0.0) if row else 0.0

    def _listen(self) -> None:
        conn = self._database.connect()
        conn.autocommit = True
        execute(conn, f"LISTEN {CHANNEL}")
        self._listening = conn


@dataclass(frozen=True)
class _Taken:
    position: int
    envelope: str


@dataclass(frozen=True)
class _Unread:
    type: str
    count: int
