"""Bodies that are still coming: they may hold half of a service's connections, lest slow clients take them all.

Beyond that a request waits with what has come of its body, and goes on when it is whole, or there is a place. So who
sends a small body as one does is never kept out, and who drips waits where it costs little.
"""

from collections import Counter
from typing import TYPE_CHECKING

from gateway.admission import too_large
from shared.errors import Problem

if TYPE_CHECKING:
    from gateway.exchange import Exchange

MOST_HELD_BYTES = 16_384  # of one body; then the client must wait too
NONE, HELD, OPEN = range(3)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Uploads:
    """Of one worker, for each service by its name."""

    def __init__(self, connections: int) -> None:
        self.most = max(1, connections // 2)
        self._open: Counter[str | None] = Counter()
        self._held: dict[str | None, dict[Exchange, None]] = {}  # in the order in which they came

    def may_begin(self, exchange: "Exchange") -> bool:
        """True if the exchange may call its service before its body is whole; else it waits until `next_begins`."""
        name = exchange.route.upstream
        if self._open[name] < self.most:
            self._open[name] += 1
            exchange.upload = OPEN
            return True
        exchange.upload = HELD
        exchange.client.set_deadline(exchange.route.idle_s)
        request = exchange.request
        if request.expects_continue and not (request.body or request.is_http_10):
            request.expects_continue = False
            exchange.client.write(CONTINUE)
        self._held.setdefault(name, {})[exchange] = None
        return False

    def is_whole(self, exchange: "Exchange") -> bool:
        """The body is whole, or nobody waits for the rest; True if the exchange was held for it."""
        was, exchange.upload = exchange.upload, NONE
        name = exchange.route.upstream
        if was == HELD:
            self._held[name].pop(exchange, None)
        elif was == OPEN:
            self._open[name] -= 1
            self._next_begins(self._held.get(name))
        return was == HELD

    def _next_begins(self, waiting: "dict[Exchange, None] | None") -> None:
        if waiting:
            exchange = next(iter(waiting))
            del waiting[exchange]
            self._open[exchange.route.upstream] += 1
            exchange.upload = OPEN
            exchange.gate.loop.call_soon(_go_on, exchange)


def send_body(exchange: "Exchange", chunk: bytes) -> None:
    """Pass on a piece of the request's body; the limit holds for chunked bodies too."""
    if exchange.is_discarding or exchange.is_over:
        return
    request = exchange.request
    request.body_bytes += len(chunk)
    if request.body_bytes > exchange.route.max_body_bytes:
        exchange.refuse(too_large(exchange.route))
    elif exchange.call is not None:
        exchange.call.send_body(chunk)
    else:  # waiting for keys, or held
        request.body.append(chunk)
        if exchange.upload != HELD or request.body_bytes > MOST_HELD_BYTES:
            exchange.client.pause_reading()
        else:
            exchange.client.set_deadline(exchange.route.idle_s)


def end_body(exchange: "Exchange") -> None:
    """The request is complete."""
    was_held = bool(exchange.upload) and exchange.gate.uploads.is_whole(exchange)
    if exchange.is_discarding:
        exchange.finish()
    elif was_held:
        _go_on(exchange)
    elif exchange.call is not None and exchange.request.has_body and not exchange.is_over:
        exchange.call.end_body()


def _go_on(exchange: "Exchange") -> None:
    """A request that was held, with a part of its body or all of it, is passed on now."""
    if exchange.is_over:
        return
    try:
        exchange.begin_call()
        exchange.flush_request()
    except Problem as problem:
        exchange.refuse(problem)
