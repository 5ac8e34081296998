"""A service that numbers its answers, and what a client asks of the gateway before it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.gateway.wire import Answer
from tests.support.waiting import eventually

H = "Host: gateway.example\r\n"
FRESH = "Cache-Control: max-age=60\r\n"
OLD = "Age: 100\r\n"  # as it arrives: older than what is fresh here


class Origin:
    """A service at one path: answers `1`, `2`, `3` … with the fields it is told; `hold` keeps the next answers back."""

    def __init__(self, upstream: Upstream, path: str, fields: str = FRESH) -> None:
        self.path = upstream.on(path, self._answer)
        self.fields = fields
        self.etag = ""
        self.status = "200 OK"
        self.bodies: Callable[[int], bytes] = lambda number: b"%d" % number
        self.asked: list[Received] = []
        self._go_on = threading.Event()
        self._go_on.set()

    def _answer(self, request: Received, stream: Stream) -> None:
        self.asked.append(request)
        number = len(self.asked)
        self._go_on.wait(10)
        etag = f'ETag: "{self.etag}"\r\n' if self.etag else ""
        if self.etag and self.etag in (request.value("if-none-match") or ""):
            stream.send(f"HTTP/1.1 304 Not Modified\r\n{etag}{self.fields}\r\n".encode())
        elif request.method == "HEAD":
            stream.send(f"HTTP/1.1 {self.status}\r\nContent-Length: 5\r\n{self.fields}\r\n".encode())
        else:
            stream.answer(self.bodies(number), status=self.status, fields=etag + self.fields)

    @contextmanager
    def hold(self) -> Iterator[None]:
        self._go_on.clear()
        try:
            yield
        finally:
            self._go_on.set()

    @property
    def calls(self) -> int:
        return len(self.asked)


def status_of(answer: Answer) -> str:
    return str(answer.headers["Cache-Status"]).removeprefix("gatehouse; ")


def get(gateway: GatewayProcess, path: str, **headers: str) -> Answer:
    return gateway.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def asked_at_once(gateway: GatewayProcess, path: str, times: int, **headers: str) -> "list[object]":
    pool = ThreadPoolExecutor(times)
    return [pool.submit(get, gateway, path, **headers) for _ in range(times)]


def hand_over_metrics(gateway: GatewayProcess) -> None:
    """Wait until all that was counted so far can be scraped: numbers are handed over all at once."""

    def handed_over() -> float:
        return gateway.metric("gateway_cache_requests_total", route="/cached-nobody/*")

    before = handed_over()
    gateway.ask("GET", "/cached-nobody/x")
    eventually(lambda: handed_over() > before)
