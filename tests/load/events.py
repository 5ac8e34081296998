"""How long from a commit in one service to its effect in another, and how many events a second.

Relay and consumer are processes of their own on real servers, as in production; the handler writes one row. Latency is
measured with one event at a time, throughput with a full outbox.
"""

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Event as Flag
from uuid import UUID

from shared import outbox
from shared.bus import Consumer
from shared.contracts import UserRegistered
from shared.ids import new_id
from shared.inbox import PostgresInbox
from shared.outbox import PostgresSource
from shared.postgres import Connection, Database, execute
from shared.relay import Relay
from tests.support.databases import ROOT
from tests.support.servers import Servers

PROBES = 300
FLOOD = 3_000


@dataclass(frozen=True)
class Result:
    """Commit to effect, milliseconds; events a second through relay, broker and one consumer."""

    effect_p50_ms: float
    effect_p99_ms: float
    relayed_per_s: int
    effects_per_s: int


class TimedInbox(PostgresInbox):
    """Reports each effect right after its commit, the moment from which others can see it."""

    def __init__(self, database: Database, report: Callable[[float], None]) -> None:
        super().__init__(database)
        self._report = report

    def once(self, event_id: UUID, effect: Callable[[Connection], None]) -> bool:
        is_new = super().once(event_id, effect)
        self._report(time.time())
        return is_new


def measure() -> Result:
    """Start servers, relay and consumer; measure; stop everything."""
    servers = Servers()
    context = multiprocessing.get_context("spawn")
    stop, (ours, theirs) = context.Event(), context.Pipe()
    producer_url, consumer_url = _database(servers, "producer"), _database(servers, "consumer")
    broker = servers.rabbitmq
    _make_consumer(Database(consumer_url), broker.url("profile"), lambda _: None).declare()
    processes = [
        context.Process(target=run_relay, args=(producer_url, broker.url("auth"), stop)),
        context.Process(target=run_consumer, args=(consumer_url, broker.url("profile"), stop, theirs)),
    ]
    for process in processes:
        process.start()
    try:
        producer = Database(producer_url)
        latencies = _latencies(producer, ours)
        centiles = statistics.quantiles(latencies, n=100)
        relayed, effects = _flood(producer, ours)
        producer.close()
        return Result(round(centiles[49], 1), round(centiles[98], 1), round(relayed), round(effects))
    finally:
        stop.set()
        for process in processes:
            process.join(30)
        servers.stop()


def _database(servers: Servers, name: str) -> str:
    url = servers.postgres.create_role_and_database(name, name)
    db = Database(url, size=1)
    with db.transaction() as conn:
        for file in ("outbox", "outbox_unread", "inbox"):
            execute(conn, (ROOT / "shared" / "sql" / f"{file}.sql").read_text())
        execute(conn, "CREATE TABLE effects (user_id uuid PRIMARY KEY)")
    db.close()
    return url


def run_relay(url: str, amqp_url: str, stop: Flag) -> None:
    Relay(PostgresSource(Database(url)), amqp_url, ["data", "notify"]).run(_thread_event(stop))


def run_consumer(url: str, amqp_url: str, stop: Flag, pipe: Pipe) -> None:
    _make_consumer(Database(url), amqp_url, pipe.send).run(_thread_event(stop))


def _make_consumer(db: Database, amqp_url: str, report: Callable[[float], None]) -> Consumer:
    consumer = Consumer("profile", amqp_url, TimedInbox(db, report))

    @consumer.on(UserRegistered)
    def insert_effect(conn: Connection, event: UserRegistered) -> None:
        execute(conn, "INSERT INTO effects (user_id) VALUES (%(id)s)", {"id": event.user_id})

    return consumer


def _thread_event(flag: Flag) -> threading.Event:
    event = threading.Event()

    def watch() -> None:
        flag.wait()
        event.set()

    threading.Thread(target=watch, daemon=True).start()
    return event


def _add(producer: Database, count: int) -> float:
    """Commit `count` events; the moment after the commit."""
    now = datetime.now(UTC)
    with producer.transaction() as conn:
        outbox.add(conn, *(UserRegistered(user_id=new_id(), created_at=now) for _ in range(count)))
    return time.time()


def _latencies(producer: Database, pipe: Pipe) -> list[float]:
    """Milliseconds from commit to effect, one event after the other; the first ten warm up and do not count."""
    found = []
    for number in range(PROBES + 10):
        committed_at = _add(producer, 1)
        took_ms = (pipe.recv() - committed_at) * 1000
        if number >= 10:
            found.append(took_ms)
        time.sleep(0.01)
    return found


def _flood(producer: Database, pipe: Pipe) -> tuple[float, float]:
    """Events a second until the outbox was empty, and until the last effect was committed."""
    began = _add(producer, FLOOD)
    drained: list[float] = []

    def watch() -> None:
        while PostgresSource(producer).lag_s() > 0:
            time.sleep(0.01)
        drained.append(time.time())

    watcher = threading.Thread(target=watch)
    watcher.start()
    last = began
    for _ in range(FLOOD):
        last = pipe.recv()
    watcher.join()
    return FLOOD / (drained[0] - began), FLOOD / (last - began)


if __name__ == "__main__":
    print(measure())
