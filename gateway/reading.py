"""What a client sends, cut into requests by llhttp, or known again by its bytes (`heads.py`)."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from gateway import uploads
from gateway.problems import HeadersTooLarge, malformed, no_upgrade
from gateway.request import Request, handlers, judge_field
from shared.errors import Problem

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.gate import Gate
    from gateway.heads import KnownLine

# After so many requests with fields that were not known, only one in so many is looked for and learned: looking costs a
# tenth of a request, in vain where no head comes twice.
STRANGERS = 8


class RequestReader(asyncio.Protocol, ABC):
    """The reading half of a client's connection; what becomes of the requests is the other half's, `client.py`."""

    exchange: "Exchange | None"
    queue: deque[Request]
    is_lingering: bool

    def __init__(self, gate: "Gate") -> None:
        self.gate = gate
        self.parser = httptools.HttpRequestParser(self)
        self.incoming: Request | None = None
        self.is_at_start = True  # llhttp has read nothing of the next request
        self.is_in_head = False
        self.head_bytes = 0
        self.strangers = 0  # requests in a row whose fields were not known
        self.known: dict[str, Any] | None = None  # what the fields of the request say that is being read

    @abstractmethod
    def take(self, request: Request) -> None:
        """A request has come as far as its body."""

    @abstractmethod
    def refuse_incoming(self, problem: Problem) -> None:
        """What is being read will not become a request."""

    @abstractmethod
    def set_deadline(self, seconds: float) -> None:
        """The connection ends then, unless told otherwise before."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Take no more bytes for now."""

    def data_received(self, data: bytes) -> None:
        if self.is_lingering:
            return
        size, line, fields = len(data), b"", b""
        if self.is_at_start:
            self.known = None
            if self.strangers < STRANGERS or not self.strangers % STRANGERS:
                end = data.find(b"\n") + 1
                line, fields = data[:end], data[end:]
                self.known = known = self.gate.known_fields.get(fields)
                if known is not None:
                    self.strangers = 0
                    known_line = self.gate.known_lines.get(line)
                    if known_line is not None:
                        self._take_known(known_line, known)
                        return
                    data = line + b"\r\n"  # llhttp has read the rest before
            self.strangers += 1
        started_earlier = self.is_in_head
        self.head_bytes = self.head_bytes + size if started_earlier else size
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._after_refused_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._refuse_malformed(error)
        if self.is_in_head and started_earlier and self.head_bytes > self.gate.settings.max_header_bytes:
            self.refuse_incoming(HeadersTooLarge("The request's header fields are too large."))
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
            self.gate.known_lines.learn(line, request, self.gate.table)
        else:
            self.gate.known_fields.see(fields)

    def _take_known(self, line: "KnownLine", fields: dict[str, Any]) -> None:
        """Take a request of which every byte has been read before: llhttp is not asked, and none the wiser."""
        request = Request.again(line.target, fields)
        request.method, request.line, request.is_complete = line.method, line, True
        self.take(request)
        if request.exchange is not None:
            request.exchange.flush_request()
        elif self.queue:
            self.pause_reading()

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
            self.refuse_incoming(Problem("Something went wrong here; it has been logged."))
        else:
            self.refuse_incoming(malformed(f"The request is not HTTP/1.1: {error}."))

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
        self.take(request)

    def on_body(self, chunk: bytes) -> None:
        request = self.incoming
        if request is None:
            return
        if request.exchange is not None:
            uploads.send_body(request.exchange, chunk)
        else:
            request.body.append(chunk)
            request.body_bytes += len(chunk)

    def on_message_complete(self) -> None:
        request, self.incoming = self.incoming, None
        self.is_at_start = True
        if request is not None:
            request.is_complete = True
            if request.exchange is not None:
                uploads.end_body(request.exchange)
