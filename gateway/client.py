"""A client's connection: parsed by llhttp, one exchange at a time, pipelined requests answered in order."""

import asyncio
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, cast

import httptools

from gateway.exchange import Exchange
from gateway.problems import HeadersTooLarge, RequestTimeout, malformed, no_upgrade
from gateway.request import Request, handlers, judge_field
from shared.errors import Problem

if TYPE_CHECKING:
    from gateway.gate import Gate
    from gateway.pace import Pace

LINGER_S = 2.0


class ClientConnection(asyncio.Protocol):
    """Reads requests; each becomes an exchange when its turn comes.

    `deadline` is looked at by the gate a few times a second: cheaper than a timer for each request.
    """

    scheme = b"http"
    is_operator = False
    pace: "Pace | None" = None

    def __init__(self, gate: "Gate") -> None:
        self.gate = gate
        self.transport: asyncio.Transport
        self.parser = httptools.HttpRequestParser(self)
        self.address = b"unknown"
        self.incoming: Request | None = None
        self.is_at_start = True  # llhttp has read nothing of the next request
        self.is_in_head = False
        self.head_bytes = 0
        self.exchange: Exchange | None = None
        self.queue: deque[Request] = deque()
        self.deadline = inf
        self.is_lingering = False
        self.is_read_paused = False
        self.is_write_paused = False
        self.known: dict[str, Any] | None = None  # what the fields of the request say that is being read
        self.unread = inf  # bytes of answers the client had not taken when that was last looked at

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.write = self.transport.write
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.address = str(peer[0]).encode()
        self.gate.clients.add(self)
        self.set_deadline(self.gate.settings.header_timeout_s)

    @property
    def is_idle(self) -> bool:
        """True if closing it would lose nothing but its having been opened."""
        is_at_rest = self.exchange is None and self.incoming is None and not (self.queue or self.is_lingering)
        return is_at_rest and not (self.is_operator or self.transport.get_write_buffer_size())

    def set_deadline(self, seconds: float) -> None:
        """Something must happen within this time, give or take the gate's clock, which is never early."""
        self.deadline = self.gate.clock + seconds

    def data_received(self, data: bytes) -> None:
        if self.is_lingering:
            return
        self.head_bytes = self.head_bytes + len(data) if self.is_in_head else len(data)
        started_earlier = self.is_in_head
        line = fields = b""
        if self.is_at_start:
            end = data.find(b"\n") + 1
            line, fields = data[:end], data[end:]
            self.known = self.gate.known_fields.get(fields)
            if self.known is not None:
                found = self.gate.known_lines.get(line)
                if found is not None:
                    self._receive_known(found, self.known)
                    return
                data = line + b"\r\n"  # llhttp has read the rest before
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._after_refused_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._refuse_malformed(error)
        if self.is_in_head and started_earlier and self.head_bytes > self.gate.settings.max_header_bytes:
            self._refuse(HeadersTooLarge("The request's header fields are too large."))
        exchange = self.exchange
        if exchange is not None:
            exchange.flush_request()
            if fields and exchange.grant is not None and exchange.request.is_complete:
                self._learn(line, fields, exchange.request)
        if self.queue:
            self.pause_reading()

    def _learn(self, line: bytes, fields: bytes, request: Request) -> None:
        """Remember what has just been read of a signed-in user's request, lest it must be read again."""
        if self.known is not None:
            self.gate.known_lines.learn(line, request)
        else:
            self.gate.known_fields.see(fields)

    def _receive_known(self, line: tuple[bytes, bytes], fields: dict[str, Any]) -> None:
        """Take a request of which every byte has been read before: llhttp is not asked, and none the wiser."""
        request = Request.again(line[1], fields)
        request.method = line[0]
        request.is_complete = True
        if self.exchange is not None or self.queue or self.is_write_paused:
            self.queue.append(request)
            self.pause_reading()
        elif not self.transport.is_closing():
            self.exchange = exchange = request.exchange = Exchange(self, request)
            exchange.start()
            exchange.flush_request()

    def _after_refused_upgrade(self, rest: bytes) -> None:
        """llhttp stops after a request to upgrade; it was served as if it had not asked, and more may follow.

        What follows a request for a web socket is no longer HTTP, and waits for the upstream's 101.
        """
        if self.queue and self.queue[-1].wants_websocket:  # it may not come behind others
            self.queue[-1].refuse(no_upgrade())
            self.pause_reading()
            return
        if self.exchange is not None and self.exchange.request.wants_websocket:
            if rest:
                self.exchange.request.body.append(rest)
            self.exchange.flush_request()
            self.pause_reading()
            return
        if self.exchange is not None:
            self.exchange.flush_request()
        if rest and not self.is_lingering:
            self.data_received(rest)

    def _refuse_malformed(self, error: httptools.HttpParserError) -> None:
        if isinstance(error, httptools.HttpParserCallbackError) and error.__context__ is not None:
            self.gate.report(error.__context__)
            self._refuse(Problem("Something went wrong here; it has been logged."))
        else:
            self._refuse(malformed(f"The request is not HTTP/1.1: {error}."))

    def _refuse(self, problem: Problem) -> None:
        """Refuse what is coming in, after everything before it has been answered, and read no more."""
        request, self.incoming = self.incoming or Request(b""), None
        self.is_in_head = False
        self.pause_reading()
        if request.exchange is not None:
            if not request.exchange.is_over:
                request.exchange.closes = True
                request.exchange.refuse(problem)
        elif not self.is_lingering and not self.transport.is_closing():
            request.problem = problem
            request.keep_alive = False
            self.queue.append(request)
            self._advance()

    # What httptools calls, in this order.

    def on_message_begin(self) -> None:
        self.is_at_start = False

    def on_url(self, url: bytes) -> None:
        if self.incoming is None:
            known = self.known
            self.incoming = Request(url) if known is None else Request.again(url, known)
            self.is_in_head = True
            if self.exchange is None:
                self.set_deadline(self.gate.settings.header_timeout_s)
        else:
            self.incoming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        request = self.incoming
        if request is None or not self.is_in_head:  # a trailer, which is dropped
            return
        handler = handlers.get(name, judge_field)
        if handler is None:
            request.fields.append(b"%b: %b\r\n" % (name, value))
        else:
            handler(request, name, value)

    def on_headers_complete(self) -> None:
        request = self.incoming
        if request is None:
            return
        self.is_in_head = False
        request.method = self.parser.get_method()
        request.keep_alive = self.parser.should_keep_alive()
        if request.connection is not None or not request.keep_alive:
            version = self.parser.get_http_version()
            request.is_http_10 = version == "1.0"
            if version not in ("1.0", "1.1"):
                request.refuse(malformed("Only HTTP/1.1 and HTTP/1.0 are spoken here."))
        request.judge_head(self.gate.settings, self.head_bytes)
        if self.exchange is not None or self.queue or self.is_write_paused:
            self.queue.append(request)
        elif not self.is_lingering and not self.transport.is_closing():
            self.exchange = request.exchange = Exchange(self, request)
            self.exchange.start()

    def on_body(self, chunk: bytes) -> None:
        request = self.incoming
        if request is None:
            return
        if request.exchange is not None:
            request.exchange.send_body(chunk)
        else:
            request.body.append(chunk)
            request.body_bytes += len(chunk)

    def on_message_complete(self) -> None:
        request, self.incoming = self.incoming, None
        self.is_at_start = True
        if request is not None:
            request.is_complete = True
            if request.exchange is not None:
                request.exchange.end_body()

    # One exchange after the other.

    def exchange_over(self, exchange: Exchange) -> None:
        """The exchange has been answered, or cannot be: go on with the next, or part."""
        self.exchange = None
        self.unread = inf
        if self.transport.is_closing():
            self.queue.clear()
        elif exchange.closes:
            self._part(exchange.request)
        elif not self.queue:
            self.set_deadline(self.gate.settings.keepalive_s)
            self.resume_reading()
        else:
            self.set_deadline(self.gate.settings.keepalive_s)
            self.gate.loop.call_soon(self._advance)

    def _advance(self) -> None:
        """Begin with the next request, but not before the client has taken most of the answers it has."""
        if self.exchange is None and self.queue and not (self.is_write_paused or self.transport.is_closing()):
            request = self.queue.popleft()
            self.exchange = request.exchange = Exchange(self, request)
            if not self.queue:
                self.resume_reading()
            self.exchange.start()
            if self.exchange is not None:
                self.exchange.flush_request()

    def _part(self, request: Request) -> None:
        """Close. If the client may still be sending, read on a while, lest a reset destroys the answer on its way."""
        self.queue.clear()
        if (request.is_complete and self.incoming is None) or not self.transport.can_write_eof():
            self.transport.close()  # TLS says goodbye, and itself reads on until the client has too
            return
        self.is_lingering = True
        self.set_deadline(LINGER_S)
        self.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def stop(self) -> None:
        """The worker ends: an idle connection is closed; others are, after their answer."""
        if (self.exchange is None and self.incoming is None) or (self.exchange is not None and self.exchange.is_tunnel):
            self._close_idle()

    # The connection itself.

    def _close_idle(self) -> None:
        """Close, and do not wait long for the goodbye of TLS."""
        self.transport.close()
        self.set_deadline(LINGER_S)

    def deadline_passed(self) -> None:
        """Too slow: a head gets 408, an idle connection is closed, an exchange decides itself."""
        self.deadline = inf
        if self.exchange is not None:
            self.exchange.deadline_passed()
        elif self.is_lingering:
            self.transport.abort()
        elif unread := self.transport.get_write_buffer_size():
            self._wait_for_reader(unread)
        elif self.transport.is_closing():
            self.transport.abort()
        elif self.incoming is not None:
            self._refuse(RequestTimeout("The request's head did not come in time."))
        else:
            self._close_idle()

    def _wait_for_reader(self, unread: int) -> None:
        """All is answered but not all is taken: the client may be slow, as long as it takes enough."""
        settings = self.gate.settings
        if self.unread - unread > settings.min_body_bytes_per_s * settings.keepalive_s:
            self.unread = unread
            self.set_deadline(settings.keepalive_s)
        else:
            self.transport.abort()

    def pause_reading(self) -> None:
        self.is_read_paused = True
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.is_read_paused and not self.queue:
            self.is_read_paused = False
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.is_write_paused = True
        if self.exchange is not None and self.exchange.call is not None:
            self.exchange.call.pause_reading()

    def resume_writing(self) -> None:
        self.is_write_paused = False
        if self.exchange is None:
            self.gate.loop.call_soon(self._advance)
        elif self.exchange.call is not None:
            self.exchange.call.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.gate.clients.discard(self)
        self.queue.clear()
        if self.exchange is not None:
            self.exchange.client_left()
