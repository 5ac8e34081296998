"""One request and its response: admitted, passed on, answered. Every way it can end is in this file."""

import time
from math import inf
from typing import TYPE_CHECKING

from uuid_utils import uuid7

from gateway import addresses, answers, tunnel
from gateway.admission import NO_ROUTE, check_grant, find_route, preflight, too_large, wanted_authorization
from gateway.forwarding import is_request_id, request_head
from gateway.grants import OWN
from gateway.problems import BadGateway, GatewayTimeout, RequestTimeout
from gateway.request import IDEMPOTENT, Request
from gateway.table import PUBLIC, Route
from shared.errors import Problem, Unavailable

if TYPE_CHECKING:
    from gateway.client import ClientConnection
    from gateway.connection import UpstreamConnection
    from gateway.grants import Grant
    from gateway.heads import KnownAnswer
    from gateway.upstreams import Upstream

MOST_REPLAYED_BYTES = 65_536
KEY_FETCH_S = 5.0
CLIENT_LEFT = 499  # only in logs and metrics: nobody is there to be told


class Exchange:
    """Lives from a request's head to the last byte of its response.

    What an ordinary exchange does not change stays a class attribute: each costs time to set.
    """

    route: Route = NO_ROUTE
    grant: "Grant | None" = None
    target = b""
    traceparent = b""
    upstream: "UpstreamConnection | None" = None
    outbox: list[bytes] = []  # noqa: RUF012 - to the upstream; replaced, never changed while it is the class's own
    replay: list[bytes] | None = None  # what was sent, as long as it could be sent again
    status = 0
    bytes_out = 0
    sent_at = answered_at = 0.0
    limit_left: float = inf
    limit_fields = b""
    limited_by = ""
    is_tunnel = False
    has_head = is_chunked_out = is_discarding = is_over = closes = False

    def __init__(self, client: "ClientConnection", request: Request) -> None:
        self.client = client
        self.gate = client.gate
        self.request = request
        self.inbox: list[bytes] = []  # to the client
        self.started_at = time.perf_counter()
        came = request.request_id
        self.request_id = came if came is not None and is_request_id(came) else str(uuid7()).encode()

    # Admission.

    def start(self) -> None:
        """Answer the request: refuse it, or pass it on."""
        request = self.request
        try:
            if request.problem is not None:
                raise request.problem
            find_route(self, request)
            limits = self.route.limits
            if not limits or self.gate.limiter.admit(self, limits, self._authenticate):
                self._authenticate()
        except Problem as problem:
            self._refuse_start(problem)

    @property
    def address(self) -> bytes:
        """The client's, as the first of our own proxies saw it."""
        hops, peer = self.gate.trusted_hops, self.client.address
        return addresses.client(self.request, peer, hops) if hops else peer

    def _authenticate(self) -> None:
        if self.route.access != PUBLIC:
            authorization = wanted_authorization(self.route, self.request)
            if authorization is not None and not self._authorise(authorization):
                return
        self._admit()

    def _admit(self) -> None:
        limits = self.route.user_limits
        if not limits or self.gate.limiter.admit(self, limits, self._forward):
            self._forward()

    def _refuse_start(self, problem: Problem) -> None:
        fields = preflight(self, self.request) if problem.status == 405 else None
        if fields is None:
            self.refuse(problem)
        else:
            self.answer(204, fields, b"")

    def _authorise(self, authorization: bytes) -> bool:
        """False if the keys must be fetched first: then `start` is over, and `_go_on_with_keys` goes on."""
        grant = self.gate.tokens.check(authorization)
        if grant is None:
            self.client.set_deadline(KEY_FETCH_S)
            self.gate.later(self._go_on_with_keys(authorization))
            return False
        if self.route.is_guarded or grant.issuer != OWN:
            check_grant(self.route, grant)
        self.grant = grant
        return True

    async def _go_on_with_keys(self, authorization: bytes) -> None:
        try:
            await self.gate.tokens.fetch_keys(authorization)
            if self.is_over:
                return
            self.grant = self.gate.tokens.check_after_fetch(authorization)
            check_grant(self.route, self.grant)
            self._admit()
            self.flush_request()
        except Problem as problem:
            if not self.is_over:
                self.refuse(problem)

    # The request on its way up.

    def _forward(self) -> None:
        request, route = self.request, self.route
        upstream = route.pool
        if upstream is None:
            self.gate.pages.take(self)
            return
        if request.body_bytes > route.max_body_bytes:  # of what came before its turn
            raise too_large(route)
        self.outbox = request_head(self, upstream.authority)
        if request.method in IDEMPOTENT:
            self.replay = []
        if request.has_body:
            self._begin_body()
        upstream.connect(self)
        if self.upstream is None:
            self.client.set_deadline(route.connect_s + 1)

    def _begin_body(self) -> None:
        request = self.request
        early, request.body = request.body, []
        if request.expects_continue and not request.is_http_10 and not early:
            self.client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        for chunk in early:
            self._add_body(chunk)
        if request.is_complete:
            self._end_outbox()

    def send_body(self, chunk: bytes) -> None:
        """Pass on a piece of the request's body; the limit holds for chunked bodies too."""
        if self.is_discarding or self.is_over:
            return
        request = self.request
        request.body_bytes += len(chunk)
        if request.body_bytes > self.route.max_body_bytes:
            self.refuse(too_large(self.route))
        elif self.upstream is not None:
            self._add_body(chunk)
            self.client.set_deadline(self.route.idle_s)
        else:
            if self.outbox:
                self._add_body(chunk)
            else:  # waiting for keys
                request.body.append(chunk)
            self.client.pause_reading()

    def _add_body(self, chunk: bytes) -> None:
        if self.request.chunked:
            self.outbox += (b"%x\r\n" % len(chunk), chunk, b"\r\n")
        else:
            self.outbox.append(chunk)

    def end_body(self) -> None:
        """The request is complete."""
        if self.is_discarding:
            self._finish()
        elif not self.is_over and self.request.has_body and (self.outbox or self.upstream is not None):
            self._end_outbox()

    def _end_outbox(self) -> None:
        if self.request.chunked:
            self.outbox.append(b"0\r\n\r\n")

    def flush_request(self) -> None:
        """Write what there is for the upstream, in one piece, once there is a connection."""
        upstream = self.upstream
        if upstream is None or upstream.transport.is_closing():  # `upstream_lost` follows
            return
        client, request = self.client, self.request
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
            upstream.write(data)
        client.set_deadline(self.route.first_byte_s if request.is_complete else self.route.idle_s)

    # The response on its way down.

    def response_head(self, status: int, fields: list[bytes], length: int | None, has_no_body: bool) -> None:
        """Start answering the client; `length` None means that the body's end is not known yet."""
        self.status = status
        self.answered_at = time.perf_counter()
        self.has_head = True
        if self.request.wants_websocket:  # and does not get it: what follows may be anything
            self.closes = True
        self.inbox = answers.passed_down(self, fields, length, has_no_body)

    def response_body(self, chunk: bytes) -> None:
        """Pass on a piece of the response's body."""
        size = len(chunk)
        self.bytes_out += size
        if self.is_chunked_out:
            self.inbox += (b"%x\r\n" % size, chunk, b"\r\n")
        else:
            self.inbox.append(chunk)

    def flush_response(self) -> None:
        """Write what there is for the client in one piece; the upstream has shown a sign of life."""
        if self.inbox:
            data = self.inbox[0] if len(self.inbox) == 1 else b"".join(self.inbox)
            self.inbox = []
            if not self.client.transport.is_closing():
                self.client.write(data)
        if self.has_head and not self.is_over:
            self.client.set_deadline(self.route.idle_s)

    def answer_known(self, known: "KnownAnswer", body: bytes) -> None:
        """Pass on a whole response whose head has been read before."""
        self.upstream = None
        self.status = known.status
        self.answered_at = time.perf_counter()
        self.has_head = True
        self.bytes_out = len(body)
        if self.client.transport.is_closing():
            self.client_left()
        else:
            self.client.write(b"%b%b%b" % (known.fields, answers.passed_down_end(self), body))
            self._finish()

    def response_complete(self) -> None:
        """The upstream has said all it had to say."""
        self.upstream = None
        if self.is_over:
            return
        if self.is_chunked_out:
            self.inbox.append(b"0\r\n\r\n")
        if self.client.transport.is_closing():
            self.client_left()
        else:
            self.client.write(b"".join(self.inbox))
            self._finish()

    def switched(self, fields: list[bytes], early: bytes) -> None:
        """The upstream has changed to the web socket's protocol: from here on it is between the two."""
        upstream = self.upstream
        if upstream is not None:
            self.status, self.answered_at = 101, time.perf_counter()
            self.has_head = self.is_tunnel = True
            tunnel.join(self, upstream, fields, early)

    def tunnel_over(self) -> None:
        """One side of the tunnel has ended."""
        self.client.transport.close()
        self._finish()

    # Other ends.

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem document; if an answer has begun, all that is left is to break the connection."""
        self._drop_upstream()
        if self.has_head:
            self.client.transport.abort()
            self._finish()
            return
        if answers.ends_connection(problem):
            self.closes = True
        self.answer(problem.status, answers.problem_fields(problem), problem.body(self.request_id.decode()) + b"\n")

    def answer(self, status: int, fields: list[bytes], body: bytes) -> None:
        """Answer from here."""
        if self.is_over:
            return
        self.status = status
        self.has_head = True
        self.client.write(answers.own(self, fields, body))
        if self.is_discarding:
            self.client.set_deadline(self.gate.settings.header_timeout_s)
            self.client.resume_reading()
        else:
            self._finish()

    def upstream_failed(self, problem: Problem) -> None:
        """The upstream cannot be reached, or does not speak HTTP."""
        self.upstream = None
        if not self.is_over:
            self.refuse(problem)

    def upstream_lost(self, connection: "UpstreamConnection") -> None:
        """The upstream's connection ended before its response did.

        A kept-alive connection may have been closed by the upstream just as it was used. If nothing of a response came
        and the request may be made twice, or nothing of it was sent, it is made once more on a new connection.
        """
        self.upstream = None
        if self.is_over:
            return
        may_repeat = self.replay is not None or not self.sent_at
        if connection.is_reused and not connection.has_answered and may_repeat:
            self.outbox = [*(self.replay or ()), *self.outbox]
            self.replay = None
            self.sent_at = 0.0
            self.client.set_deadline(self.route.connect_s + 1)
            connection.pool.connect(self, fresh=True)
        else:
            self.refuse(BadGateway(f"The {connection.pool.name} service closed the connection before it answered."))

    def deadline_passed(self) -> None:
        """Something took too long: what it was decides who is told what."""
        if self.is_discarding:
            self.client.transport.abort()
            self._finish()
        elif self.has_head:
            self.refuse(GatewayTimeout("Nothing moved for too long."))
        elif self.route.pool is None:
            self.refuse(Unavailable("The gateway is too busy to answer this itself."))
        elif self.upstream is None:
            self.refuse(self._not_connected(self.route.pool))
        elif not self.request.is_complete and not self.client.is_read_paused:
            self.refuse(RequestTimeout("The rest of the request did not come in time."))
        else:
            self.refuse(GatewayTimeout(f"The {self.route.upstream} service did not answer in time."))

    def _not_connected(self, upstream: "Upstream") -> Problem:
        if not self.outbox:
            return Unavailable("The keys that verify tokens cannot be fetched now.")
        return upstream.busy()

    def client_left(self) -> None:
        """Nobody waits for the answer any more: the upstream need not finish it."""
        if self.is_over:
            return
        self._drop_upstream()
        self.status = CLIENT_LEFT
        self._finish()

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.exchange = None
            upstream.transport.abort()

    def _finish(self) -> None:
        if not self.is_over:
            self.is_over = True
            self.request.exchange = None  # a cycle would leave both to the garbage collector
            self.gate.record(self)
            self.client.exchange_over(self)
