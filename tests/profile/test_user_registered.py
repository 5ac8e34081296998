"""user.registered → a profile"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from services.profile import events
from shared.bus import Consumer
from shared.contracts import Envelope, UserRegistered
from shared.inbox import PostgresInbox
from shared.postgres import Database, execute
from shared.publisher import Message, Publisher
from tests.profile.conftest import Client
from tests.support.broker import Broker
from tests.support.loops import running
from tests.support.people import Person
from tests.support.waiting import eventually

ME = "/profile/v1/me"


def registered(person: Person, **fields: Any) -> Envelope:
    return Envelope.of(UserRegistered(user_id=person.user_id, created_at=datetime.now(UTC), **fields))


def profiles_of(db: Database, person: Person) -> int:
    with db.transaction() as conn:
        return execute(conn, "SELECT 1 FROM profiles WHERE user_id = %(id)s", {"id": person.user_id})


def had(db: Database, envelope: Envelope) -> bool:
    with db.transaction() as conn:
        return bool(execute(conn, "SELECT 1 FROM inbox WHERE event_id = %(id)s", {"id": envelope.id}))


@pytest.fixture
def publish(broker: Broker, db: Database) -> Iterator[Callable[..., None]]:
    """Publish as auth does; returns when the service has had every one of them."""
    consumer = Consumer("profile", broker.url("profile"), PostgresInbox(db))
    events.subscribe(consumer)
    consumer.declare()
    publisher = Publisher(broker.url("auth"))

    def publish_and_wait(*envelopes: Envelope) -> None:
        publisher.publish([Message.of(envelope) for envelope in envelopes])
        eventually(lambda: all(had(db, envelope) for envelope in envelopes), what="the effect of the events")

    with running(consumer.run):
        yield publish_and_wait
    publisher.close()


def test_a_profile_appears_with_the_language_chosen_at_sign_up(publish, as_alice, outbox_of):
    publish(registered(as_alice.person, email="alice@example.org", locale="pt-br"))
    profile = as_alice.get(ME).json
    assert (profile["locale"], profile["version"], profile["visibility"]) == ("pt-BR", 1, "private")
    (event,) = outbox_of(as_alice.person)
    assert (event["type"], event["data"]["locale"]) == ("profile.updated", "pt-BR")


def test_an_event_that_comes_again_changes_nothing(publish, as_alice, db, outbox_of):
    envelope = registered(as_alice.person, locale="de")
    publish(envelope, envelope, envelope)
    publish(envelope, registered(as_alice.person, locale="fr"))
    assert as_alice.get(ME).json["locale"] == "de"
    assert as_alice.get(ME).json["version"] == 1
    assert profiles_of(db, as_alice.person) == 1


def test_an_event_that_comes_after_the_first_look_fills_in_the_language(publish, as_alice):
    first = as_alice.get(ME)
    assert first.json["locale"] is None
    publish(registered(as_alice.person, locale="de"))
    second = as_alice.get(ME, if_none_match=first.headers["ETag"])
    assert second.status_code == 200
    assert (second.json["locale"], second.json["version"]) == ("de", 2)


def test_a_late_event_does_not_overwrite_what_the_person_chose(publish, as_alice):
    mine = as_alice.patch(ME, {"locale": "ja", "display_name": "Alice"}).json
    publish(registered(as_alice.person, locale="de"))
    assert as_alice.get(ME).json == mine


@pytest.mark.parametrize("locale", [None, "", "klingon!", "x" * 100])
def test_a_language_that_is_none_is_left_out(publish, as_alice, outbox_of, locale):
    publish(registered(as_alice.person, locale=locale, is_anonymous=True))
    assert as_alice.get(ME).json["locale"] is None
    assert outbox_of(as_alice.person) == []


def test_events_and_first_looks_at_once_make_one_profile_each(publish, app: Flask, db, issuer):
    people = [Person(f"p{n}", issuer) for n in range(10)]
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(Client(app, person).get, ME) for person in people * 3]
        publish(*[registered(person, locale="de") for person in people])
        assert {answer.result().status_code for answer in answers} == {200}
    assert [profiles_of(db, person) for person in people] == [1] * 10
    assert {Client(app, person).get(ME).json["locale"] for person in people} == {"de"}
