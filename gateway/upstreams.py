"""Kept-alive connections to one service: taken by an exchange, given back when its response is complete."""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import httptools

from gateway.headers import MOST_NAMES, may_leave, named_in_connection, without
from gateway.problems import BadGateway, GatewayTimeout
from gateway.request import IDEMPOTENT
from shared.errors import Problem, Unavailable

if TYPE_CHECKING:
    from gateway.exchange import Exchange

log = logging.getLogger(__name__)
PASS, DROP, LENGTH, CHUNKED, CONNECTION = range(5)
_SPECIAL = {b"content-length": LENGTH, b"transfer-encoding": CHUNKED, b"connection": CONNECTION}
# A request that must not be sent twice goes out only on a connection used so recently that no server has given it up.
SAFE_IDLE_S = 1.0
MOST_RESPONSE_HEAD_BYTES = 131_072
_rules: dict[bytes, int] = {}


def _judge(raw_name: bytes) -> int:
    name = raw_name.lower()
    rule = _SPECIAL.get(name) or (PASS if may_leave(name) else DROP)
    if len(_rules) < MOST_NAMES:
        _rules[raw_name] = rule
    return rule


class UpstreamConnection(asyncio.Protocol):
    """One connection. Reads one response at a time into its exchange; bytes nobody asked for end it."""

    def __init__(self, pool: "Upstream") -> None:
        self.pool = pool
        self.transport: asyncio.Transport
        self.parser = httptools.HttpResponseParser(self)
        self.exchange: Exchange | None = None
        self.idle_since = 0.0
        self.is_reused = False
        self._begin_response()

    def _begin_response(self) -> None:
        self.fields: list[bytes] = []
        self.length: int | None = None
        self.is_chunked = False
        self.connection: bytes | None = None
        self.head_bytes = 0
        self.has_answered = False  # any byte of this response
        self.has_head = False
        self.is_done = False
        self.ends_with_connection = False
        self.may_reuse = False

    def begin(self, exchange: "Exchange") -> None:
        """Give the connection to an exchange."""
        self.exchange = exchange
        self._begin_response()
        exchange.upstream = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            self.transport.abort()
            return
        self.has_answered = True
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(error)
            return
        if self.is_done:
            self.exchange = None
            exchange.response_complete()
            self._give_back(exchange)
        else:
            if not self.has_head:
                self.head_bytes += len(data)
                if self.head_bytes > MOST_RESPONSE_HEAD_BYTES:
                    self._fail(ValueError("the response head is too large"))
                    return
            exchange.flush_response()

    def _fail(self, error: Exception) -> None:
        exchange, self.exchange = self.exchange, None
        self.transport.abort()
        if error.__context__ is not None and isinstance(error, httptools.HttpParserCallbackError):
            log.error("failed to read a response of %s", self.pool.name, exc_info=error.__context__)
        if exchange is not None:
            exchange.upstream_failed(BadGateway(f"The {self.pool.name} service gave an answer that is not HTTP."))

    def _give_back(self, exchange: "Exchange") -> None:
        if self.may_reuse and exchange.request.is_complete and not self.transport.is_closing():
            self.pool.give_back(self)
        else:
            self.transport.close()

    # What httptools calls, in this order.

    def on_header(self, name: bytes, value: bytes) -> None:
        rule = _rules.get(name)
        if rule is None:
            rule = _judge(name)
        if rule == PASS:
            self.fields.append(b"%b: %b\r\n" % (name, value))
        elif rule == LENGTH:
            self.length = int(value)
            self.fields.append(b"content-length: %b\r\n" % value)
        elif rule == CHUNKED:
            self.is_chunked = True
            if value.strip().lower() != b"chunked":
                raise ValueError("a transfer coding that was not asked for")
        elif rule == CONNECTION:
            self.connection = value if self.connection is None else self.connection + b"," + value

    def on_headers_complete(self) -> None:
        if self.exchange is None or self.is_done:
            raise ValueError("a response nobody asked for")
        status: int = self.parser.get_status_code()
        if status < 200:
            if status == 101:
                raise ValueError("a change of protocol nobody asked for")
            self.fields = []
            return
        self.has_head = True
        if self.connection is not None:
            named = named_in_connection(self.connection)
            if named:
                self.fields = without(self.fields, named)
        has_no_body = self.exchange.request.method == b"HEAD" or status in (204, 304)
        self.ends_with_connection = self.length is None and not self.is_chunked and not has_no_body
        self.may_reuse = not self.ends_with_connection and self._wants_to_stay()
        self.exchange.response_head(status, self.fields, self.length, has_no_body)
        if has_no_body and status not in (204, 304):
            # llhttp waits for the body that the answer to a HEAD announces but does not have.
            self.is_done = True
            self.parser = httptools.HttpResponseParser(self)

    def _wants_to_stay(self) -> bool:
        """False for HTTP/1.0 and for `Connection: close`; an answer to HEAD without a length is no reason to part."""
        if self.connection is not None:
            options = self.connection.lower()
            return b"close" not in options and (b"keep-alive" in options or self._is_http_11())
        return self._is_http_11()

    def _is_http_11(self) -> bool:
        return bool(self.parser.should_keep_alive()) or self.parser.get_http_version() == "1.1"

    def on_body(self, chunk: bytes) -> None:
        if self.exchange is None or self.is_done:
            raise ValueError("a body where there is none")
        self.exchange.response_body(chunk)

    def on_message_complete(self) -> None:
        if self.has_head:
            self.is_done = True

    # The connection itself.

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.client.pause_reading()

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.client.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.pool.forget(self)
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        if self.ends_with_connection and error is None:
            exchange.response_complete()
        else:
            exchange.upstream_lost(self)


class Upstream:
    """A service's address, its connections (`open` counts those being made too), and who waits for one."""

    def __init__(self, name: str, url: str, *, most: int, keepalive_s: float) -> None:
        parts = urlsplit(url)
        self.name = name
        self.host = parts.hostname or ""
        self.port = parts.port or 80
        self.authority = parts.netloc.encode()
        self.most = most
        self.keepalive_s = keepalive_s
        self.idle: list[UpstreamConnection] = []
        self.waiting: deque[Exchange] = deque()
        self.open = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self, exchange: "Exchange", *, fresh: bool = False) -> None:
        """Give the exchange a connection: an idle one at once, or a new one, or the next that is given back."""
        connection = None if fresh else self._take(exchange.request.method in IDEMPOTENT)
        if connection is not None:
            connection.is_reused = True
            connection.begin(exchange)
        elif self.open < self.most:
            self._start_opening(exchange)
        else:
            self.waiting.append(exchange)

    def _take(self, is_idempotent: bool) -> UpstreamConnection | None:
        """The connection used last: the others grow old and are closed."""
        while self.idle:
            connection = self.idle.pop()
            if connection.transport.is_closing():
                continue
            if not is_idempotent and asyncio.get_running_loop().time() - connection.idle_since > SAFE_IDLE_S:
                self.idle.append(connection)
                return None
            return connection
        return None

    def _start_opening(self, exchange: "Exchange") -> None:
        self.open += 1
        task = asyncio.get_running_loop().create_task(self._open(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, exchange: "Exchange") -> None:
        loop = asyncio.get_running_loop()
        problem: Problem | None = None
        try:
            async with asyncio.timeout(exchange.route.connect_s):
                _, connection = await loop.create_connection(lambda: UpstreamConnection(self), self.host, self.port)
        except TimeoutError:
            problem = GatewayTimeout(f"The {self.name} service could not be reached in time.")
        except OSError as error:
            log.warning("cannot reach %s: %s", self.name, error)
            problem = BadGateway(f"The {self.name} service cannot be reached.", code="upstream_unreachable")
        if problem is not None:
            self.open -= 1
            if not exchange.is_over:
                exchange.upstream_failed(problem)
            self._serve_waiting()
        elif exchange.is_over:
            self.give_back(connection)
        else:
            connection.begin(exchange)
            exchange.flush_request()

    def _serve_waiting(self) -> None:
        while self.waiting and self.open < self.most:
            exchange = self.waiting.popleft()
            if not exchange.is_over:
                self._start_opening(exchange)

    def give_back(self, connection: UpstreamConnection) -> None:
        """A connection is free again: the exchange that has waited longest gets it."""
        while self.waiting:
            exchange = self.waiting.popleft()
            if not exchange.is_over:
                connection.is_reused = True
                connection.begin(exchange)
                exchange.flush_request()
                return
        connection.idle_since = asyncio.get_running_loop().time()
        self.idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection has ended."""
        self.open -= 1
        if connection in self.idle:
            self.idle.remove(connection)
        self._serve_waiting()

    def close_idle(self, now: float) -> None:
        """Close connections idle for longer than `keepalive_s`, before the service does."""
        limit = now - self.keepalive_s
        while self.idle and self.idle[0].idle_since < limit:
            self.idle.pop(0).transport.close()

    def busy(self) -> Unavailable:
        """The answer for an exchange that waited in vain."""
        return Unavailable(f"The {self.name} service has too many requests to answer.", code="upstream_busy")
