"""data.changed → the broker"""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pika
import pytest
from flask import Flask
from pika.adapters.blocking_connection import BlockingChannel

import shared.relay
from services.data import outbox
from services.data.mongo import Database
from services.data.outbox import MongoSource
from shared.contracts import EXCHANGE, DataChanged
from shared.errors import Unavailable
from shared.ids import new_id
from shared.relay import Relay
from tests.data.conftest import Client, note
from tests.support.broker import Broker
from tests.support.loops import running
from tests.support.waiting import eventually

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Listener:
    """A queue that gets every data.changed."""

    def __init__(self, channel: BlockingChannel) -> None:
        self._channel = channel
        channel.exchange_declare(EXCHANGE, "topic", durable=True)
        self._queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(self._queue, EXCHANGE, "data.changed")
        self.heard: list[dict] = []

    def listen(self) -> list[dict]:
        while body := self._channel.basic_get(self._queue, auto_ack=True)[2]:
            self.heard.append(json.loads(body))
        return self.heard


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    connection = pika.BlockingConnection(pika.URLParameters(broker.url()))
    yield Listener(connection.channel())
    connection.close()


@pytest.fixture(autouse=True)
def _empty_outbox(db: Database) -> None:
    with db.connection() as conn:
        conn["outbox"].delete_many({})


def waiting(db: Database) -> int:
    with db.connection() as conn:
        return conn["outbox"].count_documents({})


def relay_of(broker: Broker, db: Database) -> Relay:
    return Relay(MongoSource(db), broker.url("data"))


def test_a_write_wakes_the_relay_without_its_poll(broker, db, as_alice, listener, monkeypatch):
    monkeypatch.setattr(shared.relay, "POLL_S", 3600.0)
    with running(relay_of(broker, db).run):
        for n in range(1, 4):
            revision = as_alice.put(note(), {"n": n}, traceparent=TRACE).json["revision"]
            eventually(lambda n=n: len(listener.listen()) == n, what=f"event {n}")
    event = listener.heard[-1]
    assert event["type"] == "data.changed"
    assert event["subject"] == as_alice.space_id()
    assert event["data"] == {"space_id": as_alice.space_id(), "seq": revision, "collections": ["notes"]}
    assert event["traceparent"].split("-")[1] == TRACE.split("-")[1]
    eventually(lambda: waiting(db) == 0)


def test_two_relays_share_the_work_and_nothing_is_lost(app: Flask, broker, db, alice, listener):
    with running(relay_of(broker, db).run, relay_of(broker, db).run), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: Client(app, alice).put(note(), {"n": n}), range(40)))
        eventually(lambda: len(listener.listen()) >= 40, what="every event")
    assert sorted(event["data"]["seq"] for event in listener.heard) == list(range(1, 41))
    assert waiting(db) == 0


def test_what_could_not_be_published_stays_and_is_free_at_once(db, as_alice):
    as_alice.put(note(), {"n": 1})
    source = MongoSource(db)
    with pytest.raises(Unavailable), source.batch(10) as envelopes:
        assert len(envelopes) == 1
        raise Unavailable("the broker is down")
    with source.batch(10) as envelopes:
        assert len(envelopes) == 1
    assert waiting(db) == 0


def test_what_a_relay_holds_no_other_takes(db, as_alice):
    as_alice.put(note(), {"n": 1})
    with MongoSource(db).batch(10) as mine, MongoSource(db).batch(10) as others:
        assert (len(mine), len(others)) == (1, 0)


def test_what_a_relay_held_when_it_died_is_published_later(db, as_alice, monkeypatch):
    monkeypatch.setattr(outbox, "HOLD", -outbox.HOLD)
    as_alice.put(note(), {"n": 1})
    dead = MongoSource(db).batch(10)
    assert len(dead.__enter__()) == 1
    with MongoSource(db).batch(10) as envelopes:
        assert len(envelopes) == 1


def test_the_lag_is_the_age_of_the_oldest_event(db, as_alice):
    source = MongoSource(db)
    assert source.lag_s() == 0.0
    as_alice.put(note(), {"n": 1})
    assert 0.0 <= source.lag_s() < 5.0


def test_an_event_of_a_transaction_that_fails_does_not_exist(db):
    def fail(conn):
        outbox.add(conn, DataChanged(space_id=new_id(), seq=1, collections=[]))
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        db.transact(fail)
    assert waiting(db) == 0


def test_what_no_queue_took_is_kept_aside_and_put_back_in_order(db, as_alice):
    for n in range(3):
        as_alice.put(note(), {"n": n})
    source = MongoSource(db)
    with source.batch(100) as held:
        ids = [envelope.id for envelope in held]
        held.unread += held[1:]
    assert (source.unread(), waiting(db), source.lag_s()) == ({"data.changed": 2}, 0, 0.0)
    assert source.release(["user.registered"], 100) == 0
    assert source.release(["data.changed"], 1) == 1
    assert source.release(["data.changed"], 100) == 1
    with source.batch(100) as held:
        assert [envelope.id for envelope in held] == ids[1:]
    assert (source.unread(), waiting(db)) == ({}, 0)


def test_a_relay_that_dies_between_keeping_aside_and_forgetting_leaves_each_event_once(db, as_alice):
    as_alice.put(note(), {"n": 1})
    source = MongoSource(db)
    with db.connection() as conn:
        row = conn["outbox"].find_one({})
    with source.batch(100) as held:
        held.unread += held
    with db.connection() as conn:
        conn["outbox"].insert_one(row)  # as if it had not been forgotten
    with source.batch(100) as held:
        held.unread += held
    assert source.unread() == {"data.changed": 1}
    with db.connection() as conn:
        conn["outbox"].insert_one(row)
    assert source.release(["data.changed"], 100) == 1
    assert (source.unread(), waiting(db)) == ({}, 1)


def test_a_relay_that_is_told_to_stop_stops_while_it_waits(broker, db):
    relay, stop = relay_of(broker, db), threading.Event()
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
