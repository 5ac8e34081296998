"""Password log-ins a second on one core, beside what argon2id alone allows on that core, in the same run."""

import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests

from services.auth.passwords import LANES, MEMORY_KIB, PASSES
from tests.load.auth import service_environment, wait_until_ready
from tests.support.databases import ROOT, Databases
from tests.support.servers import Servers

ROUNDS, ROUND_S, CLIENTS, PEOPLE = 5, 4.0, 4, 8
PASSWORD = "correct horse battery staple"
HASHING = """
import sys, time
from services.auth.passwords import Passwords
passwords, count = Passwords(places=1), 0
stored = passwords.hash("correct horse battery staple")
deadline = time.monotonic() + float(sys.argv[1])
began = time.monotonic()
while time.monotonic() < deadline:
    passwords.verify(stored, "correct horse battery staple")
    count += 1
print(count / (time.monotonic() - began))
"""


@dataclass(frozen=True)
class Result:
    """Medians; `share` is log-ins a second over hashes a second, of the same round."""

    parameters: str
    hashes_per_s: float
    log_ins_per_s: float
    share: float


def measure() -> Result:
    """Start PostgreSQL and the auth service on one core; measure hashing and log-ins in turns; stop both."""
    servers = Servers()
    process: subprocess.Popen[bytes] | None = None
    try:
        url = Databases(servers.postgres).fresh("auth")
        base, environment = service_environment(url)
        subprocess.run([sys.executable, "-m", "services.auth", "migrate"], cwd=ROOT, env=environment, check=True)
        command = ["taskset", "-c", "0", sys.executable, "-m", "services.auth", "serve"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        _sign_up(base)
        rounds = [(_hashes_per_s(environment), _log_ins_per_s(base)) for _ in range(ROUNDS)]
    finally:
        if process is not None:
            process.terminate()
            process.wait(30)
        servers.stop()
    return Result(
        f"argon2id, {MEMORY_KIB // 1024} MiB, {PASSES} passes, {LANES} lane",
        round(statistics.median(hashes for hashes, _ in rounds), 1),
        round(statistics.median(log_ins for _, log_ins in rounds), 1),
        round(statistics.median(log_ins / hashes for hashes, log_ins in rounds), 2),
    )


def _sign_up(base: str) -> None:
    wait_until_ready(base)
    for number in range(PEOPLE):
        body = {"email": f"person{number}@example.org", "password": PASSWORD}
        requests.post(f"{base}/auth/v1/signup", json=body, timeout=30).raise_for_status()


def _hashes_per_s(environment: dict[str, str]) -> float:
    command = ["taskset", "-c", "0", sys.executable, "-c", HASHING, str(ROUND_S)]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def _log_ins_per_s(base: str) -> float:
    began = time.monotonic()

    def log_in(client: int) -> int:
        count = 0
        body = {"email": f"person{client % PEOPLE}@example.org", "password": PASSWORD}
        with requests.Session() as session:
            while time.monotonic() < began + ROUND_S:
                session.post(f"{base}/auth/v1/token?grant_type=password", json=body, timeout=30).raise_for_status()
                count += 1
        return count

    with ThreadPoolExecutor(CLIENTS) as pool:
        total = sum(pool.map(log_in, range(CLIENTS)))
    return total / (time.monotonic() - began)


if __name__ == "__main__":
    print(measure())
