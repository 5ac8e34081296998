"""After a 101 (RFC 9110, section 7.8): bytes pass both ways as they come, and the slower side sets the pace."""

import asyncio
import time
from typing import TYPE_CHECKING, Union

from gateway import answers

if TYPE_CHECKING:
    from gateway.client import ClientConnection
    from gateway.connection import UpstreamConnection
    from gateway.exchange import Exchange

LINGER_S = 5.0


class End(asyncio.Protocol):
    """One side: what it reads is written to the other. `owner` is the connection's first protocol, which counts it."""

    def __init__(
        self, exchange: "Exchange", owner: Union["ClientConnection", "UpstreamConnection"], other: asyncio.Transport
    ) -> None:
        self._exchange = exchange
        self._owner = owner
        self._other = other
        self._is_client = owner is exchange.client

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        exchange.client.set_deadline(exchange.route.idle_s)
        if self._is_client:
            exchange.request.body_bytes += len(data)
        else:
            exchange.bytes_out += len(data)
        if not self._other.is_closing():
            self._other.write(data)

    def pause_writing(self) -> None:
        if not self._other.is_closing():
            self._other.pause_reading()

    def resume_writing(self) -> None:
        if not self._other.is_closing():
            self._other.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """What has been read is still written, then the other side ends too."""
        self._other.close()
        self._exchange.gate.loop.call_later(LINGER_S, self._other.abort)
        _over(self._exchange)
        self._owner.connection_lost(error)


def switched(exchange: "Exchange", fields: list[bytes], early: bytes) -> None:
    """The upstream has changed to the web socket's protocol: from here on it is between the two."""
    call = exchange.call
    if call is not None and call.connection is not None:
        upstream, call.connection = call.connection, None
        exchange.status, exchange.answered_at = 101, time.perf_counter()
        exchange.has_head = exchange.is_tunnel = True
        exchange.gate.tunnels.add(exchange)
        _join(exchange, upstream, fields, early)


def _join(exchange: "Exchange", upstream: "UpstreamConnection", fields: list[bytes], early: bytes) -> None:
    """Tell the client that the protocol has changed, and give both connections to each other."""
    client = exchange.client
    upstream.exchange = None
    exchange.closes = True
    ending = b"connection: upgrade\r\nupgrade: websocket\r\nx-request-id: %b\r\n\r\n" % exchange.request_id
    ours, theirs = client.transport, upstream.transport
    ours.set_protocol(End(exchange, client, theirs))
    theirs.set_protocol(End(exchange, upstream, ours))
    ours.write(answers.status_line(101) + b"".join(fields) + ending + early)
    if exchange.request.body:
        theirs.write(b"".join(exchange.request.body))
        exchange.request.body = []
    client.set_deadline(exchange.route.idle_s)
    client.resume_reading()


def _over(exchange: "Exchange") -> None:
    """One side of the tunnel has ended."""
    exchange.gate.tunnels.discard(exchange)
    exchange.client.transport.close()
    exchange.finish()
