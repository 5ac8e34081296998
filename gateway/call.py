"""A request on its way up: the target and connection of this try, what is to be sent, what could be sent again."""

import time
from typing import TYPE_CHECKING

from gateway import meters
from gateway.forwarding import request_head
from gateway.request import IDEMPOTENT
from shared.errors import Problem

if TYPE_CHECKING:
    from gateway.connection import UpstreamConnection
    from gateway.exchange import Exchange
    from gateway.targets import Target
    from gateway.upstreams import Upstream

MOST_REPLAYED_BYTES = 65_536
OUTAGE = frozenset({502, 503, 504})  # answers that say that the service does not work, not what is wrong with a request


class Call:
    """An exchange's call of a service, from when it is let through until the service's answer is complete."""

    connection: "UpstreamConnection | None" = None
    target: "Target"
    tries = 1
    tried: "tuple[Target, ...]" = ()  # where it has failed
    is_made_good = False  # once more because a kept-alive connection had ended
    is_probe = False  # let through to see whether the service works again
    replay: list[bytes] | None = None  # what was sent of the body, as long as it could be sent again
    sent_at = 0.0

    def __init__(self, exchange: "Exchange", upstream: "Upstream") -> None:
        self.exchange = exchange
        self.upstream = upstream
        self.request = request = exchange.request
        self.outbox: list[bytes] = []  # of the body, still to be sent
        self.is_idempotent = request.method in IDEMPOTENT
        if self.is_idempotent or request.is_keyed:
            self.replay = []
        if request.has_body:
            self._begin_body()

    def wait(self) -> None:
        """There is no connection yet; once it has come, `flush` is called."""
        self.exchange.client.set_deadline(self.exchange.route.connect_s + 1)

    # The request's body.

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
        if connection is None or connection.transport.is_closing():  # `lost` follows
            return
        exchange, request = self.exchange, self.request
        client, route = exchange.client, exchange.route
        if not self.sent_at:
            data = request_head(exchange, self.target.authority)
            if self.outbox:
                data += self._take_outbox()
            if client.is_read_paused:
                client.resume_reading()
        elif self.outbox:
            data = self._take_outbox()
        else:
            data = b""
        if data:
            self.sent_at = time.perf_counter()
            connection.write(data)
        if not request.is_complete:
            client.set_deadline(route.idle_s)
        elif self.tries > 1 or route.try_s is not None:
            client.set_deadline(self._answer_s())
        else:
            client.set_deadline(route.first_byte_s)

    def _take_outbox(self) -> bytes:
        data = b"".join(self.outbox)
        self.outbox = []
        if self.replay is not None:
            self.replay.append(data)
            if self.request.body_bytes > MOST_REPLAYED_BYTES:
                self.replay = None
        return data

    # How a try ends.

    def succeeded(self) -> None:
        """The answer has begun, and is one."""
        self.target.pool.good += 1
        if self.tries > 1 or self.is_probe:
            self.counted()

    def counted(self) -> None:
        """What only some calls do when all has gone well."""
        if self.is_probe:
            self.end_probe(True)
        if self.tries > 1 + self.is_made_good:
            meters.RETRIES.labels(self.upstream.name, "succeeded").inc()

    def answered_badly(self, status: int, fields: list[bytes]) -> bool:
        """Take account of an answer of 500 or more; True if the call is made again, and nobody needs the answer."""
        self.upstream.failed(self.target, is_outage=status in OUTAGE)
        self.end_probe(status not in OUTAGE)
        if status not in self.exchange.route.retries.statuses:
            return False
        if any(field[:12].lower() == b"retry-after:" for field in fields):
            return False
        return self._try_again()

    def lost(self, connection: "UpstreamConnection", problem: Problem) -> None:
        """The connection has ended before a whole head of an answer came.

        A kept-alive one may have been closed by the upstream just as it was used. If nothing of a response came and the
        request may be made twice, or nothing of it was sent, it is made once more on a new connection.
        """
        self.connection = None
        may_repeat = not connection.has_answered and (self.replay is not None or not self.sent_at)
        if self.exchange.is_over or not (may_repeat and connection.is_reused) or self.is_made_good:
            self.failed(problem, may_repeat=may_repeat)
            return
        self.is_made_good = True
        self._rewind()
        self.target.pool.connect(self, fresh=True)

    def failed(self, problem: Problem, *, may_repeat: bool = True) -> None:
        """The try has come to nothing: make another, or tell the client."""
        self.end_probe(False)
        self.drop()
        self.upstream.failed(self.target)
        if not self.exchange.is_over and not (may_repeat and self._try_again()):
            self.exchange.refuse(problem)

    def not_connected(self) -> Problem:
        """The time to get a connection is over."""
        return self.upstream.busy()

    def end_probe(self, is_good: bool | None) -> None:
        """What has been seen of the service, if this was to see; None if nobody has waited for it."""
        if self.is_probe:
            self.is_probe = False
            self.upstream.probe_over(is_good)

    # Another try.

    def _try_again(self) -> bool:
        """True if there will be one: if it may do no harm, there is time, and not too many are made already."""
        exchange, retries = self.exchange, self.exchange.route.retries
        made = self.tries - self.is_made_good
        if retries.attempts == 1 or (self.replay is None and self.sent_at) or self.upstream.is_guarded:
            return False
        wait_s = retries.wait_s(made)
        if made >= retries.attempts or wait_s >= self._left_s():
            meters.RETRIES.labels(self.upstream.name, "failed").inc()
            return False
        loop = exchange.gate.loop
        if not self.upstream.budget.take(loop.time()):
            meters.RETRIES.labels(self.upstream.name, "over_budget").inc()
            return False
        self.tried = (*self.tried, self.target)
        self.connection = None
        self._rewind()
        exchange.client.set_deadline(wait_s + exchange.route.connect_s + 1)
        loop.call_later(wait_s, self._begin_again)
        return True

    def _begin_again(self) -> None:
        if self.exchange.is_over:
            return
        try:
            self.upstream.connect(self)
            self.flush()
        except Problem as problem:
            self.exchange.refuse(problem)

    def _rewind(self) -> None:
        self.tries += 1
        if self.replay:
            self.outbox = [*self.replay, *self.outbox]
            self.replay = []
        self.sent_at = 0.0

    def _left_s(self) -> float:
        """What is left of the time that all tries have together."""
        route = self.exchange.route
        return self.exchange.started_at + route.connect_s + route.first_byte_s - time.perf_counter()

    def _answer_s(self) -> float:
        route = self.exchange.route
        try_s = route.first_byte_s if route.try_s is None or self.replay is None else route.try_s
        return max(0.0, min(try_s, self._left_s()) if self.tries > 1 else try_s)

    # The connection.

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
        self.end_probe(None)
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.exchange = None
            connection.transport.abort()
