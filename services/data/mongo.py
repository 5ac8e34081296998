"""MongoDB: transactions that are tried again, reads nobody can roll back, and the one place where its errors end."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pymongo
from prometheus_client import Counter
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database as PyMongoDatabase
from pymongo.errors import (
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from shared.errors import Unavailable

T = TypeVar("T")
Row = dict[str, Any]

SELECTION_TIMEOUT_MS = 2_000
SOCKET_TIMEOUT_MS = 10_000
WAIT_S = 5.0
DUPLICATE_TRIES = 3
LANES = 64
RETRIES = Counter("data_transaction_retries", "Transactions tried again because another one was faster")


@dataclass(frozen=True)
class Connection:
    """What a function of `store.py` works on: the database, and the transaction it takes part in, if any."""

    database: PyMongoDatabase[Row]
    session: ClientSession | None = None

    def __getitem__(self, collection: str) -> Collection[Row]:
        return self.database[collection]


class Database:
    """One database of a replica set. Nothing is opened before the first use.

    Reads and writes are `majority`: what a reader has seen, and what was acknowledged, survives the loss of a primary.
    `options` are further ones of pymongo's client.
    """

    def __init__(self, url: str, name: str, *, size: int = 8, **options: Any) -> None:
        self._client: pymongo.MongoClient[Row] = pymongo.MongoClient(
            url,
            connect=False,
            appname="gatehouse-data",
            maxPoolSize=size + 2,
            uuidRepresentation="standard",
            tz_aware=True,
            w="majority",
            journal=True,
            readConcernLevel="majority",
            serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS,
            connectTimeoutMS=SELECTION_TIMEOUT_MS,
            socketTimeoutMS=SOCKET_TIMEOUT_MS,
            waitQueueTimeoutMS=int(WAIT_S * 1000),
            **options,
        )
        self._database = self._client[name]
        self._lanes = [threading.Lock() for _ in range(LANES)]

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """For reads, and for writes that are whole by themselves. Raise Unavailable when the server is down."""
        with _translated():
            yield Connection(self._database)

    def transact(self, effect: Callable[[Connection], T], *, lane: object = None) -> T:
        """Run `effect` in one transaction and commit; what it raises rolls everything back.

        `effect` runs again when another transaction was faster, so it must do nothing but reads and writes here.
        Those of this process that name the same `lane` take turns, which is cheaper than colliding.
        Raise Unavailable after five seconds of that, or when the server is down. If the answer to the commit is lost
        nobody knows whether it took effect: the caller's retry must be idempotent.
        """
        deadline = time.monotonic() + WAIT_S
        with self._turn(lane), _translated(), self._client.start_session() as session:
            tries = 0
            while True:
                tries += 1
                try:
                    return self._attempt(session, effect, deadline)
                except PyMongoError as error:
                    if time.monotonic() > deadline or not _is_worth_another_try(error, tries):
                        raise
                RETRIES.inc()
                time.sleep(random.uniform(0, min(0.002 * 2**tries, 0.1)))  # noqa: S311 — only spreads them out

    def check(self) -> None:
        """Raise Unavailable unless there is a primary that answers."""
        with self.connection() as conn:
            conn.database.command("ping")

    def close(self) -> None:
        self._client.close()

    def _attempt(self, session: ClientSession, effect: Callable[[Connection], T], deadline: float) -> T:
        with session.start_transaction(
            read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority", j=True)
        ):
            result = effect(Connection(self._database, session))
            while True:
                try:
                    session.commit_transaction()
                    return result
                except PyMongoError as error:
                    unknown = error.has_error_label("UnknownTransactionCommitResult")
                    if not unknown or time.monotonic() > deadline:
                        raise

    @contextmanager
    def _turn(self, lane: object) -> Iterator[None]:
        if lane is None:
            yield
            return
        lock = self._lanes[hash(lane) % LANES]
        if not lock.acquire(timeout=WAIT_S):
            raise Unavailable("Too many changed the same thing at once.", retry_after_s=1)
        try:
            yield
        finally:
            lock.release()


def _is_worth_another_try(error: PyMongoError, tries: int) -> bool:
    """A duplicate key may be somebody else's fresh insert, which the next snapshot shows; or it stays one."""
    if isinstance(error, ServerSelectionTimeoutError):
        return False
    if isinstance(error, DuplicateKeyError):
        return tries < DUPLICATE_TRIES
    return error.has_error_label("TransientTransactionError")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (ConnectionFailure, ExecutionTimeout, WriteConcernError) as error:
        raise Unavailable("The database does not answer.") from error
    except PyMongoError as error:
        if error.has_error_label("TransientTransactionError"):
            raise Unavailable("Too many changed the same thing at once.", retry_after_s=1) from error
        raise
