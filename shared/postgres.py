"""PostgreSQL: a pool that waits, transactions, rows as models. SQL itself lives in each service's `store.py`."""

import select
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from prometheus_client import Gauge
from psycopg2.errors import DeadlockDetected, QueryCanceled, SerializationFailure
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as PlainCursor

from shared.errors import Unavailable

M = TypeVar("M")
N = TypeVar("N")
Params = Mapping[str, Any]

CONNECT_TIMEOUT_S = 3
WAIT_S = 5.0
FRESH_S = 0.02  # so soon after its last use a connection is not asked whether it still stands
IN_USE = Gauge("postgres_connections_in_use", "Connections held by requests or handlers", multiprocess_mode="livesum")

psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]
# A JSON column arrives as it is spelled in Python and leaves as JSON.
psycopg2.extensions.register_adapter(dict, psycopg2.extras.Json)

__all__ = ["Connection", "Database", "execute", "fetch_all", "fetch_one", "fetch_pair"]


class Database:
    """At most `size` connections to one database; the next caller waits up to five seconds and then gets a 503.

    Connections open on first use, and a connection that the server has closed meanwhile is not handed out.
    """

    def __init__(self, url: str, *, size: int = 8, application_name: str = "gatehouse") -> None:
        self._url, self._name = url, application_name
        self._idle: list[tuple[Connection, float]] = []  # and when each was used last
        self._permits = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, rolled back if it raises.

        Raise Unavailable when the server is down or every connection stays busy. If the connection is lost during
        COMMIT nobody knows whether it took effect: the caller's retry must be idempotent.
        """
        with self._lent() as conn, conn:
            yield conn

    @contextmanager
    def single(self) -> Iterator[Connection]:
        """For one statement that is a transaction of its own: one trip to the server, not three. Raise Unavailable."""
        with self._lent() as conn:
            conn.autocommit = True
            try:
                yield conn
            finally:
                if not conn.closed:
                    conn.autocommit = False

    @contextmanager
    def _lent(self) -> Iterator[Connection]:
        if not self._permits.acquire(timeout=WAIT_S):
            raise Unavailable("The database is busy.", retry_after_s=1)
        conn: Connection | None = None
        IN_USE.inc()
        try:
            conn = self._take()
            yield conn
        except (SerializationFailure, DeadlockDetected) as error:
            raise Unavailable("Too many changed the same thing at once.", retry_after_s=1) from error
        except QueryCanceled:
            raise  # the server is well, the query is not: waiting would not mend it
        except psycopg2.Error as error:
            # libpq reports some lost connections as a bare DatabaseError: the connection itself knows better.
            if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) or (conn and conn.closed):
                raise Unavailable("The database does not answer.") from error
            raise
        finally:
            IN_USE.dec()
            self._give_back(conn)
            self._permits.release()

    def check(self) -> None:
        """Raise Unavailable unless the server answers."""
        with self.transaction() as conn, conn.cursor() as cursor:
            cursor.execute("SELECT 1")

    def connect(self) -> Connection:
        """A connection outside the pool, for LISTEN; the caller closes it. Raise Unavailable."""
        try:
            return psycopg2.connect(
                self._url,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name=self._name,
                cursor_factory=psycopg2.extras.RealDictCursor,
                options="-c timezone=UTC",
                keepalives_idle=15,
                keepalives_interval=5,
                keepalives_count=3,
            )
        except psycopg2.OperationalError as error:
            raise Unavailable("The database does not answer.") from error

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop()[0].close()

    def _take(self) -> Connection:
        while True:
            with self._lock:
                conn, used_at = self._idle.pop() if self._idle else (None, 0.0)
            if conn is None:
                return self.connect()
            if time.monotonic() - used_at < FRESH_S or not _has_hung_up(conn):
                return conn
            conn.close()

    def _give_back(self, conn: Connection | None) -> None:
        if conn is None:
            return
        if conn.closed or conn.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            conn.close()
            return
        with self._lock:
            self._idle.append((conn, time.monotonic()))


def _has_hung_up(conn: Connection) -> bool:
    """An idle connection has nothing to say: if its socket is readable, the server said goodbye."""
    if conn.closed:
        return True
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def fetch_one(conn: Connection, model: type[M], sql: str, params: Params | None = None) -> M | None:
    """The first row as `model(**row)`, or None."""
    with conn.cursor(cursor_factory=PlainCursor) as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
        return model(**dict(zip(_names(cursor), row, strict=True))) if row is not None else None


def fetch_pair(
    conn: Connection, first: type[M], second: type[N], sql: str, params: Params | None = None
) -> tuple[M, N] | None:
    """The first row of a join, or None: the leading columns are the dataclass `first`, the others are `second`."""
    with conn.cursor(cursor_factory=PlainCursor) as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
        if row is None:
            return None
        columns = list(zip(_names(cursor), row, strict=True))
        split = len(fields(first))  # type: ignore[arg-type]
        return first(**dict(columns[:split])), second(**dict(columns[split:]))


def fetch_all(conn: Connection, model: type[M], sql: str, params: Params | None = None) -> list[M]:
    """Every row as `model(**row)`."""
    with conn.cursor(cursor_factory=PlainCursor) as cursor:
        cursor.execute(sql, params)
        names = _names(cursor)
        return [model(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _names(cursor: PlainCursor) -> list[str]:
    return [column[0] for column in cursor.description or ()]


def execute(conn: Connection, sql: str, params: Params | None = None) -> int:
    """Run a statement; the number of rows it touched."""
    with conn.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def wait_until_ready(database: Database, *, timeout_s: float) -> None:
    """Block until the server answers; raise Unavailable after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return database.check()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
