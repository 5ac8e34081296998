"""What a public request costs passed on, compressed, and answered from the cache: `python -m tests.load.answers`.

As in `in_process.py`, without sockets: microseconds of CPU time for a request in our own Python, llhttp and the
compressors, the lowest of many short runs.
"""

import asyncio
import time

from tests.load.compression import document
from tests.load.in_process import CLIENTS, RUNS, Driver, new_driver
from tests.support.issuer import Issuer

ROUTES = """
upstreams: {data: {url: "${DATA_URL}"}}
routes:
  - {prefix: /passed, upstream: data, access: public}
  - {prefix: /kept, upstream: data, access: public, cache: {}}
"""
SIZES = (1_000, 10_000, 100_000)
HEAD = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\nCache-Control: max-age=600\r\n"
FIELDS = b"Host: gateway.example\r\nUser-Agent: phone/1.0\r\nAccept: application/json\r\n"


def asks(path: str, size: int, coding: str) -> bytes:
    return b"GET %b/%d HTTP/1.1\r\n%bAccept-Encoding: %b\r\n\r\n" % (path.encode(), size, FIELDS, coding.encode())


async def keep(driver: Driver, size: int, answer: bytes) -> None:
    """Have the cache fetch what will be asked for."""
    driver.clients[0].data_received(asks("/kept", size, "identity"))
    await asyncio.sleep(0)
    driver.upstream.data_received(answer)


def cost(driver: Driver, request: bytes, answer: bytes | None) -> float:
    """Microseconds for a request whose answer comes from the service, or from nowhere but here."""
    best = float("inf")
    for _ in range(4 * RUNS if len(answer or b"") < 50_000 else 5):
        begun = time.process_time()
        for client in driver.clients:
            client.data_received(request)
            if answer is not None:
                driver.upstream.data_received(answer)
        best = min(best, time.process_time() - begun)
        driver._forget()
    return best * 1e6 / CLIENTS


async def measure(issuer: Issuer) -> None:
    driver = await new_driver(issuer, [], {"ROUTES_FILE": ROUTES})
    codings = ("identity", "zstd", "br", "gzip")
    print(
        "| JSON bytes |", " | ".join(f"{what}, {coding}" for what in ("passed on", "kept") for coding in codings), "|"
    )
    print("|---|" + "---|" * 2 * len(codings))
    for size in SIZES:
        body = document(size)
        answer = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        await keep(driver, size, answer)
        figures = [cost(driver, asks("/passed", size, coding), answer) for coding in codings]
        figures += [cost(driver, asks("/kept", size, coding), None) for coding in codings]
        print(f"| {len(body):,} |", " | ".join(f"{figure:.0f}" for figure in figures), "|", flush=True)


if __name__ == "__main__":
    wanted = Issuer()
    asyncio.run(measure(wanted))
    wanted.close()
