"""A worker as a process of its own: it ends well when told to, and ends at once when a part of it has died."""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from deploy.local.ports import free_ports
from tests.support.clients import NOBODYS_BROKER
from tests.support.process import Process
from tests.support.waiting import eventually


@dataclass
class Running:
    process: Process
    url: str

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=5)

    def is_up(self) -> bool:
        assert self.process.is_running, self.process.out()
        try:
            return self.get("/livez").ok
        except requests.ConnectionError:
            return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Running]]:
    started: list[Process] = []

    def make(mode: str) -> Running:
        (port,) = free_ports(1)
        process = Process(
            *("tests.shared.working", mode),
            folder=tmp_path,
            WORKER_BIND=f"127.0.0.1:{port}",
            AMQP_URL=NOBODYS_BROKER,
            ISSUER="http://127.0.0.1:1/auth/v1",
            JWKS_URL="http://127.0.0.1:1/jwks.json",
        )
        started.append(process)
        return Running(process, f"http://127.0.0.1:{port}")

    yield make
    for process in started:
        process.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_finishes_what_it_has_in_hand_and_ends_with_0(
    start: Callable[[str], Running], number: signal.Signals
) -> None:
    running = start("patient")
    eventually(running.is_up)
    running.process.send(number)
    assert running.process.wait() == 0
    assert "finished what was in hand" in running.process.out()


@pytest.mark.parametrize("mode", ["exiting", "ending"])
def test_when_one_loop_has_ended_the_whole_process_ends_with_1(start: Callable[[str], Running], mode: str) -> None:
    process = start(mode).process
    assert process.wait() == 1
    assert "finished what was in hand" in process.out(), "the other loops may end well"


def test_when_one_loop_has_died_the_reason_is_in_the_log_without_the_password(start: Callable[[str], Running]) -> None:
    process = start("dying").process
    assert process.wait() == 1
    logged = [json.loads(line) for line in process.out().splitlines() if line.startswith("{")]
    failed = next(line for line in logged if line["level"] == "ERROR")
    assert failed["component"] == "things-worker" and "the loop dying failed" in failed["message"]
    assert "RuntimeError" in failed["error"] and "hunter2" not in process.out()


def test_health_and_metrics_are_served_beside_the_loops(start: Callable[[str], Running]) -> None:
    running = start("patient")
    eventually(running.is_up)
    assert running.get("/readyz").status_code == 200
    metrics = running.get("/metrics")
    assert (
        metrics.ok
        and metrics.headers["Content-Type"].startswith("text/plain")
        and "process_cpu_seconds" in metrics.text
    )
    assert running.get("/elsewhere").status_code == 404


def test_a_periodic_task_that_fails_is_tried_again_and_the_worker_lives_but_is_not_ready(
    start: Callable[[str], Running],
) -> None:
    running = start("periodic")
    eventually(running.is_up)
    eventually(lambda: running.process.out().count("tried") >= 3)
    answer = running.get("/readyz")
    assert answer.status_code == 503 and "queue" in answer.text and "storage" not in answer.text
    assert running.process.end() == 0
