"""The mail relay unwell or strict: the right outcome, nothing lost, nothing repeated but under the same Message-ID."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pika
import pytest

from deploy.local.simulators import Simulators
from services.notify import channels, events
from services.notify.config import NotifySettings
from services.notify.contracts import EmailQueued
from services.notify.providers import Mail, Provider, Result
from shared.contracts import Envelope, UserUpdated
from shared.ids import new_id
from shared.postgres import Database
from tests.notify.conftest import Client, json_of, running, settings_for
from tests.support.broker import Broker
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def _alice_has_an_address(db: Database, alice: Person) -> None:
    now = datetime.now(UTC)
    with db.transaction() as conn:
        events.update_contact(
            conn,
            UserUpdated(user_id=alice.user_id, email="alice@example.com", email_confirmed_at=now, updated_at=now),
        )


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 451},
        {"kind": "status", "status": 421},
        {"kind": "reset"},
        {"kind": "reset", "after_accept": True},
        {"kind": "delay", "delay_s": 3},
    ],
)
def test_an_outage_is_retried_until_it_is_over(
    fault: dict[str, Any], as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    simulators.fault("smtp", count=1, **fault)

    (delivery,) = as_sender.finished(as_sender.send(alice, channels=["email"]))

    assert (delivery["state"], delivery["outcome"]) == ("sent", "accepted")
    arrived = simulators.messages(channel="smtp")
    assert {mail["mail"]["message_id"] for mail in arrived} == {f"<{delivery['id']}@gatehouse.example>"}
    if not fault.get("after_accept") and fault["kind"] != "delay":
        assert len(arrived) == 1


def test_a_mailbox_that_does_not_exist_is_not_tried_again(
    as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    simulators.fault("smtp", "bounce")

    (delivery,) = as_sender.finished(as_sender.send(alice, channels=["email"]))

    assert (delivery["state"], delivery["outcome"], delivery["reason"]) == ("failed", "bad_request", "smtp_550")
    assert delivery["attempts"] == 1


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        ({"smtp_username": "gatehouse", "smtp_password": "wrong"}, "credentials", "smtp_535"),
        ({"smtp_port": 1}, "retry_after", "unreachable: ConnectionRefusedError"),
        ({"smtp_ca_file": None}, "retry_after", "unreachable: SSLCertVerificationError"),
    ],
)
def test_a_relay_that_cannot_be_used_is_named(
    changes: dict[str, Any], outcome: str, reason: str, issuer: Issuer, simulators: Simulators
) -> None:
    (result,) = send_one(issuer, simulators, **changes)

    assert (result.outcome, result.reason) == (outcome, reason)


def test_a_log_in_works(issuer: Issuer, simulators: Simulators) -> None:
    (result,) = send_one(issuer, simulators, smtp_username="gatehouse", smtp_password="right")

    assert result.outcome == "accepted"
    assert len(simulators.messages(channel="smtp", to="bo@example.com")) == 1


def test_a_slow_relay_does_not_make_two_senders_send_one_mail(
    as_sender: Client,
    alice: Person,
    broker: Broker,
    simulators: Simulators,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    """Each answer comes in time, but the mails in hand would outlast their claim, and another sender waits for it."""
    simulators.fault("smtp", "delay", delay_s=0.6, count=20)
    sent = [as_sender.send(alice, channels=["email"]) for _ in range(20)]

    with running(worker_settings()):
        simulators.wait_for(1, channel="smtp", timeout_s=20)  # the first sender has the others in hand now
        with running(worker_settings()):
            name_again(
                broker,
                [UUID(row["id"]) for id_ in sent for row in json_of(as_sender.get(f"/messages/{id_}"))["deliveries"]],
            )
            deliveries = [delivery for message_id in sent for delivery in as_sender.finished(message_id, timeout_s=60)]

    assert {(delivery["state"], delivery["attempts"]) for delivery in deliveries} == {("sent", 1)}
    arrived = [mail["mail"]["message_id"] for mail in simulators.messages(channel="smtp", limit=100)]
    assert len(arrived) == len(set(arrived)) == len(sent)


def test_a_mail_ends_when_its_time_is_over(issuer: Issuer, simulators: Simulators) -> None:
    """The relay may have got the one in hand; the rest was not begun."""
    simulators.fault("smtp", "delay", delay_s=5)
    mails = [a_mail() for _ in range(3)]
    until = time.monotonic() + 1

    results = relay_of(issuer, simulators, send_timeout_s=10, send_lease_s=60).send(mails, until=until)

    assert until - 0.1 < time.monotonic() < until + 0.5
    assert [result.outcome for result in results] == ["ambiguous", "postponed", "postponed"]


@pytest.mark.parametrize("says", [b"220-wait\r\n", b"2"])
def test_a_relay_that_talks_without_end_is_left_when_the_time_is_over(
    says: bytes, issuer: Issuer, simulators: Simulators
) -> None:
    with talking(says) as port:
        relay = relay_of(issuer, simulators, smtp_host="127.0.0.1", smtp_port=port)
        until = time.monotonic() + 1
        (result,) = relay.send([a_mail()], until=until)

    assert until - 0.1 < time.monotonic() < until + 1
    assert (result.outcome, result.reason) == ("retry_after", "unreachable: SMTPServerDisconnected")


def test_nothing_is_sent_when_the_time_is_over_before_it_begins(issuer: Issuer, simulators: Simulators) -> None:
    (result,) = relay_of(issuer, simulators).send([a_mail()], until=time.monotonic())

    assert result.outcome == "postponed"
    assert simulators.messages(channel="smtp") == []


def name_again(broker: Broker, ids: list[UUID]) -> None:
    """Put deliveries into the queue once more, as a broker does that lost a connection: for each of two senders."""
    body = Envelope.of(EmailQueued(channel="email", delivery_ids=ids)).model_dump_json().encode()
    with closing(pika.BlockingConnection(pika.URLParameters(broker.url()))) as connection:
        channel, queue = connection.channel(), "notify.delivery.queued_email"
        eventually(lambda: channel.queue_declare(queue, passive=True).method.consumer_count == 2, what="two senders")
        for _ in range(2):
            channel.basic_publish("notify.retry", queue, body)


@contextmanager
def talking(says: bytes) -> Iterator[int]:
    """The port of a server that says the same again and again, ten times a second."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                while True:
                    connection.sendall(says)
                    time.sleep(0.1)

        thread = threading.Thread(target=talk)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join(5)


def send_one(issuer: Issuer, simulators: Simulators, **changes: Any) -> list[Result]:
    return relay_of(issuer, simulators, **changes).send([a_mail()], until=time.monotonic() + 10)


def relay_of(issuer: Issuer, simulators: Simulators, **changes: Any) -> Provider[Mail]:
    nowhere = ("postgresql://a:b@127.0.0.1:1/c", "amqp://a:b@127.0.0.1:1/")
    return channels.email(settings_for(*nowhere, issuer, simulators.credentials, **changes))


def a_mail() -> Mail:
    return Mail(new_id(), "bo@example.com", "Hello", "Hello", "<p>Hello</p>")
