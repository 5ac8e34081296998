"""The private RabbitMQ: each component may declare, read and publish its own, and nothing else."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from deploy.local import broker_permissions
from deploy.local.rabbitmq import RabbitMQ
from shared import topology
from shared.contracts import EVENTS, EXCHANGE
from tests.support.broker import Broker

STREAM = {"x-queue-type": "stream", "x-max-age": "1h"}
Open = Callable[[str], BlockingChannel]


@pytest.fixture(autouse=True)
def quiet_pika(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="pika")


@pytest.fixture
def open_channel(broker: Broker) -> Iterator[Open]:
    connections: list[pika.BlockingConnection] = []

    def open_as(user: str) -> BlockingChannel:
        connections.append(pika.BlockingConnection(pika.URLParameters(broker.url(user))))
        channel = connections[-1].channel()
        channel.confirm_delivery()
        return channel

    admin = open_as(broker_permissions.ADMIN)
    admin.exchange_declare(EXCHANGE, "topic", durable=True)
    yield open_as
    for connection in connections:
        connection.close()


def assert_refused(action: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
        action(*arguments, **named)
    assert refused.value.reply_code == 403


@pytest.mark.parametrize("service", ["auth", "profile", "data", "notify"])
def test_a_service_declares_all_its_queues_and_publishes_its_events(open_channel: Open, service: str) -> None:
    channel = open_channel(service)
    topology.declare(channel, service, ["user.registered"])
    for event_type, event in EVENTS.items():
        if event.source in (service, "any"):
            channel.basic_publish(EXCHANGE, event_type, b"{}")
    for exchange in (topology.delay(service, 1), topology.dead_letters(service), topology.retry(service)):
        channel.basic_publish(exchange, f"{service}.user.registered", b"{}", mandatory=True)


@pytest.mark.parametrize("service", ["profile", "data", "notify", "gateway"])
@pytest.mark.parametrize("event_type", ["session.revoked", "user.registered", "session.created.too"])
def test_only_auth_publishes_what_auth_owns(open_channel: Open, service: str, event_type: str) -> None:
    assert_refused(open_channel(service).basic_publish, EXCHANGE, event_type, b"{}")


def test_the_gateway_publishes_no_event(open_channel: Open) -> None:
    for event_type in EVENTS:
        assert_refused(open_channel("gateway").basic_publish, EXCHANGE, event_type, b"{}")


def test_a_service_can_neither_read_nor_change_anothers_queues(open_channel: Open) -> None:
    topology.declare(open_channel("notify"), "notify", ["user.registered"])
    queue = topology.queue_name("notify", "user.registered")
    assert_refused(open_channel("profile").basic_get, queue)
    assert_refused(open_channel("profile").queue_purge, queue)
    assert_refused(open_channel("profile").queue_delete, queue)
    assert_refused(open_channel("profile").queue_bind, queue, EXCHANGE, "profile.updated")


@pytest.mark.parametrize("exchange", ["", "notify.retry", "notify.dead", "notify.delay.1s"])
def test_a_service_can_put_nothing_into_anothers_queues(open_channel: Open, exchange: str) -> None:
    topology.declare(open_channel("notify"), "notify", ["user.registered"])
    assert_refused(open_channel("profile").basic_publish, exchange, "notify.user.registered", b"{}")


def test_only_notify_hears_what_people_are_told(open_channel: Open) -> None:
    topology.declare(open_channel("notify"), "notify", ["message.requested"])
    channel = open_channel("profile")
    channel.queue_declare("profile.message.requested")
    assert_refused(channel.queue_bind, "profile.message.requested", EXCHANGE, "message.requested")
    for wildcard in ("#", "*.*", "message.*"):
        assert_refused(open_channel("profile").queue_bind, "profile.message.requested", EXCHANGE, wildcard)


def test_the_gateway_reads_revocations_and_marks_its_own_stream(open_channel: Open) -> None:
    channel = open_channel("gateway")
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    channel.queue_declare("gateway.revocations", durable=True, arguments=STREAM)
    channel.exchange_declare("gateway.revocations", "fanout", durable=True)
    channel.queue_bind("gateway.revocations", EXCHANGE, "session.revoked")
    channel.queue_bind("gateway.revocations", "gateway.revocations")
    channel.basic_publish("gateway.revocations", "", b"marker", mandatory=True)
    open_channel("auth").basic_publish(EXCHANGE, "session.revoked", b"revoked", mandatory=True)
    channel.basic_qos(prefetch_count=10)
    messages = channel.consume("gateway.revocations", arguments={"x-stream-offset": "first"}, inactivity_timeout=5)
    bodies = []
    for method, _, body in messages:
        assert method is not None
        bodies.append(body)
        channel.basic_ack(method.delivery_tag)
        if len(bodies) == 2:
            break
    assert bodies == [b"marker", b"revoked"]
    assert_refused(open_channel("gateway").queue_bind, "gateway.revocations", EXCHANGE, "user.registered")


def test_nobody_has_the_package_s_default_account(rabbitmq: RabbitMQ) -> None:
    guest = pika.URLParameters(f"amqp://guest:guest@127.0.0.1:{rabbitmq.port}/%2F")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(guest)


def test_the_definitions_hold_no_password() -> None:
    passwords = {user: f"password-of-{user}" for user in broker_permissions.USERS}
    text = str(broker_permissions.definitions(passwords))
    assert "password-of" not in text
