"""user.registered → a private space"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from flask import Flask

from services.data import events
from services.data.inbox import MongoInbox
from services.data.mongo import Connection, Database
from shared.bus import Consumer
from shared.contracts import Envelope, UserRegistered
from shared.ids import new_id
from shared.publisher import Message, Publisher
from tests.data.conftest import Client
from tests.support.broker import Broker
from tests.support.loops import running
from tests.support.people import Person
from tests.support.waiting import eventually


def registered(person: Person) -> Envelope:
    return Envelope.of(UserRegistered(user_id=person.user_id, created_at=datetime.now(UTC)))


def count(db: Database, collection: str, **where: object) -> int:
    with db.connection() as conn:
        return conn[collection].count_documents(where)


@pytest.fixture
def publish(broker: Broker, db: Database) -> Iterator[Callable[..., None]]:
    """Publish as auth does; returns when the service has had every one of them."""
    consumer = Consumer("data", broker.url("data"), MongoInbox(db))
    events.subscribe(consumer)
    consumer.declare()
    publisher = Publisher(broker.url("auth"))

    def publish_and_wait(*envelopes: Envelope) -> None:
        publisher.publish([Message.of(envelope) for envelope in envelopes])
        eventually(lambda: all(count(db, "inbox", _id=envelope.id) for envelope in envelopes), what="the effect")

    with running(consumer.run):
        yield publish_and_wait
    publisher.close()


def test_the_space_is_there_before_the_first_request(publish, as_alice, db):
    publish(registered(as_alice.person))
    assert count(db, "spaces", owner_id=as_alice.person.user_id) == 1
    as_alice.space_id()
    assert count(db, "spaces", owner_id=as_alice.person.user_id) == 1


def test_events_that_come_again_change_nothing(publish, as_alice, db):
    envelope = registered(as_alice.person)
    publish(envelope, envelope, envelope)
    space_id = as_alice.space_id()
    publish(envelope, registered(as_alice.person))
    assert as_alice.space_id() == space_id
    assert count(db, "spaces", owner_id=as_alice.person.user_id) == 1


def test_events_and_first_requests_at_once_make_one_space_each(publish, app: Flask, db, issuer):
    people = [Person(f"p{n}", issuer) for n in range(10)]
    with ThreadPoolExecutor(6) as pool:
        spaces = [pool.submit(Client(app, person).space_id) for person in people * 3]
        publish(*[registered(person) for person in people])
        assert len({space.result() for space in spaces}) == 10
    assert [count(db, "spaces", owner_id=person.user_id) for person in people] == [1] * 10


def test_deliveries_at_the_same_moment_have_one_effect(db: Database):
    inbox, event_id, runs = MongoInbox(db), new_id(), []

    def effect(conn: Connection) -> None:
        conn["effects"].insert_one({"event_id": event_id}, session=conn.session)
        runs.append(1)

    with ThreadPoolExecutor(8) as pool:
        firsts = list(pool.map(lambda _: inbox.once(event_id, effect), range(16)))
    assert firsts.count(True) == 1
    assert count(db, "effects", event_id=event_id) == 1


def test_an_effect_that_fails_leaves_no_note(db: Database):
    inbox, event_id = MongoInbox(db), new_id()

    def fail(conn: Connection) -> None:
        conn["effects"].insert_one({"event_id": event_id}, session=conn.session)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        inbox.once(event_id, fail)
    assert count(db, "inbox", _id=event_id) == count(db, "effects", event_id=event_id) == 0
    assert inbox.once(event_id, lambda conn: None) is True
