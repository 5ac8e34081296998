"""One request and its response: admitted, passed on, answered or refused."""

import time
from math import inf
from typing import TYPE_CHECKING

from uuid_utils import uuid7

from gateway import addresses, answers, encoder
from gateway.admission import NO_ROUTE, authenticate, find_route, preflight, too_large
from gateway.call import Call
from gateway.forwarding import is_request_id
from gateway.request import SAFE, Request
from gateway.table import Route
from gateway.uploads import NONE
from shared.errors import Problem

if TYPE_CHECKING:
    from gateway.client import ClientConnection
    from gateway.encoder import Encoder
    from gateway.fetch import Fetch
    from gateway.grants import Grant
    from gateway.heads import KnownAnswer
    from gateway.tracing import CallSpan

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
            self.begin_call()

    def begin_call(self) -> None:
        """There is a place. Raise the Problem if the service cannot be asked."""
        service = self.route.service
        if service is not None:
            self.call = Call(self, service)
            service.connect(self.call)

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
        self.finish()

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
        self.finish()

    # Answers from here, and the end.

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem document; if an answer has begun, all that is left is to break the connection."""
        self.drop_call()
        if self.has_head:
            self.client.transport.abort()
            self.finish()
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
            self.finish()

    def client_left(self) -> None:
        """Nobody waits for the answer any more: the upstream need not finish it."""
        if self.is_over:
            return
        self.drop_call()
        self.status = CLIENT_LEFT
        self.finish()

    def drop_call(self) -> None:
        """Nothing is waited for any more."""
        if self.fetch is not None:
            self.fetch.leave(self)
        if self.call is not None:
            self.call.drop()

    def finish(self) -> None:
        """All is said: log and count it, and let the client go on."""
        if not self.is_over:
            self.is_over = True
            if self.upload:
                self.gate.uploads.is_whole(self)
            self.gate.record(self)
            self.request.exchange = self.call = None  # cycles would leave all to the garbage collector
            self.client.exchange_over(self)
