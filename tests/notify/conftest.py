"""The notify service on real servers: its API, its worker's loops, and the simulators that play FCM, APNs and SMTP."""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import pika
import pytest
from flask import Flask
from pika.exceptions import ChannelClosedByBroker
from werkzeug.test import TestResponse

from deploy.local.ports import free_ports
from deploy.local.rabbitmq import RabbitMQ
from deploy.local.simulators import Credentials, Ports, Simulators
from services.notify import worker
from services.notify.app import create_app
from services.notify.config import NotifySettings
from shared.contracts import EXCHANGE, Envelope, Event
from shared.ids import new_id
from shared.postgres import Database, execute
from shared.publisher import Message, Publisher
from tests.support.broker import Broker
from tests.support.clients import NOBODYS_BROKER, db
from tests.support.databases import Databases
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.waiting import eventually

__all__ = ["db"]


@pytest.fixture(scope="session")
def running_simulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulators]:
    with Simulators(tmp_path_factory.mktemp("simulators"), Ports(*free_ports(3))) as simulators:
        yield simulators


@pytest.fixture
def simulators(running_simulators: Simulators) -> Simulators:
    running_simulators.forget()
    return running_simulators


@pytest.fixture(scope="session")
def notify_database(databases: Databases) -> Iterator[str]:
    url = databases.fresh("notify")
    yield url
    databases.drop(url)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, notify_database: str) -> str:
    """An empty database: with the worker that runs for all tests, or with a worker of the test's own, or with none."""
    if "worker_settings" in request.fixturenames:
        make: Callable[[str], str] = request.getfixturevalue("fresh_database")
        return make("notify")
    url = notify_database
    if "running_worker" in request.fixturenames:
        url = request.getfixturevalue("running_worker").database_url.get_secret_value()
    database = Database(url, size=1)
    with database.transaction() as conn:
        boxes = "outbox, outbox_unread, inbox, idempotency_keys"
        execute(conn, f"TRUNCATE {boxes}, devices, revoked_sessions, contacts, messages CASCADE")
    database.close()
    return url


@pytest.fixture(scope="session")
def apps(issuer: Issuer) -> Iterator[Callable[[str], Flask]]:
    """The web app on a database; the same one for the same URL. It needs no broker and no provider."""
    made: dict[str, Flask] = {}

    def app_on(url: str) -> Flask:
        if url not in made:
            settings: dict[str, Any] = {"amqp_url": NOBODYS_BROKER, "issuer": issuer.issuer}
            made[url] = create_app(NotifySettings(database_url=url, jwks_url=issuer.jwks_url, **settings))
        return made[url]

    yield app_on
    for app in made.values():
        app.extensions["database"].close()


@pytest.fixture
def app(apps: Callable[[str], Flask], database_url: str) -> Flask:
    return apps(database_url)


class Client:
    """Requests with one token."""

    def __init__(self, app: Flask, headers: dict[str, str]) -> None:
        self._client, self._headers = app.test_client(), headers

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        options = {} if body is None else {"json": body}
        return self._client.open(f"/notify/v1{path}", method=method, headers={**self._headers, **named}, **options)

    def get(self, path: str) -> TestResponse:
        return self.call("GET", path)

    def delete(self, path: str) -> TestResponse:
        return self.call("DELETE", path)

    def put(self, path: str, body: Any) -> TestResponse:
        return self.call("PUT", path, body)

    def post(self, path: str, body: Any, **headers: str) -> TestResponse:
        return self.call("POST", path, body, **headers)

    def register(self, platform: str = "android", *, device_id: UUID | None = None, **fields: Any) -> dict[str, Any]:
        """A device of the caller with an invented push token; what the service answered, with the token."""
        body = {"platform": platform, "token": push_token(platform), **fields}
        answer = self.put(f"/devices/{device_id or new_id()}", body)
        assert answer.status_code in (200, 201), answer.text
        return {**json_of(answer), "token": body["token"]}

    def send(self, person: Person, *, title: str = "Hello", body: str = "A message", **fields: Any) -> str:
        """Send to a person; the message's id."""
        message = {"to": {"user_id": str(person.user_id)}, "title": title, "body": body, **fields}
        answer = self.post("/messages", message)
        assert answer.status_code == 202, answer.text
        return str(json_of(answer)["id"])

    def finished(self, message_id: str, timeout_s: float = 20) -> list[dict[str, Any]]:
        """The deliveries of a message, once all are finished."""

        def probe() -> list[dict[str, Any]] | None:
            message = json_of(self.get(f"/messages/{message_id}"))
            return list(message["deliveries"]) if message["status"] == "finished" else None

        return eventually(probe, timeout_s=timeout_s, what="the end of a message") or []


def json_of(answer: TestResponse) -> dict[str, Any]:
    value: dict[str, Any] = answer.get_json()
    return value


def push_token(platform: str) -> str:
    return secrets.token_hex(32) if platform == "ios" else f"{secrets.token_hex(11)}:APA91b{secrets.token_urlsafe(60)}"


@pytest.fixture
def as_alice(app: Flask, alice: Person) -> Client:
    return Client(app, alice.headers)


@pytest.fixture
def as_mallory(app: Flask, mallory: Person) -> Client:
    return Client(app, mallory.headers)


@pytest.fixture
def as_sender(app: Flask, issuer: Issuer) -> Client:
    token = issuer.token(new_id(), sid=None, role="service", scope="messages:send")
    return Client(app, {"Authorization": f"Bearer {token}"})


@pytest.fixture
def client_of(app: Flask) -> Callable[[str], Client]:
    return lambda token: Client(app, {"Authorization": f"Bearer {token}"})


def settings_for(
    database_url: str, amqp_url: str, issuer: Issuer, credentials: Credentials, **changes: Any
) -> NotifySettings:
    """Settings of a worker that knows the simulators; retries come fast."""
    defaults: dict[str, Any] = {
        "database_url": database_url,
        "amqp_url": amqp_url,
        "issuer": issuer.issuer,
        "jwks_url": issuer.jwks_url,
        "fcm_service_account_file": credentials.service_account_file,
        "fcm_base_url": credentials.fcm_url,
        "apns_key_file": credentials.apns_key_file,
        "apns_key_id": credentials.key_id,
        "apns_team_id": credentials.team_id,
        "apns_topic": credentials.topic,
        "apns_url": f"https://{credentials.host}:{credentials.ports.apns}",
        "apns_ca_file": credentials.ca_file,
        "smtp_host": credentials.host,
        "smtp_port": credentials.ports.smtp,
        "smtp_from": "no-reply@gatehouse.example",
        "smtp_ca_file": credentials.ca_file,
        "send_timeout_s": 2,
        "send_lease_s": 4,
        "retry_base_s": 0.5,
    }
    return NotifySettings(**{**defaults, **changes})


@pytest.fixture
def worker_settings(
    database_url: str, broker: Broker, issuer: Issuer, simulators: Simulators
) -> Callable[..., NotifySettings]:
    """For a worker of the test's own."""
    return partial(settings_for, database_url, broker.url("notify"), issuer, simulators.credentials)


@contextmanager
def running(settings: NotifySettings) -> Iterator[None]:
    """The worker's loops in threads of this process, until the block ends."""
    stop = threading.Event()
    db = Database(settings.database_url.get_secret_value(), size=worker.CONNECTIONS)
    threads = [
        threading.Thread(target=loop, args=(stop,), name=name, daemon=True)
        for name, loop in worker.loops(settings, db, worker.make_consumer(settings, db)).items()
    ]
    for thread in threads:
        thread.start()
    wait_for_queues(settings)
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
        db.close()
        assert not [thread.name for thread in threads if thread.is_alive()]


def wait_for_queues(settings: NotifySettings) -> None:
    """What is published before a queue exists is lost."""
    parameters = pika.URLParameters(settings.amqp_url.get_secret_value())

    def exist() -> bool:
        connection = pika.BlockingConnection(parameters)
        try:
            for queue in ("notify.message.requested", "notify.message.accepted", "notify.delivery.queued_email"):
                connection.channel().queue_declare(queue, passive=True)
            return True
        except ChannelClosedByBroker:
            return False
        finally:
            connection.close()

    eventually(exist, timeout_s=30, what="the worker's queues")


@pytest.fixture(scope="session")
def live_broker(rabbitmq: RabbitMQ) -> Iterator[Broker]:
    made = Broker(rabbitmq)
    yield made
    made.remove()


@pytest.fixture(scope="session")
def running_worker(
    databases: Databases, live_broker: Broker, issuer: Issuer, running_simulators: Simulators
) -> Iterator[NotifySettings]:
    """One worker for all tests that do not need one of their own."""
    url = databases.fresh("notify")
    settings = settings_for(url, live_broker.url("notify"), issuer, running_simulators.credentials)
    with running(settings):
        yield settings
    databases.drop(url)


@pytest.fixture
def publish(live_broker: Broker) -> Iterator[Callable[..., UUID]]:
    """`publish(event)` sends it as its own source would, and gives its id; `event_id` repeats an earlier one."""
    publishers: dict[str, Publisher] = {}

    def send(event: Event, *, event_id: UUID | None = None) -> UUID:
        source = "auth" if event.source == "any" else event.source
        envelope = Envelope.of(event, source=source)
        if event_id:
            envelope = envelope.model_copy(update={"id": event_id})
        publisher = publishers.setdefault(source, Publisher(live_broker.url(source)))
        publisher.publish([Message.of(envelope)])
        return envelope.id

    yield send
    for publisher in publishers.values():
        publisher.close()


@pytest.fixture
def listen(live_broker: Broker) -> Iterator[Callable[[str], Callable[[], list[dict[str, Any]]]]]:
    """`listen("device.unregistered")` collects events of a type from now on; what it gives waits for the first."""
    connection = pika.BlockingConnection(pika.URLParameters(live_broker.url()))
    channel = connection.channel()

    def start(event_type: str) -> Callable[[], list[dict[str, Any]]]:
        channel.exchange_declare(EXCHANGE, "topic", durable=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, EXCHANGE, event_type)
        collected: list[dict[str, Any]] = []

        def events() -> list[dict[str, Any]]:
            while (body := channel.basic_get(queue, auto_ack=True)[2]) is not None:
                collected.append(Envelope.model_validate_json(body).data)
            return collected

        return lambda: eventually(events, what=f"an event {event_type}")

    yield start
    connection.close()
