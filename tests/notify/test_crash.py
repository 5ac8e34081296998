"""Death in the middle: of the worker, and of the database while outcomes are in hand."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.local.ports import free_ports
from deploy.local.postgres import Postgres
from deploy.local.simulators import Simulators
from services.notify.config import NotifySettings
from tests.notify.conftest import Client, json_of, wait_for_queues
from tests.support.broker import Broker
from tests.support.people import Person
from tests.support.process import Process
from tests.support.waiting import eventually

MESSAGES = 100


@pytest.fixture
def start_worker(worker_settings: Callable[..., NotifySettings], tmp_path: Path) -> Any:
    """The worker as a process, with a lease short enough for a test."""
    started: list[Process] = []

    def start() -> Process:
        settings = worker_settings(send_batch=10)
        (port,) = free_ports(1)
        values = {name: getattr(value, "get_secret_value", lambda v=value: v)() for name, value in settings}
        environment = {name.upper(): str(value) for name, value in values.items() if value is not None}
        environment["WORKER_BIND"] = f"127.0.0.1:{port}"
        folder = tmp_path / f"worker-{len(started)}"
        folder.mkdir()
        started.append(Process("services.notify", "worker", folder=folder, **environment))
        return started[-1]

    yield start
    for process in started:
        if process.is_running:
            process.send(signal.SIGKILL)
        process.wait()


def test_kill_9_in_the_middle_of_a_hundred_messages_loses_none(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    start_worker: Callable[[], Process],
    worker_settings: Callable[..., NotifySettings],
) -> None:
    android, iphone = as_alice.register("android"), as_alice.register("ios")
    worker = start_worker()
    wait_for_queues(worker_settings())
    simulators.fault("fcm", "delay", delay_s=0.05)
    simulators.fault("apns", "delay", delay_s=0.05)
    sent = [as_sender.send(alice, title=f"Number {number}") for number in range(MESSAGES)]
    for _ in range(3):
        so_far = len(simulators.messages(limit=1000))
        arrive(simulators, so_far + 20)
        worker.send(signal.SIGKILL)
        worker.wait()
        worker = start_worker()

    deliveries = [delivery for message_id in sent for delivery in as_sender.finished(message_id, timeout_s=60)]

    assert {(delivery["state"], delivery["outcome"]) for delivery in deliveries} == {("sent", "accepted")}
    ids = {delivery["id"] for delivery in deliveries}
    pushes = simulators.messages(limit=1000)
    by_apns = [push["headers"]["apns-id"] for push in pushes if push["to"] == iphone["token"]]
    by_fcm = [
        push["body"]["message"]["android"]["notification"]["tag"] for push in pushes if push["to"] == android["token"]
    ]
    assert len(ids) == 2 * MESSAGES == len(set(by_apns)) + len(set(by_fcm))
    assert set(by_apns) | set(by_fcm) == ids
    messages = {push["key"] for push in pushes if push["channel"] == "fcm"}
    assert messages == set(sent)
    # At most what was on the wire at each of three deaths came twice, and then under its own id.
    assert len(by_apns) + len(by_fcm) - len(ids) <= 3 * 2 * 10


def test_losing_the_broker_in_the_middle_loses_no_message(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    running_worker: NotifySettings,
    live_broker: Broker,
) -> None:
    as_alice.register("android")
    as_alice.register("ios")
    simulators.fault("fcm", "delay", delay_s=0.1)
    simulators.fault("apns", "delay", delay_s=0.1)
    sent = [as_sender.send(alice, title=f"Number {number}") for number in range(30)]
    arrive(simulators, 5)

    live_broker.close_connections("notify")

    deliveries = [delivery for message_id in sent for delivery in as_sender.finished(message_id, timeout_s=40)]
    assert {(delivery["state"], delivery["attempts"]) for delivery in deliveries} == {("sent", 1)}
    assert len(simulators.messages(limit=1000)) == 60
    assert simulators.stats()["repeated"] == []


def test_an_outcome_in_hand_outlives_the_database(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    running_worker: NotifySettings,
    postgres: Postgres,
    database_url: str,
) -> None:
    device = as_alice.register("android")
    simulators.fault("fcm", "delay", delay_s=1, count=1)
    name = database_url.rsplit("/", 1)[1]
    message_id = as_sender.send(alice)
    time.sleep(0.6)

    with postgres.admin() as conn, conn.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    simulators.wait_for(1, channel="fcm", to=device["token"])
    time.sleep(1.5)
    with postgres.admin() as conn, conn.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    (delivery,) = as_sender.finished(message_id)
    assert (delivery["state"], delivery["attempts"]) == ("sent", 1)
    assert len(simulators.messages(channel="fcm")) == 1
    assert json_of(as_alice.get(f"/messages/{message_id}"))["status"] == "finished"


def arrive(simulators: Simulators, least: int) -> None:
    eventually(lambda: len(simulators.messages(limit=1000)) >= least, what=f"{least} pushes")
