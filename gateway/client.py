"""A client's connection: one exchange at a time, pipelined requests answered in order."""

import asyncio
from collections import deque
from math import inf
from typing import TYPE_CHECKING, cast

from gateway import failures
from gateway.exchange import Exchange
from gateway.problems import RequestTimeout
from gateway.reading import RequestReader
from gateway.request import Request
from shared.errors import Problem

if TYPE_CHECKING:
    from gateway.gate import Gate
    from gateway.pace import Pace

LINGER_S = 2.0


class ClientConnection(RequestReader):
    """Each request becomes an exchange when its turn comes.

    `deadline` is looked at by the gate a few times a second: cheaper than a timer for each request.
    """

    scheme = b"http"
    is_operator = False
    pace: "Pace | None" = None

    def __init__(self, gate: "Gate") -> None:
        super().__init__(gate)
        self.transport: asyncio.Transport
        self.address = b"unknown"
        self.host: bytes | None = None  # that the last request named, and what is sent on of it (`forwarding.py`)
        self.forwarded = b""
        self.exchange: Exchange | None = None
        self.queue: deque[Request] = deque()
        self.deadline = inf
        self.is_lingering = False
        self.is_read_paused = False
        self.is_write_paused = False
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

    def take(self, request: Request) -> None:
        """Begin with a request whose head is complete, now or when its turn comes."""
        if self.exchange is not None or self.queue or self.is_write_paused:
            self.queue.append(request)
        elif not self.is_lingering and not self.transport.is_closing():
            self.exchange = exchange = request.exchange = Exchange(self, request)
            exchange.start()

    def refuse_incoming(self, problem: Problem) -> None:
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
            if self.is_read_paused:
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
            failures.deadline_passed(self.exchange)
        elif self.is_lingering:
            self.transport.abort()
        elif unread := self.transport.get_write_buffer_size():
            self._wait_for_reader(unread)
        elif self.transport.is_closing():
            self.transport.abort()
        elif self.incoming is not None:
            self.refuse_incoming(RequestTimeout("The request's head did not come in time."))
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
