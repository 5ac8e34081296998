"""The service as an operator runs it: migrate, serve, worker."""

import json
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest
import requests

from deploy.local.mongo import Mongo
from deploy.local.ports import free_ports
from services.data.app import create_app
from services.data.config import DataSettings
from services.data.mongo import Database
from shared.contracts import EXCHANGE
from tests.data.conftest import Client, note
from tests.support.broker import Broker
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.process import Process
from tests.support.waiting import eventually

Start = Callable[..., Process]


@pytest.fixture
def environment(mongo: Mongo, broker: Broker, issuer: Issuer) -> Iterator[dict[str, str]]:
    web, worker = free_ports(2)
    name = f"data_{secrets.token_hex(4)}"
    yield {
        "MONGO_URL": mongo.url,
        "MONGO_DATABASE": name,
        "AMQP_URL": broker.url("data"),
        "ISSUER": issuer.issuer,
        "JWKS_URL": issuer.jwks_url,
        "BIND": f"127.0.0.1:{web}",
        "WORKER_BIND": f"127.0.0.1:{worker}",
    }
    db = Database(mongo.url, name)
    with db.connection() as conn:
        conn.database.client.drop_database(name)
    db.close()


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    processes: list[Process] = []

    def start_verb(verb: str, **more: str) -> Process:
        folder = tmp_path / str(len(processes))
        folder.mkdir()
        processes.append(Process("services.data", verb, folder=folder, **environment, **more))
        return processes[-1]

    made = start_verb("migrate")
    assert made.wait() == 0, made.out()
    yield start_verb
    for process in processes:
        process.end()


@pytest.fixture
def app(environment: dict[str, str], start: Start):
    made = create_app(DataSettings(**{name.lower(): value for name, value in environment.items()}))
    yield made
    made.extensions["database"].close()


def answers(bind: str, path: str) -> bool:
    try:
        return requests.get(f"http://{bind}{path}", timeout=2).status_code == 200
    except requests.ConnectionError:
        return False


def test_migrate_says_what_it_did(start: Start) -> None:
    process = start("migrate")
    assert process.wait() == 0
    assert "0 migration(s) applied" in process.out()


def test_serve_answers_and_ends_on_sigterm(start: Start, environment: dict[str, str], alice: Person) -> None:
    process = start("serve")
    bind = environment["BIND"]
    eventually(lambda: answers(bind, "/readyz"), what="/readyz")
    url = f"http://{bind}{note()}"
    stored = requests.put(url, json={"document": {"n": 1}}, headers=alice.headers, timeout=5)
    assert stored.status_code == 201
    assert requests.get(url, headers=alice.headers, timeout=5).json() == stored.json()
    assert process.end() == 0


def test_wrong_settings_are_all_named(tmp_path: Path) -> None:
    process = Process("services.data", "serve", folder=tmp_path, MONGO_URL="x", TOMBSTONE_RETENTION_S="soon")
    assert process.wait() == 2
    for name in ("AMQP_URL", "ISSUER", "JWKS_URL", "MONGO_URL", "TOMBSTONE_RETENTION_S"):
        assert name in process.out()


def test_events_leave_although_the_worker_is_killed_in_the_middle(
    start: Start, environment: dict[str, str], broker: Broker, app, alice: Person
) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(broker.url()))
    channel = connection.channel()
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, EXCHANGE, "data.changed")
    heard: set[int] = set()

    def listen() -> int:
        while body := channel.basic_get(queue, auto_ack=True)[2]:
            heard.add(json.loads(body)["data"]["seq"])
        return len(heard)

    client = Client(app, alice)
    for n in range(20):
        client.put(note(), {"n": n})
    first = start("worker")
    eventually(lambda: listen() > 0, what="the first events")
    os.kill(first.pid, signal.SIGKILL)
    for n in range(20):
        client.put(note(), {"n": n})
    start("worker")
    eventually(lambda: listen() == 40, timeout_s=40, what="every event")
    assert heard == set(range(1, 41))
    connection.close()
    eventually(lambda: answers(environment["WORKER_BIND"], "/readyz"), what="a worker that is ready")


def test_the_worker_purges_what_is_older_than_the_retention(start: Start, app, alice: Person) -> None:
    client, path = Client(app, alice), note()
    client.put(path, {"n": 1})
    client.delete(path)
    db: Database = app.extensions["database"]
    with db.connection() as conn:
        deleted_at = conn["documents"].find_one({"deleted": True})["updated_at"]
        long_ago = deleted_at.replace(year=deleted_at.year - 1)
        conn["documents"].update_one({"deleted": True}, {"$set": {"updated_at": long_ago}})
    start("worker", PURGE_INTERVAL_S="0.2", TOMBSTONE_RETENTION_S="3600")

    def tombstones() -> int:
        with db.connection() as conn:
            return conn["documents"].count_documents({"deleted": True})

    eventually(lambda: tombstones() == 0, what="the purge")
