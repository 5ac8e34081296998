"""What a request costs in our own Python and llhttp, without sockets: `python -m tests.load.in_process [--profile]`.

Bytes are fed to both sides of one gate in this process, in turn, and what is written is thrown away. Microseconds of
CPU time for a request, the lowest of many short runs: hardly any noise, so that small changes show.
"""

import argparse
import asyncio
import cProfile
import gc
import json
import os
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway.app import create_app
from gateway.client import ClientConnection
from gateway.connection import UpstreamConnection
from gateway.gate import Gate
from shared.ids import new_id
from tests.load.gateway import FIELDS
from tests.load.proxies import HOST, PATH, VARIANTS, WITHOUT
from tests.support.issuer import Issuer

CLIENTS, TOKENS, RUNS, SHORT = 64, 1_000, 60, 100
T = TypeVar("T")
BODY = json.dumps({"items": ["x" * 80] * 12}).encode()
SERVICE_SAYS = b"Server: nginx\r\nDate: Sun, 22 Nov 2026 13:13:45 GMT\r\nContent-Type: application/json\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (SERVICE_SAYS, len(BODY), BODY)
Pair = tuple[bytes, bytes]  # a request, and what the service answers


class Sink(asyncio.Transport):
    """A transport whose other side takes everything at once."""

    def __init__(self) -> None:
        super().__init__({"peername": (HOST, 1)})

    def write(self, data: object) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        raise SystemExit("the gateway closed a connection: it did not like what it was fed")

    close = abort


@dataclass
class Driver:
    """One gate, 64 clients, one connection to the service."""

    gate: Gate
    tokens: list[str]

    async def prepare(self) -> None:
        self.gate.loop = asyncio.get_running_loop()
        self.gate.clock = self.gate.loop.time() + 0.2
        await asyncio.to_thread(self.gate.tokens.verifier.keys.refresh)
        service = self.gate.upstreams["data"]
        service.open(self.gate.loop)
        pool = service.targets[0].pool
        self.upstream = UpstreamConnection(pool)
        self.upstream.connection_made(Sink())
        pool.open += 1
        pool.give_back(self.upstream)
        self.clients = [ClientConnection(self.gate) for _ in range(CLIENTS)]
        for client in self.clients:
            client.connection_made(Sink())
        self._forget()

    def _forget(self) -> None:
        """What the worker would hand to its thread and to prometheus_client."""
        self.gate.access_log._lines.clear()
        self.gate.meters.flush()

    def run(self, pairs: list[Pair]) -> float:
        """CPU microseconds for each of the requests."""
        clients, upstream = self.clients, self.upstream
        begun = time.process_time()
        for i, (request, answer) in enumerate(pairs):
            clients[i % CLIENTS].data_received(request)
            upstream.data_received(answer)
        used = time.process_time() - begun
        self._forget()
        return used * 1e6 / len(pairs)

    def lowest(self, pairs: Iterator[list[Pair]]) -> float:
        return min(self.run(some) for _ in range(RUNS) for some in batched(next(pairs), SHORT))

    def same(self) -> Iterator[list[Pair]]:
        """The same heads again and again: each user asks for the same thing with the same token."""
        pairs = [(request(token), ANSWER) for token in self.tokens]
        self.run(pairs)
        self.run(pairs)  # a head is remembered when it comes the second time
        while True:
            yield pairs

    def varied(self) -> Iterator[list[Pair]]:
        """No head twice: another path and another field each time, another field in each answer."""
        number = 0
        while True:
            pairs = []
            for token in self.tokens:
                number += 1
                asked = request(token, f"/{number}", f'If-None-Match: "{number}"\r\n')
                pairs.append((asked, ANSWER.replace(b"\r\n", b"\r\nX-Number: %d\r\n" % number, 1)))
            yield pairs


def batched(found: list[T], size: int) -> list[list[T]]:
    return [found[i : i + size] for i in range(0, len(found), size)]


def request(token: str, below: str = "", more: str = "") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in FIELDS.items())
    return f"GET {PATH}{below} HTTP/1.1\r\n{lines}{more}Authorization: Bearer {token}\r\n\r\n".encode()


async def new_driver(issuer: Issuer, tokens: list[str], variant: dict[str, str]) -> Driver:
    environment = {
        "BIND": f"{HOST}:1",
        "AMQP_URL": f"amqp://nobody:nothing@{HOST}:1/",
        "ISSUER": issuer.issuer,
        "JWKS_URL": issuer.jwks_url,
        "LIMITS_FACTOR": "100000",
        **dict.fromkeys(("AUTH_URL", "PROFILE_URL", "DATA_URL", "NOTIFY_URL"), f"http://{HOST}:9"),
        **variant,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as routes:
        if "ROUTES_FILE" in environment:
            routes.write(environment["ROUTES_FILE"])
            routes.flush()
            environment["ROUTES_FILE"] = routes.name
        before = dict(os.environ)
        os.environ.update(environment)
        driver = Driver(create_app().extensions["gate"], tokens)
        os.environ.clear()
        os.environ.update(before)
    await driver.prepare()
    return driver


async def measure(issuer: Issuer) -> dict[str, float]:
    tokens = [issuer.token(new_id()) for _ in range(TOKENS)]
    whole = await new_driver(issuer, tokens, {})
    verify = whole.gate.tokens.verifier.verify
    groups = batched(tokens, SHORT)
    figures = {
        "a token met for the first time": min(
            whole.run([(request(token), ANSWER) for token in some]) for some in groups
        ),
        "its verification alone": min(used_by(verify, some) for some in groups),
    }
    gc.collect()
    gc.freeze()
    figures["heads met before"] = whole.lowest(whole.same())
    figures["heads never met before"] = whole.lowest(whole.varied())
    for name in WITHOUT:
        without = await new_driver(issuer, tokens, VARIANTS[name])
        figures[f"heads met before, {name}"] = without.lowest(without.same())
    return figures


def used_by(verify: Callable[[str], object], tokens: list[str]) -> float:
    """CPU microseconds for each token."""
    begun = time.process_time()
    for token in tokens:
        verify(token)
    return (time.process_time() - begun) * 1e6 / len(tokens)


async def profile(issuer: Issuer, *, varied: bool) -> None:
    driver = await new_driver(issuer, [issuer.token(new_id()) for _ in range(TOKENS)], {})
    pairs = driver.varied() if varied else driver.same()
    driver.run(next(pairs))
    profiler = cProfile.Profile()
    for _ in range(10):
        some = next(pairs)
        profiler.runcall(driver.run, some)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="store_true", help="which functions take the time")
    parser.add_argument("--varied", action="store_true", help="profile heads that are never met before")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    issuer = Issuer()
    if options.profile:
        asyncio.run(profile(issuer, varied=options.varied))
    else:
        figures = asyncio.run(measure(issuer))
        for name, microseconds in figures.items():
            print(f"{name:36}{microseconds:8.2f} us")
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n")
    issuer.close()


if __name__ == "__main__":
    main()
