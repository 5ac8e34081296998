"""One kept-alive connection to a service, and how its responses are read."""

import asyncio
import logging
from typing import TYPE_CHECKING, cast

import httptools

from gateway import answers, failures, tunnel
from gateway.headers import MOST_NAMES, connection_says, may_leave, named_in_connection, without
from gateway.heads import KnownAnswer
from gateway.problems import BadGateway

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.exchange import Exchange
    from gateway.pool import Pool

log = logging.getLogger(__name__)
PASS, DROP, LENGTH, TRANSFER_ENCODING, CONNECTION = range(5)
MOST_HEAD_BYTES = 131_072
_READ = {b"content-length": LENGTH, b"transfer-encoding": TRANSFER_ENCODING, b"connection": CONNECTION}
_rules: dict[bytes, int] = {}


def _judge_field(raw_name: bytes) -> int:
    name = raw_name.lower()
    rule = _READ.get(name) or (PASS if may_leave(name) else DROP)
    if len(_rules) < MOST_NAMES:
        _rules[raw_name] = rule
    return rule


class UpstreamConnection(asyncio.Protocol):
    """Reads one response at a time into its exchange; bytes nobody asked for end the connection."""

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.transport: asyncio.Transport
        self.parser = httptools.HttpResponseParser(self)
        self.exchange: Exchange | None = None
        self.idle_since = 0.0
        self.is_reused = False
        self.has_answered = False
        self.has_head = False
        self.is_done = False
        self.ends_with_connection = False

    def begin(self, call: "Call") -> None:
        """Give the connection to a call."""
        self.exchange = call.exchange
        self.has_answered = False  # any byte of this response has come
        call.connection = self

    def _begin_response(self) -> None:
        self.has_answered = True
        self.fields: list[bytes] = []
        self.length: int | None = None
        self.is_chunked = False
        self.connection: bytes | None = None
        self.head_bytes = 0
        self.has_head = False
        self.is_done = False
        self.may_reuse = False
        self.is_switched = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.write = self.transport.write

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            self.transport.abort()
            return
        head = b""
        if not self.has_answered:
            end = data.find(b"\r\n\r\n") + 4
            head = data[:end]
            known = self.pool.known_answers.get(head)
            if known is not None and len(data) == end + known.length and self._is_ordinary(exchange, known.length):
                self.exchange = None
                self.pool.good += 1
                exchange.answer_known(known, data[end:])
                self.pool.give_back(self)
                return
            self._begin_response()
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.is_switched and isinstance(error, httptools.HttpParserUpgrade):
                tunnel.switched(exchange, self.fields, data[error.args[0] :])
                return
            if self.exchange is None:  # the call is made again elsewhere
                return
            if not self.is_done:
                self._fail(error)
                return
            self.may_reuse = False  # what came behind the response is nobody's
        if self.exchange is None:
            return
        if self.is_done:
            self.exchange = None
            is_whole = head and len(data) == len(head) + (self.length or 0)
            if is_whole and self.may_reuse and self.pool.known_answers.has_room_for(head):
                self._learn(exchange, head)
            exchange.response_complete()
            if self.may_reuse and exchange.request.is_complete and not self.transport.is_closing():
                self.pool.give_back(self)
            else:
                self.transport.close()
        elif self.has_head:
            exchange.flush_response()
        else:
            self.head_bytes += len(data)
            if self.head_bytes > MOST_HEAD_BYTES:
                self._fail(ValueError("the response head is too large"))

    def _is_ordinary(self, exchange: "Exchange", length: int) -> bool:
        """True if what the client gets depends on nothing but the answer's bytes, and the connection stays."""
        request, route = exchange.request, exchange.route
        is_whole = request.is_complete and request.method != b"HEAD"
        is_left_alone = length < route.compressed_from and not route.is_marked
        return is_whole and is_left_alone and not self.transport.is_closing()

    def _learn(self, exchange: "Exchange", head: bytes) -> None:
        """Remember a head that came with all of its body."""
        length, status = self.length, exchange.status
        if length is not None and status < 500 and status not in (204, 304) and self._is_ordinary(exchange, length):
            fields = answers.status_line(exchange.status) + b"".join(self.fields)
            self.pool.known_answers.learn(head, KnownAnswer(exchange.status, fields, length))

    def _fail(self, error: Exception) -> None:
        exchange, self.exchange = self.exchange, None
        self.transport.abort()
        log.warning("the %s service gave an answer that is not HTTP: %s", self.pool.name, error.__context__ or error)
        if exchange is not None:
            problem = BadGateway(f"The {self.pool.name} service gave an answer that is not HTTP.")
            failures.upstream_failed(exchange, problem)

    # What httptools calls, in this order.

    def on_message_begin(self) -> None:
        if self.is_done:
            raise ValueError("a response nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        rule = _rules.get(name)
        if rule is None:
            rule = _judge_field(name)
        if rule == PASS:
            if not self.has_head:  # else a trailer, which is dropped
                self.fields.append(b"%b: %b\r\n" % (name, value))
        elif rule == LENGTH:
            self.length = int(value)
        elif rule == TRANSFER_ENCODING:
            self.is_chunked = True
            if value.strip().lower() != b"chunked":
                raise ValueError("a transfer coding that was not asked for")
        elif rule == CONNECTION:
            self.connection = value if self.connection is None else self.connection + b"," + value

    def on_headers_complete(self) -> None:
        exchange = self.exchange
        if exchange is None or self.is_done:
            raise ValueError("a response nobody asked for")
        status: int = self.parser.get_status_code()
        if status < 200:
            if status == 101 and exchange.request.wants_websocket:
                self.is_switched = exchange.accepts(status, self.fields)
                return
            if status == 101:
                raise ValueError("a change of protocol nobody asked for")
            self.fields = []
            return
        self.has_head = True
        if self.connection is not None and (named := named_in_connection(self.connection)):
            self.fields = without(self.fields, named)
        has_no_body = status in (204, 304) or exchange.request.method == b"HEAD"
        if self.length is not None and status != 204:
            self.fields.append(b"content-length: %d\r\n" % self.length)
        self.ends_with_connection = self.length is None and not self.is_chunked and not has_no_body
        self.may_reuse = not self.ends_with_connection and self._stays()
        if not exchange.accepts(status, self.fields):
            self.exchange = None
            self.transport.abort()
            return
        exchange.response_head(status, self.fields, self.length, has_no_body)
        if has_no_body and status not in (204, 304):
            # llhttp waits for the body that the answer to a HEAD announces but does not have.
            self.is_done = True
            self.parser = httptools.HttpResponseParser(self)

    def _stays(self) -> bool:
        """False for HTTP/1.0 and for `Connection: close`; an answer to HEAD without a length is no reason to part."""
        says = connection_says(self.connection) if self.connection is not None else None
        if says is not None:
            return says
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
        if self.ends_with_connection and self.has_head and error is None:
            exchange.response_complete()
        else:
            failures.upstream_lost(exchange, self)
