"""What others notice of a crowd at the gateway: `python -m tests.load.crowds [--slow 2000] [--idle 10000]`.

The gateway has core 0; nginx, the crowd and who measures share core 1. Slow clients begin a request, one half its head,
one half its body, and send a byte a second; idle ones have asked once, and keep their connection.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import requests

from deploy.local.ports import free_ports
from tests.gateway.crowd import Crowd
from tests.load import steady
from tests.load.proxies import HOST, LOAD_CORE, PATH, Proxies, stop

MEGABYTE = 1_000_000
ASKED_AT_ONCE = 100
SLOW_PATH = "/slow/body"
ROUTES = """
upstreams: {data: {url: "${DATA_URL}"}, slow: {url: "${NOTIFY_URL}"}}
limits: {user: {by: user, requests: 1200, per_s: 60}}
defaults: {limits: [user]}
routes: [{prefix: /data/v1, upstream: data, access: user}, {prefix: /slow, upstream: slow, access: user}]
"""


@dataclass
class Figures:
    """`slow` and `idle` are numbers of connections; latencies are of ordinary requests at a constant rate."""

    slow: int
    p50_ms_alone: float
    p99_ms_alone: float
    p50_ms_with_slow: float
    p99_ms_with_slow: float
    slow_kilobytes_each: float
    idle: int
    idle_megabytes: float
    idle_kilobytes_each: float
    p99_ms_with_idle: float


class CrowdProxies(Proxies):
    """The gateway with a service beside nginx that takes slow bodies, as long as they come."""

    def _gateway_environment(self, name: str, port: int) -> dict[str, str]:
        (self.sink,) = free_ports(1)
        table = self.folder / "crowds.yaml"
        table.write_text(ROUTES)
        more = {"NOTIFY_URL": f"http://{HOST}:{self.sink}", "ROUTES_FILE": str(table)}
        return super()._gateway_environment(name, port) | more | {"HEADER_TIMEOUT_S": "60"}  # they are to stay


def head(method: str, token: str, path: str = PATH, fields: str = "") -> bytes:
    first = f"{method} {path} HTTP/1.1\r\nHost: gateway.example\r\nAuthorization: Bearer {token}\r\n"
    return f"{first}{fields}\r\n".encode()


def resident(proxies: Proxies) -> int:
    found: int = psutil.Process(proxies.processes["gateway"].pid).children()[0].memory_info().rss
    return found


def connections(port: int) -> float:
    """How many clients the gateway says it has."""
    for line in requests.get(f"http://{HOST}:{port}/metrics", timeout=10).text.splitlines():
        if line.startswith("gateway_client_connections "):
            return float(line.split()[1])
    return 0


def wait_until(is_so: Callable[[float], bool], port: int) -> None:
    """Until the number of the gateway's clients is so."""
    deadline = time.monotonic() + 60
    while not is_so(connections(port)):
        if time.monotonic() > deadline:
            raise SystemExit(f"{connections(port):.0f} connections")
        time.sleep(0.2)


def measure(slow: int, idle: int, rate: int, seconds: float) -> Figures:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        proxies = CrowdProxies(folder, stack, ["gateway"])
        proxies.start()
        port = proxies.ports["gateway"]
        asks = [head("GET", token) for token in proxies.tokens]
        found, taken = [steady.measure(HOST, port, asks, rate=rate, seconds=seconds)], []
        for kind, number in (("slow", slow), ("idle", idle)):
            before = resident(proxies)
            crowd = _crowd(kind, number, port, proxies)
            stack.callback(stop, crowd)
            wait_until(lambda found, most=number: found >= most, port)
            taken.append((resident(proxies), resident(proxies) - before))
            found.append(steady.measure(HOST, port, asks, rate=rate, seconds=seconds))
            assert crowd.poll() is None, "the crowd did not stay"
            stop(crowd)
            wait_until(lambda found: found <= 2, port)
    alone, with_slow, with_idle = found
    (_, slow_bytes), (all_bytes, idle_bytes) = taken
    return Figures(
        slow, alone.p50_ms, alone.p99_ms, with_slow.p50_ms, with_slow.p99_ms, slow_bytes / slow / 1000,
        idle, all_bytes / MEGABYTE, idle_bytes / idle / 1000, with_idle.p99_ms,
    )  # fmt: skip


def _crowd(kind: str, number: int, port: int, proxies: CrowdProxies) -> "subprocess.Popen[bytes]":
    """A process of its own, lest it keeps who measures from measuring."""
    where = ["--at", str(port), str(proxies.sink)]
    command = [sys.executable, "-m", "tests.load.crowds", "--be", kind, f"--{kind}", str(number), *where]
    return subprocess.Popen(command, env={**os.environ, "TOKEN": proxies.tokens[0]})


def stay_idle(port: int, idle: int) -> None:
    """Have connections that have asked once; some at a time, so that none waits for its turn for long."""
    kept: list[socket.socket] = []
    while len(kept) < idle:
        some = [socket.create_connection((HOST, port), timeout=10) for _ in range(min(ASKED_AT_ONCE, idle - len(kept)))]
        for connection in some:
            connection.sendall(head("GET", os.environ["TOKEN"]))
        for connection in some:
            answer = connection.recv(65_536)
            while not steady.is_whole(answer):
                answer += connection.recv(65_536)
        kept += some
    signal.pause()


async def stay_slow(port: int, sink: int, slow: int) -> None:
    """Be slow, and the service that slow bodies go to."""
    service = await asyncio.get_running_loop().create_server(asyncio.Protocol, HOST, sink, backlog=1024)
    body = head("POST", os.environ["TOKEN"], SLOW_PATH, "Content-Length: 100000\r\n")
    crowd = Crowd(port, slow, every_s=1, body=body)
    async with service:
        await asyncio.to_thread(crowd.__enter__)
        while crowd.left:
            await asyncio.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.crowds")
    parser.add_argument("--slow", type=int, default=2_000)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=500, help="ordinary requests a second")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--be", choices=["slow", "idle"], help="be such a crowd, until somebody ends it")
    parser.add_argument("--at", type=int, nargs=2, help="at the first port; the second is for the service of slow ones")
    options = parser.parse_args()
    if options.be == "slow":
        asyncio.run(stay_slow(*options.at, options.slow))
        return
    if options.be == "idle":
        stay_idle(options.at[0], options.idle)
        return
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    figures = asdict(measure(options.slow, options.idle, options.rate, options.seconds))
    for name, value in figures.items():
        print(f"  {name:<20} {value:,.1f}" if isinstance(value, float) else f"  {name:<20} {value:,}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
