"""The outbox: an event is written in the transaction that makes it true, and a relay brings it to the broker.

    with db.transaction() as conn:
        store.insert_user(conn, …)
        outbox.add(conn, UserRegistered(…))     # both or neither; the commit wakes the relay

A crash between the broker's confirm and the commit that forgets the row sends the event again, with the same id.
"""

import logging
import select
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import psycopg2
from prometheus_client import Counter, Gauge

from shared import trace
from shared.contracts import Envelope, Event
from shared.errors import Unavailable
from shared.postgres import Connection, Database, execute, fetch_all, fetch_one
from shared.publisher import Message, Publisher

log = logging.getLogger(__name__)

CHANNEL = "outbox"
BATCH = 200
POLL_S = 5.0
RELAYED = Counter("outbox_relayed", "Events brought to the broker")
LAG = Gauge("outbox_lag_seconds", "Age of the oldest event that is not at the broker yet", multiprocess_mode="max")


@dataclass(frozen=True)
class Row:
    envelope: str


@dataclass(frozen=True)
class Age:
    age_s: float


class Source(Protocol):
    """A store that holds an outbox."""

    def batch(self, limit: int) -> AbstractContextManager[Sequence[Envelope]]:
        """The oldest events; forgotten when the block ends well, kept when it raises."""

    def wait(self, timeout_s: float) -> None:
        """Return when something may have been added, or after `timeout_s`."""

    def lag_s(self) -> float:
        """Age of the oldest event, seconds; 0 without any."""


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
    def batch(self, limit: int) -> Iterator[Sequence[Envelope]]:
        """Several relays may run: each takes rows that no other holds."""
        sql = """
            WITH taken AS (SELECT position FROM outbox ORDER BY position LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
            DELETE FROM outbox USING taken WHERE outbox.position = taken.position
            RETURNING outbox.position, outbox.envelope
        """
        with self._database.transaction() as conn:
            rows = fetch_all(conn, _Taken, sql, {"limit": limit})
            rows.sort(key=lambda row: row.position)
            yield [Envelope.model_validate_json(row.envelope) for row in rows]

    def wait(self, timeout_s: float) -> None:
        try:
            conn = self._listen()
            if not conn.notifies:
                select.select([conn], [], [], timeout_s)
            conn.poll()
            conn.notifies.clear()
        except (psycopg2.Error, OSError, ValueError):
            self._listening = None
            time.sleep(min(timeout_s, 0.5))

    def lag_s(self) -> float:
        sql = "SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS age_s FROM outbox"
        with self._database.transaction() as conn:
            row = fetch_one(conn, Age, sql)
        return max(row.age_s, 0.0) if row else 0.0

    def _listen(self) -> Connection:
        if self._listening is None or self._listening.closed:
            self._listening = conn = self._database.connect()
            conn.autocommit = True
            execute(conn, f"LISTEN {CHANNEL}")
        return self._listening


@dataclass(frozen=True)
class _Taken:
    position: int
    envelope: str


class Relay:
    """Moves events from an outbox to the broker, in order, until it is told to stop."""

    def __init__(self, source: Source, publisher: Publisher) -> None:
        self._source, self._publisher = source, publisher

    def run(self, stop: threading.Event) -> None:
        """Loop until `stop`; while the store or the broker is down it waits, and nothing is lost."""
        pause_s = 0.1
        while not stop.is_set():
            try:
                while not stop.is_set() and self.relay_batch():
                    pass
                LAG.set(self._source.lag_s())
                pause_s = 0.1
            except Unavailable as error:
                log.warning("the outbox waits: %s", error.detail)
                stop.wait(pause_s)
                pause_s = min(pause_s * 2, 5.0)
                continue
            if not stop.is_set():
                self._source.wait(POLL_S)
        self._publisher.close()

    def relay_batch(self, limit: int = BATCH) -> int:
        """Bring one batch to the broker; the number of events. Raise Unavailable, with every event kept."""
        with self._source.batch(limit) as envelopes:
            self._publisher.publish([Message.of(envelope) for envelope in envelopes])
        RELAYED.inc(len(envelopes))
        return len(envelopes)
