"""Answers from the gateway's own Flask app: run in threads of the worker, beside the data path."""

import io
import logging
import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from gateway.codings import choose
from gateway.compression import Compression, pack_small
from gateway.encoder import VARY
from shared.errors import Problem, Unavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from gateway.exchange import Exchange

log = logging.getLogger(__name__)
PAGE_S = 15.0
MOST_WAITING = 128
OWN = Compression()
Answer = tuple[int, list[bytes], bytes]


class Pages:
    """Takes exchanges whose route is the gateway's own and answers them with the WSGI app. Bodies are not read."""

    def __init__(self, app: "WSGIApplication", threads: int) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="page")
        self._waiting = 0
        self._packed: dict[tuple[str, bytes], tuple[bytes, bytes]] = {}  # what pages were last, and are compressed

    def take(self, exchange: "Exchange") -> None:
        """Answer the exchange from a thread."""
        if self._waiting >= MOST_WAITING:
            raise Unavailable("The gateway is too busy to answer this itself.")
        if exchange.request.has_body:
            exchange.closes = True
        self._waiting += 1
        exchange.client.set_deadline(PAGE_S)
        loop = exchange.gate.loop
        future = self._threads.submit(self._run, _environ(exchange), choose(exchange.request.accept_encoding))
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._answer, exchange, done))

    def _run(self, environ: dict[str, Any], coding: bytes | None) -> Answer:
        status = 500
        fields: list[bytes] = []

        def start_response(line: str, headers: list[tuple[str, str]], _error: object = None) -> Any:
            nonlocal status
            status = int(line.split(" ", 1)[0])
            fields[:] = [
                f"{name}: {value}\r\n".encode("latin-1") for name, value in headers if name.lower() != "content-length"
            ]

        chunks: Iterable[bytes] = self._app(environ, start_response)
        try:
            body = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        return self._compressed(environ["PATH_INFO"], coding, (status, fields, body))

    def _compressed(self, path: str, coding: bytes | None, answer: Answer) -> Answer:
        """Scripts, styles and documents stay what they are for long: each is compressed once, and well."""
        status, fields, body = answer
        if status != 200 or len(body) < OWN.min_bytes or not OWN.takes(status, fields):
            return answer
        fields = [*fields, VARY]
        if coding is None:
            return status, fields, body
        before, packed = self._packed.get((path, coding), (b"", b""))
        if before != body:
            packed = pack_small(coding, body)
            self._packed[path, coding] = body, packed
        return status, [*fields, b"content-encoding: %b\r\n" % coding], packed

    def _answer(self, exchange: "Exchange", done: "Future[Answer]") -> None:
        self._waiting -= 1
        if exchange.is_over:
            return
        error = done.exception()
        if error is not None:
            log.error("a page of the gateway failed", exc_info=error)
            exchange.refuse(Problem("Something went wrong here; it has been logged under the request id."))
        else:
            exchange.answer(*done.result())

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _environ(exchange: "Exchange") -> dict[str, Any]:
    """The WSGI environment (PEP 3333) of a request without a body."""
    request = exchange.request
    path, _, query = exchange.target.partition(b"?")
    return {
        "REQUEST_METHOD": "GET",  # a HEAD too is told of the body it would have
        "SCRIPT_NAME": "",
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": "gateway",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": exchange.client.address.decode(),
        "HTTP_HOST": (request.host or b"gateway").decode("latin-1"),
        "HTTP_X_REQUEST_ID": exchange.request_id.decode(),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": exchange.client.scheme.decode(),
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
