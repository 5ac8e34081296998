"""The service as an operator runs it: migrate, serve, worker."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pika
import pytest
import requests

from deploy.local.ports import free_ports
from services.profile.app import create_app
from services.profile.config import ProfileSettings
from shared.contracts import EXCHANGE, Envelope, UserRegistered
from shared.postgres import Database, execute
from shared.publisher import Message, Publisher
from tests.profile.conftest import Client
from tests.support.broker import Broker
from tests.support.databases import Databases
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.process import Process
from tests.support.waiting import eventually

Start = Callable[[str], Process]


@pytest.fixture
def environment(databases: Databases, broker: Broker, issuer: Issuer) -> Iterator[dict[str, str]]:
    url = databases.fresh("profile")
    web, worker = free_ports(2)
    yield {
        "DATABASE_URL": url,
        "AMQP_URL": broker.url("profile"),
        "ISSUER": issuer.issuer,
        "JWKS_URL": issuer.jwks_url,
        "BIND": f"127.0.0.1:{web}",
        "WORKER_BIND": f"127.0.0.1:{worker}",
    }
    databases.drop(url)


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    processes: list[Process] = []

    def start_verb(verb: str) -> Process:
        folder = tmp_path / str(len(processes))
        folder.mkdir()
        processes.append(Process("services.profile", verb, folder=folder, **environment))
        return processes[-1]

    yield start_verb
    for process in processes:
        process.end()


def answers(bind: str, path: str) -> bool:
    try:
        return requests.get(f"http://{bind}{path}", timeout=2).status_code == 200
    except requests.ConnectionError:
        return False


def test_migrate_may_run_twice_and_says_what_it_did(start: Start) -> None:
    process = start("migrate")
    assert process.wait() == 0
    assert "0 migration(s) applied" in process.out()


def test_serve_answers_and_ends_on_sigterm(start: Start, environment: dict[str, str], alice: Person) -> None:
    process = start("serve")
    eventually(lambda: answers(environment["BIND"], "/readyz"), what="/readyz")
    url = f"http://{environment['BIND']}/profile/v1/me"
    assert requests.get(url, headers=alice.headers, timeout=5).json()["user_id"] == str(alice.user_id)
    assert process.end() == 0


def test_wrong_settings_are_all_named(tmp_path: Path) -> None:
    process = Process("services.profile", "worker", folder=tmp_path, DATABASE_URL="mysql://x")
    assert process.wait() == 2
    for name in ("AMQP_URL", "ISSUER", "JWKS_URL", "DATABASE_URL"):
        assert name in process.out()


def test_a_change_reaches_the_broker_through_the_worker(
    start: Start, environment: dict[str, str], broker: Broker, alice: Person
) -> None:
    settings = ProfileSettings(**{name.lower(): value for name, value in environment.items()})
    app = create_app(settings)
    connection = pika.BlockingConnection(pika.URLParameters(broker.url()))
    channel = connection.channel()
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, EXCHANGE, "profile.updated")
    start("worker")
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    Client(app, alice).patch("/profile/v1/me", {"display_name": "Alice"}, traceparent=traceparent)
    body = eventually(lambda: channel.basic_get(queue, auto_ack=True)[2], what="the event at the broker")
    envelope = json.loads(body)
    assert envelope["data"]["display_name"] == "Alice"
    assert envelope["subject"] == str(alice.user_id)
    assert envelope["traceparent"].split("-")[1] == traceparent.split("-")[1]
    connection.close()
    app.extensions["database"].close()


def test_a_worker_is_ready_only_when_its_queues_are_there(start: Start, environment: dict[str, str]) -> None:
    """Else what others publish in the first moments of a new house would have no queue to wait in."""
    (nobody,) = free_ports(1)
    environment["AMQP_URL"] = f"amqp://guest:guest@127.0.0.1:{nobody}/"
    start("worker")
    eventually(lambda: answers(environment["WORKER_BIND"], "/livez"), what="the worker")
    answer = requests.get(f"http://{environment['WORKER_BIND']}/readyz", timeout=5)
    assert (answer.status_code, answer.text) == (503, "not ready: queues\n")


def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(
    start: Start, environment: dict[str, str], broker: Broker
) -> None:
    db = Database(environment["DATABASE_URL"], size=1)

    def count() -> int:
        with db.transaction() as conn:
            return execute(conn, "SELECT 1 FROM profiles")

    first = start("worker")
    eventually(lambda: answers(environment["WORKER_BIND"], "/readyz"), what="the worker")
    eventually(lambda: "events_consumer_connected 1.0" in metrics(environment), what="the consumer's connection")
    publisher = Publisher(broker.url("auth"))
    users = [UserRegistered(user_id=user.user_id, created_at=datetime.now(UTC)) for user in people(200)]
    publisher.publish([Message.of(Envelope.of(user)) for user in users])
    eventually(lambda: count() > 10, what="the first profiles")
    os.kill(first.pid, signal.SIGKILL)
    assert count() <= 200
    start("worker")
    eventually(lambda: count() == 200, what="every profile")
    eventually(lambda: broker.depth("profile.user.registered") == 0, what="an empty queue")
    assert count() == 200
    publisher.close()
    db.close()


def metrics(environment: dict[str, str]) -> str:
    return requests.get(f"http://{environment['WORKER_BIND']}/metrics", timeout=2).text


def people(number: int) -> list[Person]:
    return [Person(f"p{n}", issuer=None) for n in range(number)]  # type: ignore[arg-type]
