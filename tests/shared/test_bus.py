"""Events from an outbox to one effect, through a real broker, with everything that can go wrong on the way."""

import threading
from datetime import UTC, datetime
from uuid import UUID

import pika
import pytest

import shared.relay
from shared import dlq, outbox
from shared.bus import Consumer
from shared.contracts import Envelope, UserRegistered
from shared.errors import Unavailable
from shared.ids import new_id
from shared.inbox import PostgresInbox
from shared.outbox import PostgresSource
from shared.postgres import Connection, Database, execute, fetch_all
from shared.publisher import Message, Publisher
from shared.relay import Relay
from tests.support.broker import Broker
from tests.support.loops import running
from tests.support.waiting import eventually


class Thing:
    def __init__(self, name: str, count: int) -> None:
        self.name, self.count = name, count


def registered(user_id: UUID | None = None) -> UserRegistered:
    return UserRegistered(user_id=user_id or new_id(), email="a@example.org", created_at=datetime.now(UTC))


def count_thing(conn: Connection, name: str) -> None:
    sql = "INSERT INTO things (name) VALUES (%(n)s) ON CONFLICT (name) DO UPDATE SET count = things.count + 1"
    execute(conn, sql, {"n": name})


def counts(db: Database) -> dict[str, int]:
    with db.transaction() as conn:
        return {thing.name: thing.count for thing in fetch_all(conn, Thing, "SELECT name, count FROM things")}


@pytest.fixture
def consumer(broker: Broker, db: Database) -> Consumer:
    made = Consumer("notify", broker.url("notify"), PostgresInbox(db), delays_s=(1,))

    @made.on(UserRegistered)
    def count_user(conn: Connection, event: UserRegistered) -> None:
        count_thing(conn, str(event.user_id))

    made.declare()
    return made


@pytest.fixture
def relay(broker: Broker, db: Database) -> Relay:
    return Relay(PostgresSource(db), broker.url("auth"))


def test_an_event_added_in_a_transaction_has_its_effect_in_another_service(
    consumer: Consumer, relay: Relay, db: Database
) -> None:
    event = registered()
    with db.transaction() as conn:
        outbox.add(conn, event)
    with running(relay.run, consumer.run):
        eventually(lambda: counts(db) == {str(event.user_id): 1})


def test_the_commit_wakes_the_relay_without_its_poll(
    consumer: Consumer, relay: Relay, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.relay, "POLL_S", 3600.0)
    with running(relay.run, consumer.run):
        first = registered()
        with db.transaction() as conn:
            outbox.add(conn, first)
        eventually(lambda: counts(db))
        second = registered()
        with db.transaction() as conn:
            outbox.add(conn, second)
        eventually(lambda: len(counts(db)) == 2)


def test_an_event_of_a_transaction_that_rolls_back_never_leaves(consumer: Consumer, relay: Relay, db: Database) -> None:
    with pytest.raises(RuntimeError), db.transaction() as conn:
        outbox.add(conn, registered())
        raise RuntimeError("changed my mind")
    kept = registered()
    with db.transaction() as conn:
        outbox.add(conn, kept)
    with running(relay.run, consumer.run):
        eventually(lambda: counts(db))
    assert counts(db) == {str(kept.user_id): 1}


def test_a_consumer_is_ready_once_what_others_publish_has_a_queue_to_wait_in(broker: Broker, db: Database) -> None:
    consumer = Consumer("notify", broker.url("notify"), PostgresInbox(db), delays_s=(1,))
    consumer.on(UserRegistered)(lambda conn, event: count_thing(conn, str(event.user_id)))

    def is_ready() -> bool:
        try:
            consumer.check_declared()
        except Unavailable:
            return False
        return True

    assert not is_ready()
    with running(consumer.run):
        eventually(is_ready)
    event, publisher = registered(), Publisher(broker.url("auth"))
    publisher.publish([Message.of(Envelope.of(event))])
    publisher.close()
    with running(consumer.run):
        eventually(lambda: counts(db) == {str(event.user_id): 1})
    assert is_ready()


def test_an_event_that_comes_three_times_has_one_effect(consumer: Consumer, broker: Broker, db: Database) -> None:
    envelope = Envelope.of(registered())
    last = Envelope.of(registered())
    publisher = Publisher(broker.url("auth"))
    publisher.publish([Message.of(envelope)] * 3 + [Message.of(last)])
    with running(consumer.run):
        eventually(lambda: last.subject in counts(db))
    publisher.close()
    assert counts(db)[envelope.subject] == 1


def test_a_batch_larger_than_one_relay_turn_arrives_whole(consumer: Consumer, relay: Relay, db: Database) -> None:
    events = [registered() for _ in range(shared.relay.BATCH * 2 + 7)]
    with db.transaction() as conn:
        outbox.add(conn, *events)
    with running(relay.run, consumer.run):
        eventually(lambda: len(counts(db)) == len(events), timeout_s=30)
    assert set(counts(db).values()) == {1}


def test_a_handler_that_fails_once_is_tried_again_after_the_delay(broker: Broker, db: Database) -> None:
    consumer = Consumer("notify", broker.url("notify"), PostgresInbox(db), delays_s=(1,))
    tries: list[UUID] = []

    @consumer.on(UserRegistered)
    def fail_first(conn: Connection, event: UserRegistered) -> None:
        tries.append(event.user_id)
        count_thing(conn, str(event.user_id))
        if len(tries) == 1:
            raise ValueError("not yet")

    consumer.declare()
    publisher = Publisher(broker.url("auth"))
    event = registered()
    publisher.publish([Message.of(Envelope.of(event))])
    with running(consumer.run):
        eventually(lambda: len(tries) == 2)
        eventually(lambda: counts(db) == {str(event.user_id): 1})
    publisher.close()


def test_a_handler_that_always_fails_ends_in_the_dead_letter_queue_and_can_be_replayed(
    broker: Broker, db: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = Consumer("notify", broker.url("notify"), PostgresInbox(db), delays_s=(1,))
    is_mended = threading.Event()

    @consumer.on(UserRegistered)
    def fail(conn: Connection, event: UserRegistered) -> None:
        if not is_mended.is_set():
            raise ValueError("password=hunter2 is wrong")
        count_thing(conn, str(event.user_id))

    consumer.declare()
    publisher = Publisher(broker.url("auth"))
    envelope = Envelope.of(registered())
    publisher.publish([Message.of(envelope)])
    publisher.close()
    monkeypatch.setenv("AMQP_URL", broker.url("admin"))
    with running(consumer.run):
        eventually(lambda: _dead(capsys) == 1, what="the dead letter")
        dlq.main(["list", "notify"])
        listed = capsys.readouterr().out
        assert str(envelope.id) in listed and "notify.user.registered" in listed and "ValueError" in listed
        assert "hunter2" not in listed
        is_mended.set()
        assert dlq.main(["replay", "notify", str(envelope.id)]) == 0
        eventually(lambda: counts(db) == {envelope.subject: 1})
    assert _dead(capsys) == 0


def _dead(capsys: pytest.CaptureFixture[str]) -> int:
    capsys.readouterr()
    dlq.main(["list", "notify"])
    return int(capsys.readouterr().out.strip().splitlines()[-1].split()[0])


def test_what_is_not_an_event_goes_straight_to_the_dead_letter_queue(
    consumer: Consumer, broker: Broker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(broker.url("auth"))
    publisher.publish([Message("user.registered", b"{]", "m1")])
    publisher.close()
    monkeypatch.setenv("AMQP_URL", broker.url("admin"))
    with running(consumer.run):
        eventually(lambda: _dead(capsys) == 1)
    assert dlq.main(["drop", "notify", "m1"]) == 0
    assert _dead(capsys) == 0


def test_while_a_dependency_is_down_an_event_waits_in_hand_and_uses_up_no_delivery(
    broker: Broker, db: Database
) -> None:
    consumer = Consumer("notify", broker.url("notify"), PostgresInbox(db), delays_s=(1,))
    tries = 0

    @consumer.on(UserRegistered)
    def wait_for_it(conn: Connection, event: UserRegistered) -> None:
        nonlocal tries
        tries += 1
        if tries <= 4:
            raise Unavailable("not now")
        count_thing(conn, str(event.user_id))

    consumer.declare()
    publisher = Publisher(broker.url("auth"))
    publisher.publish([Message.of(Envelope.of(registered()))])
    publisher.close()
    with running(consumer.run):
        eventually(lambda: len(counts(db)) == 1)
    assert broker.depth("notify.delay.1s") == 0


def test_the_publisher_says_so_when_the_broker_is_not_there() -> None:
    publisher = Publisher("amqp://a:b@127.0.0.1:9/x")
    with pytest.raises(Unavailable):
        publisher.publish([Message("user.registered", b"{}", "m")], timeout_s=1)
    publisher.close()


def test_the_publisher_connects_again_after_its_connection_was_closed(broker: Broker, consumer: Consumer) -> None:
    publisher = Publisher(broker.url("auth"))
    publisher.publish([Message.of(Envelope.of(registered()))])
    broker.close_connections("auth")
    eventually(lambda: _publishes(publisher))
    publisher.close()


def _publishes(publisher: Publisher) -> bool:
    try:
        publisher.publish([Message.of(Envelope.of(registered()))], timeout_s=5)
    except Unavailable:
        return False
    return True


def test_a_service_cannot_publish_what_another_owns(broker: Broker) -> None:
    """The broker closes the channel: `profile` may not say that a session was revoked."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.url("profile")))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.exchange_declare("gatehouse.events", "topic", durable=True)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        channel.basic_publish("gatehouse.events", "session.revoked", b"{}")
    connection.close()
