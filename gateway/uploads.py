"""Bodies that are still coming: they may hold half of a service's connections, lest slow clients take them all.

Beyond that a request waits with what has come of its body, and goes on when it is whole, or there is a place. So who
sends a small body as one does is never kept out, and who drips waits where it costs little.
"""

from collections import Counter
from typing import TYPE_CHECKING

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
            exchange.gate.loop.call_soon(exchange.begin_call)
