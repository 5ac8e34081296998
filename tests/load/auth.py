"""The auth service on one core with a real PostgreSQL: refreshes, GET /user, JWKS; refreshes in a log-in flood."""

import base64
import http.client
import json
import os
import re
import secrets
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from deploy.local.ports import free_ports
from tests.support.databases import ROOT, Databases
from tests.support.servers import Servers

ROUNDS, ROUND_S, CLIENTS, FLOOD, PEOPLE = 5, 4.0, 8, 16, 8
LEAST_RETRY_S = 0.5
SERVICE_CORE, OTHER_CORE = "0", "1"
PASSWORD = "correct horse battery staple"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Result:
    """Medians of the rounds, a second of one core; `flood_factor` compares p99 of refreshes of the same round."""

    refreshes_per_s: float
    users_per_s: float
    jwks_per_s: float
    quiet_p99_ms: float
    flood_p99_ms: float
    flood_factor: float


def measure() -> Result:
    """The service has one core; PostgreSQL and the clients have the other."""
    with service() as base:
        people = [sign_up(base, number) for number in range(PEOPLE)]
        measure_round(base, people, 1.0)  # caches fill
        rounds = [measure_round(base, people, ROUND_S) for _ in range(ROUNDS)]
    median = statistics.median
    return Result(
        refreshes_per_s=round(median(one.refreshes_per_s for one in rounds)),
        users_per_s=round(median(one.users_per_s for one in rounds)),
        jwks_per_s=round(median(one.jwks_per_s for one in rounds)),
        quiet_p99_ms=round(median(one.quiet_p99_ms for one in rounds), 1),
        flood_p99_ms=round(median(one.flood_p99_ms for one in rounds), 1),
        flood_factor=round(median(one.flood_factor for one in rounds), 2),
    )


def measure_round(base: str, people: list[dict[str, Any]], round_s: float) -> Result:
    times = refresh(base, people, round_s)
    quiet = p99_ms(paced(base, people, round_s))
    with log_in_flood(base):
        flooded = p99_ms(paced(base, people, round_s))
    token = people[0]["access_token"]
    return Result(
        refreshes_per_s=len(times) / round_s,
        users_per_s=wrk(f"{base}/auth/v1/user", round_s, f"Authorization: Bearer {token}"),
        jwks_per_s=wrk(f"{base}/auth/v1/.well-known/jwks.json", round_s),
        quiet_p99_ms=quiet,
        flood_p99_ms=flooded,
        flood_factor=flooded / quiet,
    )


@contextmanager
def service(**changes: str) -> Iterator[str]:
    """PostgreSQL and the auth service, both real; the service's address."""
    os.sched_setaffinity(0, {int(OTHER_CORE)})  # and so PostgreSQL, and what measures
    servers = Servers()
    process: subprocess.Popen[bytes] | None = None
    try:
        base, environment = service_environment(Databases(servers.postgres).fresh("auth"))
        environment |= changes
        subprocess.run([sys.executable, "-m", "services.auth", "migrate"], cwd=ROOT, env=environment, check=True)
        command = ["taskset", "-c", SERVICE_CORE, sys.executable, "-m", "services.auth", "serve"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        wait_until_ready(base)
        yield base
    finally:
        if process is not None:
            process.terminate()
            process.wait(30)
        servers.stop()


def service_environment(database_url: str) -> tuple[str, dict[str, str]]:
    port, absent = free_ports(2)
    base = f"http://127.0.0.1:{port}"
    return base, {
        **os.environ,
        "BIND": f"127.0.0.1:{port}",
        "DATABASE_URL": database_url,
        "AMQP_URL": f"amqp://nobody:nothing@127.0.0.1:{absent}/",
        "ISSUER": f"{base}/auth/v1",
        "JWKS_URL": f"{base}/auth/v1/.well-known/jwks.json",
        "PUBLIC_URL": base,
        "SECRET_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
        "AUTOCONFIRM": "true",
        **dict.fromkeys(("LOG_IN_TRIES", "LOG_IN_TRIES_PER_ACCOUNT", "LOG_IN_TRIES_PER_PLACE"), "1000000"),
        "PASSWORD_HASHERS": "1",
    }


def wait_until_ready(base: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{base}/readyz", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise TimeoutError(f"{base} is not ready")


def sign_up(base: str, number: int) -> dict[str, Any]:
    body = {"email": f"person{number}@example.org", "password": PASSWORD}
    answer = requests.post(f"{base}/auth/v1/signup", json=body, timeout=30)
    answer.raise_for_status()
    session: dict[str, Any] = answer.json()
    return session


def refresh(base: str, people: list[dict[str, Any]], duration_s: float, pause_s: float = 0) -> list[float]:
    """Each person refreshes again and again; how long each refresh took. They keep their newest tokens."""
    until = time.monotonic() + duration_s
    times: list[float] = []

    def one(person: dict[str, Any]) -> None:
        with _connection(base) as send:
            while time.monotonic() < until:
                began = time.perf_counter()
                answer = send("/auth/v1/token?grant_type=refresh_token", {"refresh_token": person["refresh_token"]})
                times.append(time.perf_counter() - began)
                person.update(answer)
                time.sleep(pause_s)

    _at_once([lambda person=person: one(person) for person in people])  # type: ignore[misc]
    return times


def paced(base: str, people: list[dict[str, Any]], duration_s: float) -> list[float]:
    """About eighty refreshes a second: far from what the core can do, so that the times are not those of a queue."""
    return refresh(base, people, duration_s, pause_s=len(people) / 80)


@contextmanager
def log_in_flood(base: str) -> Iterator[None]:
    """Log-ins without a pause, on more connections than the service has threads."""
    is_over = threading.Event()

    def log_in(number: int) -> None:
        body = {"email": f"person{number % PEOPLE}@example.org", "password": PASSWORD}
        with _connection(base) as send:
            while not is_over.is_set():
                if not send("/auth/v1/token?grant_type=password", body):
                    is_over.wait(LEAST_RETRY_S)  # sooner than Retry-After: the impatient kind

    threads = [threading.Thread(target=log_in, args=(number,)) for number in range(FLOOD)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def wrk(url: str, duration_s: float, *headers: str) -> float:
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{max(1, round(duration_s))}s"]
    for header in headers:
        command += ["-H", header]
    out = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out:
        raise RuntimeError(out)
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    assert found is not None
    return float(found[1])


def p99_ms(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98] * 1000


@contextmanager
def _connection(base: str) -> Iterator[Callable[[str, dict[str, str]], dict[str, Any]]]:
    host = urlsplit(base)
    connection = http.client.HTTPConnection(str(host.hostname), host.port, timeout=60)

    def send(path: str, body: dict[str, str]) -> dict[str, Any]:
        connection.request("POST", path, json.dumps(body), JSON)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status not in (200, 503):
            raise RuntimeError(f"{answer.status}: {content!r}")
        return dict(json.loads(content)) if answer.status == 200 else {}

    try:
        yield send
    finally:
        connection.close()


def _at_once(tasks: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    print(measure())
