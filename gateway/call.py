"""A request on its way up: its connection, what is still to be sent, what was sent and could be sent again."""

import time
from typing import TYPE_CHECKING

from gateway.forwarding import request_head
from gateway.request import IDEMPOTENT

if TYPE_CHECKING:
    from gateway.connection import UpstreamConnection
    from gateway.exchange import Exchange
    from gateway.upstreams import Upstream

MOST_REPLAYED_BYTES = 65_536


class Call:
    """An exchange's call of a service, from when it is let through until the service's answer is complete."""

    connection: "UpstreamConnection | None" = None
    replay: list[bytes] | None = None  # what was sent, as long as it could be sent again
    sent_at = 0.0

    def __init__(self, exchange: "Exchange", upstream: "Upstream") -> None:
        self.exchange = exchange
        self.upstream = upstream
        self.request = request = exchange.request
        self.outbox = request_head(exchange, upstream.authority)  # still to be sent
        self.is_idempotent = request.method in IDEMPOTENT
        if self.is_idempotent:
            self.replay = []
        if request.has_body:
            self._begin_body()

    def wait(self) -> None:
        """There is no connection yet; once it has come, `flush` is called."""
        self.exchange.client.set_deadline(self.exchange.route.connect_s + 1)

    def _begin_body(self) -> None:
        request, client = self.request, self.exchange.client
        early, request.body = request.body, []
        if request.expects_continue and not request.is_http_10 and not early:
            client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        for chunk in early:
            self._add_body(chunk)
        if request.is_complete:
            self.end_body()

    def send_body(self, chunk: bytes) -> None:
        """Pass on a piece of the request's body; without a connection the client must wait with the rest."""
        self._add_body(chunk)
        client = self.exchange.client
        if self.connection is not None:
            client.set_deadline(self.exchange.route.idle_s)
        else:
            client.pause_reading()

    def _add_body(self, chunk: bytes) -> None:
        if self.request.chunked:
            self.outbox += (b"%x\r\n" % len(chunk), chunk, b"\r\n")
        else:
            self.outbox.append(chunk)

    def end_body(self) -> None:
        """The request is complete."""
        if self.request.chunked:
            self.outbox.append(b"0\r\n\r\n")

    def flush(self) -> None:
        """Write what there is for the upstream, in one piece, once there is a connection."""
        connection = self.connection
        if connection is None or connection.transport.is_closing():  # `Exchange.upstream_lost` follows
            return
        exchange, request = self.exchange, self.request
        client = exchange.client
        if self.outbox:
            data = b"".join(self.outbox)
            self.outbox = []
            if self.replay is not None:
                self.replay.append(data)
                if request.body_bytes > MOST_REPLAYED_BYTES:
                    self.replay = None
            if not self.sent_at and client.is_read_paused:
                client.resume_reading()
            self.sent_at = time.perf_counter()
            connection.write(data)
        client.set_deadline(exchange.route.first_byte_s if request.is_complete else exchange.route.idle_s)

    def repeat_after(self, connection: "UpstreamConnection") -> bool:
        """True if the call is made once more, now that its connection has ended before the answer did.

        A kept-alive connection may have been closed by the upstream just as it was used. If nothing of a response came
        and the request may be made twice, or nothing of it was sent, it is made once more on a new connection.
        """
        self.connection = None
        may_repeat = self.replay is not None or not self.sent_at
        if not (connection.is_reused and not connection.has_answered and may_repeat):
            return False
        self.outbox = [*(self.replay or ()), *self.outbox]
        self.replay = None
        self.sent_at = 0.0
        self.upstream.connect(self, fresh=True)
        return True

    def pause_reading(self) -> None:
        """The client is slow to take the answer."""
        if self.connection is not None:
            self.connection.transport.pause_reading()

    def resume_reading(self) -> None:
        """The client has taken most of what there was."""
        if self.connection is not None:
            self.connection.transport.resume_reading()

    def drop(self) -> None:
        """Nobody waits for the answer any more."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.exchange = None
            connection.transport.abort()
