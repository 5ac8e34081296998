"""One call of a service for an answer to keep, for all who wait for it: nobody's connection, and nobody's address."""

import time
from math import inf
from typing import TYPE_CHECKING, cast

from gateway.call import Call
from gateway.exchange import Exchange
from gateway.freshness import Fields
from gateway.meters import UPSTREAM_DURATION
from gateway.request import Request
from shared.errors import Problem

if TYPE_CHECKING:
    from gateway.cache import Entry, Key
    from gateway.client import ClientConnection
    from gateway.gate import Gate
    from gateway.keeper import Keeper

FlightId = tuple["Key", tuple[bytes, ...]]


class Nobody:
    """In the place of a client whose exchange it is. It has a deadline, and nothing to read or to write."""

    address = b""
    is_read_paused = False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def __init__(self, gate: "Gate") -> None:
        self.gate = gate
        self.deadline = inf

    def set_deadline(self, seconds: float) -> None:
        self.deadline = self.gate.clock + seconds


def request_for(leader: Exchange, named: Fields, names: frozenset[bytes], stale: "Entry | None") -> Request:
    """What the service is asked: of the client's fields only those that tell answers apart, if the service says so.

    So of all a client can say nothing reaches an answer for others but the address, which is part of the key, and these
    fields, which are too where the answer's Vary names them.
    """
    request = Request(leader.target)
    request.method = b"GET"
    request.is_complete = True
    request.host = leader.request.host
    request.traceparent = leader.request.traceparent
    request.fields = [b"%b: %b\r\n" % (name, named[name]) for name in sorted(names) if name in named]
    if stale is not None:
        for condition, validator in ((b"if-none-match", b"etag"), (b"if-modified-since", b"last-modified")):
            if validator in stale.named:
                request.fields.append(b"%b: %b\r\n" % (condition, stale.named[validator]))
    return request


class Fetch(Exchange):
    """Collects an answer while `waiting` exchanges wait. If it cannot be kept, the first of them becomes its `heir`."""

    heir: Exchange | None = None
    is_outdated = False  # the address has been written to since it was asked
    size = 0
    length: int | None = None
    fields: list[bytes]

    def __init__(self, keeper: "Keeper", leader: Exchange, flight: FlightId, request: Request, stale: "Entry | None"):
        super().__init__(cast("ClientConnection", Nobody(leader.gate)), request)
        self.keeper = keeper
        self.flight_id = flight
        self.key = flight[0]
        self.route, self.target = leader.route, leader.target
        self.origin = self.key.origin
        self.stale = stale
        self.waiting: list[Exchange] = []
        self.insisting: set[Exchange] = set()  # those of them who wanted something newer than what is kept
        self.is_refresh = False  # nobody waits, and it is made all the same
        self.pieces: list[bytes] = []
        self.asked_at = self.gate.loop.time()
        if self.gate.tracing is not None:
            self.span = self.gate.tracing.span_of(leader)

    def begin(self) -> None:
        if self.is_over:
            return
        try:
            self.call_service()
            self.flush_request()
        except Problem as problem:
            self.refuse(problem)

    def join(self, exchange: Exchange, wait_s: float) -> None:
        """Let an exchange wait for the answer, at most so long."""
        exchange.fetch = self
        exchange.client.set_deadline(wait_s)
        self.waiting.append(exchange)

    def leave(self, exchange: Exchange) -> None:
        """An exchange waits no longer; with nobody left there is nothing to ask for."""
        exchange.fetch = None
        self.waiting.remove(exchange)
        if not self.waiting and not self.is_refresh and not self.is_over:
            self.drop_call()
            self.finish()

    # The answer comes.

    def response_head(self, status: int, fields: list[bytes], length: int | None, has_no_body: bool) -> None:
        self.status, self.fields, self.length = status, fields, length
        self.has_head = True
        self.answered_at = time.perf_counter()
        if not self.keeper.wants(self):
            self.hand_over(has_no_body)

    def response_body(self, chunk: bytes) -> None:
        if self.heir is not None:
            self.heir.response_body(chunk)
        if self.is_over:
            return
        self.pieces.append(chunk)
        self.size += len(chunk)
        if self.size > self.keeper.cache.most_entry_bytes:
            self.keeper.refuse(self.key)
            self.hand_over(False)

    def flush_response(self) -> None:
        if self.heir is not None:
            self.heir.flush_response()
        elif not self.is_over:
            self.client.set_deadline(self.route.idle_s)

    def response_complete(self) -> None:
        if self.heir is not None:
            self.heir.response_complete()
        elif not self.is_over:
            if self.call is not None:
                self.call.connection = None
                UPSTREAM_DURATION.labels(self.route.upstream).observe(self.answered_at - self.call.sent_at)
            self.finish()
            self.keeper.landed(self)

    def hand_over(self, has_no_body: bool) -> None:
        """The answer is not for others: the first who waits gets it as it comes, the others ask themselves."""
        call, self.call = self.call, None
        waiting = self.dismissed()
        call_span, self.call_span = self.call_span, None
        self.finish()
        heir = next((one for one in waiting if one.request.method == b"GET"), None)
        if call is not None and heir is not None and call.connection is not None:
            self.heir = heir
            heir.call_span = call_span
            heir.call, call.exchange, call.connection.exchange = call, heir, heir
            self.keeper.count(heir, "miss", b"fwd=miss; fwd-status=%d" % self.status)
            heir.response_head(self.status, self.fields, self.length, has_no_body)
            for piece in self.pieces:
                heir.response_body(piece)
        elif call is not None:
            self.gate.loop.call_soon(self._drop_unread, call)  # not while its connection is being read
        for one in waiting:
            if one is not heir:
                self.keeper.let_go(one)

    def _drop_unread(self, call: Call) -> None:
        if call.connection is not None and call.connection.exchange is self:
            call.drop()

    def dismissed(self) -> list[Exchange]:
        """Those who have waited; they wait no longer."""
        waiting, self.waiting = self.waiting, []
        for exchange in waiting:
            exchange.fetch = None
        return [exchange for exchange in waiting if not exchange.is_over]

    # It does not come.

    def refuse(self, problem: Problem) -> None:
        if self.is_over:
            return
        self.drop_call()
        self.finish()
        self.keeper.failed(self, problem)

    def finish(self) -> None:
        """As for any exchange, but nobody has asked: it is neither logged nor counted as a request."""
        if not self.is_over:
            self.is_over = True
            if self.gate.tracing is not None:
                self.gate.tracing.record_call(self)
            self.request.exchange = self.call = None
            self.keeper.forget(self)
