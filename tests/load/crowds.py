"""What others notice of a crowd at the gateway: `python -m tests.load.crowds [--slow 2000] [--idle 10000]`.

The gateway has core 0; nginx, the crowd and who measures share core 1. Slow clients begin a request, one half its head,
one half its body, and send a byte a second; idle ones have asked once, and keep their connection.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
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
        return super()._gateway_environment(name, port) | more


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


def measure(slow: int, idle: int, rate: int, seconds: float) -> Figures:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        proxies = CrowdProxies(folder, stack, ["gateway"])
        proxies.start()
        port = proxies.ports["gateway"]
        asks = [head("GET", token) for token in proxies.tokens]
        alone = steady.measure(HOST, port, asks, rate=rate, seconds=seconds)

        before = resident(proxies)
        crowd = _crowd(port, proxies.sink, slow, proxies.tokens[0])
        stack.callback(stop, crowd)
        while connections(port) < slow:
            assert crowd.poll() is None
            time.sleep(0.2)
        slow_each = (resident(proxies) - before) / slow
        with_slow = steady.measure(HOST, port, asks, rate=rate, seconds=seconds)
        assert crowd.poll() is None, "the crowd did not stay"
        stop(crowd)
        while connections(port) > 2:
            time.sleep(0.2)

        before = resident(proxies)
        kept = _idle(port, idle, asks)
        after = resident(proxies)
        with_idle = steady.measure(HOST, port, asks, rate=rate, seconds=seconds)
        for connection in kept:
            connection.close()
    return Figures(
        slow, alone.p50_ms, alone.p99_ms, with_slow.p50_ms, with_slow.p99_ms, slow_each / 1000,
        idle, after / MEGABYTE, (after - before) / idle / 1000, with_idle.p99_ms,
    )  # fmt: skip


def _crowd(port: int, sink: int, slow: int, token: str) -> "subprocess.Popen[bytes]":
    """A process of its own, lest it keeps who measures from measuring."""
    at = ["--at", str(port), str(sink)]
    command = [sys.executable, "-m", "tests.load.crowds", "--slow", str(slow), *at]
    return subprocess.Popen(command, env={**os.environ, "TOKEN": token})


def _idle(port: int, idle: int, asks: list[bytes]) -> list[socket.socket]:
    """Connections that have asked once; some at a time, so that none waits for its turn for long."""
    kept: list[socket.socket] = []
    for first in range(0, idle, ASKED_AT_ONCE):
        some = [socket.create_connection((HOST, port), timeout=10) for _ in range(min(ASKED_AT_ONCE, idle - first))]
        for number, connection in enumerate(some):
            connection.sendall(asks[(first + number) % len(asks)])
        for connection in some:
            answer = connection.recv(65_536)
            while not steady.is_whole(answer):
                answer += connection.recv(65_536)
        kept += some
    return kept


async def stay(port: int, sink: int, slow: int) -> None:
    """Be the crowd, and the service its bodies go to, until somebody ends it."""
    service = await asyncio.get_running_loop().create_server(asyncio.Protocol, HOST, sink, backlog=1024)
    body = head("POST", os.environ["TOKEN"], SLOW_PATH, "Content-Length: 100000\r\n")
    heads_too = Crowd(port, slow, every_s=1, body=body)
    async with service:
        await asyncio.to_thread(heads_too.__enter__)
        while heads_too.left:
            await asyncio.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.crowds")
    parser.add_argument("--slow", type=int, default=2_000)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=500, help="ordinary requests a second")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--at", type=int, nargs=2, help="be the crowd at the first port, its service at the second")
    options = parser.parse_args()
    if options.at:
        asyncio.run(stay(*options.at, options.slow))
        return
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    figures = asdict(measure(options.slow, options.idle, options.rate, options.seconds))
    for name, value in figures.items():
        print(f"  {name:<20} {value:,.1f}" if isinstance(value, float) else f"  {name:<20} {value:,}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
