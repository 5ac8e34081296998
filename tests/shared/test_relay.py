"""The relay while the broker or a reader is not there: every event is kept, and the metrics say so."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pika
import pytest
from prometheus_client import REGISTRY

from shared import outbox, topology
from shared.contracts import EXCHANGE, Envelope, Event, SessionCreated, SessionRevoked, UserRegistered
from shared.ids import new_id
from shared.outbox import PostgresSource
from shared.postgres import Database
from shared.relay import Relay
from tests.support.broker import Broker
from tests.support.loops import running
from tests.support.waiting import eventually


class Queues:
    """What the services declare at the broker, and what has arrived there."""

    def __init__(self, broker: Broker) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(broker.url("admin")))
        self.channel = self._connection.channel()
        self.channel.exchange_declare(EXCHANGE, "topic", durable=True)

    def declare(self, service: str, event_type: str) -> None:
        topology.declare(self.channel, service, [event_type], (1,))

    def take(self, queue: str) -> list[str]:
        """The ids of the events that wait in it."""
        taken = []
        while (body := self.channel.basic_get(queue, auto_ack=True)[2]) is not None:
            taken.append(str(Envelope.model_validate_json(body).id))
        return taken

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def queues(broker: Broker) -> Iterator[Queues]:
    made = Queues(broker)
    yield made
    made.close()


@pytest.fixture
def relay_of(broker: Broker, db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Relay]]:
    """A relay that looks often."""
    made: list[Relay] = []
    for module in ("relay", "readers"):
        monkeypatch.setattr(f"shared.{module}.LOOK_S", 0.05)

    def make(**options: Any) -> Relay:
        made.append(Relay(PostgresSource(db), broker.url("auth"), **options))
        return made[-1]

    yield make
    for relay in made:
        relay.close()


def registered() -> UserRegistered:
    return UserRegistered(user_id=new_id(), email="a@example.org", created_at=datetime.now(UTC))


def revoked() -> SessionRevoked:
    return SessionRevoked(session_id=new_id(), user_id=new_id(), reason="logout", revoked_at=datetime.now(UTC))


def add(db: Database, *events: Event) -> list[str]:
    """The ids of what waits in the outbox, in order, with these events in it."""
    with db.transaction() as conn:
        outbox.add(conn, *events)
        with conn.cursor() as cursor:
            cursor.execute("SELECT envelope::json->>'id' AS id FROM outbox ORDER BY position")
            return [row["id"] for row in cursor.fetchall()]


def unread(event_type: str) -> float | None:
    return REGISTRY.get_sample_value("outbox_unread", {"type": event_type})


def lag_s() -> float:
    return REGISTRY.get_sample_value("outbox_lag_seconds") or 0.0


def test_what_the_broker_refuses_is_kept_and_its_age_grows_until_it_is_taken(
    broker: Broker, queues: Queues, db: Database
) -> None:
    add(db, revoked())
    with running(Relay(PostgresSource(db), broker.url("profile")).run):  # it may not say this
        eventually(lambda: lag_s() > 0.5)
        before = lag_s()
        eventually(lambda: lag_s() > before)
    with running(Relay(PostgresSource(db), broker.url("auth")).run):
        eventually(lambda: PostgresSource(db).lag_s() == 0, what="the delivery")
        eventually(lambda: lag_s() == 0)


def test_what_is_said_before_any_reader_has_a_queue_waits_for_all_of_them_in_order(
    queues: Queues, db: Database, relay_of: Callable[..., Relay]
) -> None:
    ids = add(db, *(registered() for _ in range(250)))
    with running(relay_of().run):
        eventually(lambda: unread("user.registered") == 250)
        assert PostgresSource(db).lag_s() == 0, "nothing stands in the way of the next event"
        for service in ("profile", "data", "notify"):
            queues.declare(service, "user.registered")
        eventually(lambda: unread("user.registered") == 0)
        eventually(lambda: PostgresSource(db).unread() == {} and PostgresSource(db).lag_s() == 0)
    for service in ("profile", "data", "notify"):
        arrived = queues.take(f"{service}.user.registered")
        assert list(dict.fromkeys(arrived)) == ids


def test_a_reader_that_is_there_is_not_kept_waiting_for_one_that_is_not(
    queues: Queues, db: Database, relay_of: Callable[..., Relay]
) -> None:
    queues.declare("notify", "user.registered")
    queues.declare("profile", "user.registered")
    ids = add(db, registered())
    with running(relay_of().run):
        eventually(lambda: queues.take("notify.user.registered") == ids)
        eventually(lambda: unread("user.registered") == 1)
        queues.declare("data", "user.registered")
        eventually(lambda: queues.take("data.user.registered") == ids)
    assert PostgresSource(db).unread() == {}


def test_an_event_that_nobody_reads_or_whose_readers_are_left_out_is_not_kept(
    queues: Queues, db: Database, relay_of: Callable[..., Relay]
) -> None:
    queues.declare("notify", "user.registered")
    created = SessionCreated(session_id=new_id(), user_id=new_id(), created_at=datetime.now(UTC))
    _, second = add(db, created, registered())
    assert relay_of(absent_services=["profile", "data"]).relay_batch() == 2
    assert queues.take("notify.user.registered") == [second]
    add(db, revoked())
    assert relay_of(absent_services=["notify"]).relay_batch() == 1
    assert PostgresSource(db).unread() == {}


def test_a_queue_that_is_taken_away_later_loses_nothing_either(
    queues: Queues, db: Database, relay_of: Callable[..., Relay]
) -> None:
    queues.declare("notify", "session.revoked")
    relay = relay_of()
    (first,) = add(db, revoked())
    relay.relay_batch()
    assert queues.take("notify.session.revoked") == [first]
    queues.channel.queue_delete("notify.session.revoked")
    (second,) = add(db, revoked())
    with running(relay.run):
        eventually(lambda: PostgresSource(db).unread() == {"session.revoked": 1})
        queues.declare("notify", "session.revoked")
        eventually(lambda: queues.take("notify.session.revoked") == [second])


def test_what_is_kept_aside_outlives_the_relay(queues: Queues, db: Database, relay_of: Callable[..., Relay]) -> None:
    ids = add(db, registered())
    with running(relay_of().run):
        eventually(lambda: PostgresSource(db).unread() == {"user.registered": 1})
    for service in ("profile", "data", "notify"):
        queues.declare(service, "user.registered")
    with running(relay_of().run):
        eventually(lambda: queues.take("data.user.registered") == ids)
