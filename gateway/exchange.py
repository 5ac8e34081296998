"""One request and its response: admitted, passed on, answered. Every way it can end is in this file."""

import time
from math import inf
from typing import TYPE_CHECKING

from uuid_utils import uuid7

from gateway import addresses, answers, encoder, tunnel
from gateway.admission import NO_ROUTE, authenticate, find_route, preflight, too_large
from gateway.call import Call
from gateway.forwarding import is_request_id
from gateway.problems import BadGateway, GatewayTimeout, RequestTimeout
from gateway.request import SAFE, Request
from gateway.table import Route
from gateway.uploads import HELD, MOST_HELD_BYTES, NONE
from shared.errors import Problem, Unavailable
from shared.tokens import refusal

if TYPE_CHECKING:
    from gateway.client import ClientConnection
    from gateway.connection import UpstreamConnection
    from gateway.encoder import Encoder
    from gateway.fetch import Fetch
    from gateway.grants import Grant
    from gateway.heads import KnownAnswer
    from gateway.tracing import CallSpan

LATE = "The rest of the request did not come in time."
CLIENT_LEFT = 499  # only in logs and metrics: nobody is there to be told


class Exchange:
    """Lives from a request's head to the last byte of its response.

    What an ordinary exchange does not change stays a class attribute: each costs time to set.
    """

    route: Route = NO_ROUTE
    grant: "Grant | None" = None
    target = b""
    traceparent = b""
    span = ""  # our own traceparent, where traces are on
    call_span: "CallSpan | None" = None  # of this try
    call: Call | None = None  # of a service, once the request has been let through
    status = 0
    bytes_out = 0
    answered_at = 0.0
    encoder: "Encoder | None" = None  # of an answer that is compressed
    origin: bytes | None = None  # what the service is told in place of whose request it is
    fetch: "Fetch | None" = None  # it waits for
    cache_status = log_more = b""  # what the cache has to say, to the client and in the log
    limit_left: float = inf
    limit_fields = b""
    limited_by = ""
    upload = NONE  # whether its body, still coming, has a place among those that may
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

    def start(self) -> None:
        """Answer the request: refuse it, or pass it on."""
        request = self.request
        try:
            if request.problem is not None:
                raise request.problem
            find_route(self, request)
            limits = self.route.limits
            if not limits or self.gate.limiter.admit(self, limits, authenticate):
                authenticate(self)
        except Problem as problem:
            fields = preflight(self, request) if problem.status == 405 else None
            if fields is None:
                self.refuse(problem)
            else:
                self.answer(204, fields, b"")

    @property
    def address(self) -> bytes:
        """The client's, as the first of our own proxies saw it."""
        hops, peer = self.gate.trusted_hops, self.client.address
        return addresses.client(self.request, peer, hops) if hops else peer

    # The request on its way up.

    def forward(self) -> None:
        """The request has been let through. Raise the Problem if it goes no further all the same."""
        route = self.route
        if route.service is None:
            self.gate.pages.take(self)
            return
        if self.request.body_bytes > route.max_body_bytes:  # of what came before its turn
            raise too_large(route)
        if route.cache is None or not self.gate.keeper.take(self):
            self.call_service()

    def call_service(self) -> None:
        """Ask the route's service, or be held until there is a place. Raise the Problem if it cannot be asked."""
        request = self.request
        if not request.has_body or request.is_complete or self.gate.uploads.may_begin(self):
            self._call()

    def _call(self) -> None:
        service = self.route.service
        if service is not None:
            self.call = Call(self, service)
            service.connect(self.call)

    def begin_call(self) -> None:
        """A request that was held, with a part of its body or all of it, is passed on now."""
        if self.is_over:
            return
        try:
            self._call()
            self.flush_request()
        except Problem as problem:
            self.refuse(problem)

    def send_body(self, chunk: bytes) -> None:
        """Pass on a piece of the request's body; the limit holds for chunked bodies too."""
        if self.is_discarding or self.is_over:
            return
        request = self.request
        request.body_bytes += len(chunk)
        if request.body_bytes > self.route.max_body_bytes:
            self.refuse(too_large(self.route))
        elif self.call is not None:
            self.call.send_body(chunk)
        else:  # waiting for keys, or held
            request.body.append(chunk)
            if self.upload != HELD or request.body_bytes > MOST_HELD_BYTES:
                self.client.pause_reading()
            else:
                self.client.set_deadline(self.route.idle_s)

    def end_body(self) -> None:
        """The request is complete."""
        was_held = bool(self.upload) and self.gate.uploads.is_whole(self)
        if self.is_discarding:
            self._finish()
        elif was_held:
            self.begin_call()
        elif self.call is not None and self.request.has_body and not self.is_over:
            self.call.end_body()

    def flush_request(self) -> None:
        """Write what there is for the upstream."""
        if self.call is not None:
            self.call.flush()

    # The response on its way down.

    def accepts(self, status: int, fields: list[bytes]) -> bool:
        """False if the client is not to see an answer of this status, because the call is made again."""
        call = self.call
        if call is None or self.is_over:
            return True
        if status < 500:
            call.succeeded()
            return True
        return not call.answered_badly(status, fields)

    def response_head(self, status: int, fields: list[bytes], length: int | None, has_no_body: bool) -> None:
        """Start answering the client; `length` None means that the body's end is not known yet."""
        self.status = status
        self.answered_at = time.perf_counter()
        self.has_head = True
        if self.request.wants_websocket:  # and does not get it: what follows may be anything
            self.closes = True
        if self.request.method not in SAFE and status < 400:
            self.gate.keeper.written(self)
        compression = self.route.compression
        if compression is not None and (length is None or length >= compression.min_bytes or status == 304):
            fields, length = encoder.apply(compression, self, fields, length, has_no_body)
        if self.encoder is None:
            self.inbox = answers.passed_down(self, fields, length, has_no_body)

    def response_body(self, chunk: bytes) -> None:
        """Pass on a piece of the response's body."""
        if self.encoder is None:
            self.add_body(chunk)
        else:
            self.encoder.pieces.append(chunk)

    def add_body(self, chunk: bytes) -> None:
        """Put a piece of the body as the client gets it to what is written next."""
        size = len(chunk)
        self.bytes_out += size
        if self.is_chunked_out:
            self.inbox += (b"%x\r\n" % size, chunk, b"\r\n")
        else:
            self.inbox.append(chunk)

    def flush_response(self) -> None:
        """Write what there is for the client in one piece; the upstream has shown a sign of life."""
        if self.encoder is not None:
            self.encoder.flush(self)
        if self.inbox:
            data = self.inbox[0] if len(self.inbox) == 1 else b"".join(self.inbox)
            self.inbox = []
            if not self.client.transport.is_closing():
                self.client.write(data)
        if self.has_head and not self.is_over:
            self.client.set_deadline(self.route.idle_s)

    def answer_known(self, known: "KnownAnswer", body: bytes) -> None:
        """Pass on a whole response whose head has been read before."""
        if self.call is not None:
            self.call.connection = None  # free for the next, whom a slow client of this one must not slow down
            if self.call.tries > 1 or self.call.is_probe:
                self.call.counted()
        self.status = known.status
        if self.request.method not in SAFE and known.status < 400:
            self.gate.keeper.written(self)
        self.answered_at = time.perf_counter()
        self.has_head = True
        self.bytes_out = len(body)
        if self.client.transport.is_closing():
            self.status = CLIENT_LEFT
        else:
            self.client.write(b"%b%b%b" % (known.fields, answers.passed_down_end(self), body))
        self._finish()

    def response_complete(self) -> None:
        """The upstream has said all it had to say."""
        if self.is_over:
            return
        if self.call is not None:
            self.call.connection = None
        if self.encoder is not None:
            self.encoder.finish(self)
        if self.is_chunked_out:
            self.inbox.append(b"0\r\n\r\n")
        if self.client.transport.is_closing():
            self.status = CLIENT_LEFT
        else:
            self.client.write(b"".join(self.inbox))
        self._finish()

    def switched(self, fields: list[bytes], early: bytes) -> None:
        """The upstream has changed to the web socket's protocol: from here on it is between the two."""
        call = self.call
        if call is not None and call.connection is not None:
            upstream, call.connection = call.connection, None
            self.status, self.answered_at = 101, time.perf_counter()
            self.has_head = self.is_tunnel = True
            self.gate.tunnels.add(self)
            tunnel.join(self, upstream, fields, early)

    def tunnel_over(self) -> None:
        """One side of the tunnel has ended."""
        self.gate.tunnels.discard(self)
        self.client.transport.close()
        self._finish()

    # Other ends.

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem document; if an answer has begun, all that is left is to break the connection."""
        self._drop_call()
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
        """The upstream does not speak HTTP, or not to the end."""
        if self.is_over:
            return
        if self.call is not None and not self.has_head:
            self.call.failed(problem, may_repeat=False)
        else:
            self.refuse(problem)

    def upstream_lost(self, connection: "UpstreamConnection") -> None:
        """The upstream's connection ended before its response did."""
        if self.is_over:
            return
        problem = BadGateway(f"The {connection.pool.name} service closed the connection before it answered.")
        if self.call is not None and not self.has_head:
            self.call.lost(connection, problem)
        else:
            self.refuse(problem)

    def deadline_passed(self) -> None:
        """Something took too long: what it was decides who is told what."""
        if self.is_discarding:
            self.client.transport.abort()
            self._finish()
        elif self.has_head:
            self.refuse(GatewayTimeout("Nothing moved for too long."))
        elif self.fetch is not None:
            self.gate.keeper.give_up(self, self.fetch)
        elif self.route.service is None:
            self.refuse(Unavailable("The gateway is too busy to answer this itself."))
        elif self.upload == HELD:
            self.refuse(self.route.service.busy() if self.client.is_read_paused else RequestTimeout(LATE))
        elif self.call is None:
            self.refuse(Unavailable("The keys that verify tokens cannot be fetched now."))
        elif self.call.connection is None:
            self.refuse(self.call.not_connected())
        elif not self.request.is_complete and not self.client.is_read_paused:
            self.refuse(RequestTimeout(LATE))
        else:
            self.call.failed(GatewayTimeout(f"The {self.route.upstream} service did not answer in time."))

    def end_with_session(self) -> bool:
        """Its session has ended: so do a web socket, an answer under way, an upload. False while there is none yet."""
        return self._end_early("session_revoked", "The session of this token has ended.")

    def end_with_token(self) -> bool:
        """Its token has expired, and the route lets nothing outlive it. False while there is nothing to end yet."""
        return self._end_early("token_expired", "The token has expired.")

    def _end_early(self, code: str, detail: str) -> bool:
        if self.is_tunnel:
            self.client.transport.abort()  # `tunnel_over` follows
        elif self.has_head or not self.request.is_complete:
            self.refuse(refusal(code, detail))
        else:
            return False
        return True

    def client_left(self) -> None:
        """Nobody waits for the answer any more: the upstream need not finish it."""
        if self.is_over:
            return
        self._drop_call()
        self.status = CLIENT_LEFT
        self._finish()

    def _drop_call(self) -> None:
        if self.fetch is not None:
            self.fetch.leave(self)
        if self.call is not None:
            self.call.drop()

    def _finish(self) -> None:
        if not self.is_over:
            self.is_over = True
            if self.upload:
                self.gate.uploads.is_whole(self)
            self.gate.record(self)
            self.request.exchange = self.call = None  # cycles would leave all to the garbage collector
            self.client.exchange_over(self)
