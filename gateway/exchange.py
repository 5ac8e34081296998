"""One request and its response: admitted, passed on, answered. Every way it can end is in this file."""

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from gateway.forwarding import request_head
from gateway.paths import normalise
from gateway.problems import BadGateway, GatewayTimeout, MethodNotAllowed, RequestTimeout, insufficient_scope
from gateway.request import IDEMPOTENT, Request
from gateway.table import OPTIONAL, PUBLIC, Route
from shared.errors import MEDIA_TYPE, NotFound, PayloadTooLarge, Problem, Unavailable
from shared.tokens import missing

if TYPE_CHECKING:
    from gateway.client import ClientConnection
    from gateway.tokens import Grant
    from gateway.upstreams import UpstreamConnection

NO_ROUTE = Route(template="(none)", methods=frozenset(), upstream=None, access=PUBLIC, max_body_bytes=0)
MOST_REPLAYED_BYTES = 65_536
MOST_DISCARDED_BYTES = 65_536
KEY_FETCH_S = 5.0
CLIENT_LEFT = 499  # only in logs and metrics: nobody is there to be told
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def status_line(status: int) -> bytes:
    """The first line of a response; the upstream's own reason phrase is not passed on."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


class Exchange:
    """Lives from a request's head to the last byte of its response."""

    __slots__ = (
        "answered_at", "bytes_out", "client", "closes", "gate", "grant", "has_head", "inbox", "is_chunked_out",
        "is_discarding", "is_over", "outbox", "path", "replay", "request", "request_id", "route", "sent_at",
        "started_at", "status", "traceparent", "upstream",
    )  # fmt: skip

    def __init__(self, client: "ClientConnection", request: Request) -> None:
        self.client = client
        self.gate = client.gate
        self.request = request
        self.route = NO_ROUTE
        self.grant: Grant | None = None
        self.path = b""
        self.request_id = self.gate.request_id(request)
        self.traceparent = b""
        self.upstream: UpstreamConnection | None = None
        self.outbox: list[bytes] = []  # to the upstream
        self.inbox: list[bytes] = []  # to the client
        self.replay: list[bytes] | None = None  # what was sent, while it could be sent again
        self.status = 0
        self.bytes_out = 0
        self.started_at = time.perf_counter()
        self.sent_at = self.answered_at = 0.0
        self.has_head = self.is_chunked_out = self.is_discarding = self.is_over = False
        self.closes = False

    # Admission.

    def start(self) -> None:
        """Answer the request: refuse it, or pass it on."""
        request = self.request
        try:
            if request.problem is not None:
                raise request.problem
            self._find_route()
            if self.is_over:  # a preflight
                return
            route = self.route
            if request.content_length is not None and request.content_length > route.max_body_bytes:
                raise self._too_large()
            if route.access != PUBLIC and not self._authorise():
                return
            self._forward()
        except Problem as problem:
            self.refuse(problem)

    def _find_route(self) -> None:
        request = self.request
        path, mark, query = request.target.partition(b"?")
        path = normalise(path)
        methods = self.gate.table.match(path)
        if methods is None:
            raise NotFound("There is nothing at this address.")
        route = methods.get(request.method)
        if route is None:
            self.route = next(iter(methods.values()))
            allowed = [method.decode() for method in methods]
            if request.is_preflight and request.method == b"OPTIONS" and self.gate.cors.allows(request.origin):
                self._answer(204, self.gate.cors.preflight(allowed), b"")
                return
            raise MethodNotAllowed(allowed)
        self.route = route
        self.path = (route.upstream_path or path) + mark + query

    def _authorise(self) -> bool:
        """False if it has to wait for the keys first; `start` is over then and goes on in `_authorise_later`."""
        authorization = self.request.authorization
        if authorization is None:
            if self.route.access == OPTIONAL:
                return True
            raise missing()
        self.grant = self.gate.tokens.check(authorization)
        if self.grant is None:
            self.client.set_deadline(KEY_FETCH_S)
            self.gate.later(self._authorise_later(authorization))
            return False
        self._check_scopes(self.grant)
        return True

    async def _authorise_later(self, authorization: bytes) -> None:
        try:
            await self.gate.tokens.fetch_keys()
            if self.is_over:
                return
            self.grant = self.gate.tokens.check_after_fetch(authorization)
            self._check_scopes(self.grant)
            self._forward()
            self.flush_request()
        except Problem as problem:
            if not self.is_over:
                self.refuse(problem)

    def _check_scopes(self, grant: "Grant") -> None:
        route = self.route
        if (route.scopes_all or route.scopes_any) and not route.admits(grant.scopes):
            raise insufficient_scope(route.scopes_all or route.scopes_any)

    # The request on its way up.

    def _forward(self) -> None:
        if self.is_over:
            return
        request, route = self.request, self.route
        if route.upstream is None:
            self.gate.pages.take(self)
            return
        upstream = self.gate.upstreams[route.upstream]
        self.outbox.append(request_head(self, upstream.authority))
        if request.method in IDEMPOTENT:
            self.replay = []
        if request.expects_continue and not request.is_http_10 and not request.body and request.has_body:
            self.client.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        for chunk in request.body:
            self._add_body(chunk)
        request.body = []
        if request.is_complete:
            self._end_outbox()
        self.client.set_deadline(route.idle_s if not request.is_complete else route.first_byte_s)
        upstream.connect(self)
        if self.upstream is None:
            self.client.set_deadline(route.connect_s + 1)

    def send_body(self, chunk: bytes) -> None:
        """Pass on a piece of the request's body; the limit holds for chunked bodies too."""
        if self.is_discarding or self.is_over:
            return
        request = self.request
        request.body_bytes += len(chunk)
        if request.body_bytes > self.route.max_body_bytes:
            self.refuse(self._too_large())
        elif not self.outbox and self.upstream is None:
            request.body.append(chunk)  # waiting for keys
            self.client.pause_reading()
        else:
            self._add_body(chunk)
            if self.upstream is None:
                self.client.pause_reading()
            else:
                self.client.set_deadline(self.route.idle_s)

    def _add_body(self, chunk: bytes) -> None:
        if self.request.chunked:
            self.outbox += (b"%x\r\n" % len(chunk), chunk, b"\r\n")
        else:
            self.outbox.append(chunk)

    def end_body(self) -> None:
        """The request is complete."""
        if self.is_discarding:
            self._finish()
        elif not self.is_over and (self.outbox or self.upstream is not None):
            self._end_outbox()
            if self.upstream is not None:
                self.client.set_deadline(self.route.first_byte_s)

    def _end_outbox(self) -> None:
        if self.request.chunked:
            self.outbox.append(b"0\r\n\r\n")

    def flush_request(self) -> None:
        """Write what there is for the upstream, in one piece, once there is a connection."""
        upstream = self.upstream
        if upstream is None or not self.outbox:
            return
        data = self.outbox[0] if len(self.outbox) == 1 else b"".join(self.outbox)
        self.outbox = []
        if not self.sent_at:
            self.client.resume_reading()
            self.client.set_deadline(self.route.first_byte_s if self.request.is_complete else self.route.idle_s)
        self.sent_at = time.perf_counter()
        if self.replay is not None:
            self.replay.append(data)
            if self.request.body_bytes > MOST_REPLAYED_BYTES:
                self.replay = None
        upstream.transport.write(data)

    # The response on its way down.

    def response_head(self, status: int, fields: list[bytes], length: int | None, has_no_body: bool) -> None:
        """Start answering the client; `length` None means that the body's end is not known yet."""
        request = self.request
        self.status = status
        self.answered_at = time.perf_counter()
        self.has_head = True
        head = self.inbox
        head.append(status_line(status))
        head += fields
        head.append(b"x-request-id: %b\r\n" % self.request_id)
        if length is None and not has_no_body:
            if request.is_http_10:
                self.closes = True
            else:
                self.is_chunked_out = True
                head.append(b"transfer-encoding: chunked\r\n")
        if request.origin is not None:
            head.append(self.gate.cors.headers(request.origin))
        head.append(self._connection_field())

    def _connection_field(self) -> bytes:
        """The end of a response's head; decides whether the connection is kept."""
        request = self.request
        if not request.keep_alive or self.gate.is_stopping or (request.has_body and not request.is_complete):
            self.closes = True
        if self.closes:
            return b"connection: close\r\n\r\n"
        return b"connection: keep-alive\r\n\r\n" if request.is_http_10 else b"\r\n"

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
            self.client.transport.write(data)
        if self.has_head and not self.is_over:
            self.client.set_deadline(self.route.idle_s)

    def response_complete(self) -> None:
        """The upstream has said all it had to say."""
        self.upstream = None
        if self.is_over:
            return
        if self.is_chunked_out:
            self.inbox.append(b"0\r\n\r\n")
        self.client.transport.write(b"".join(self.inbox))
        self._finish()

    # Other ends.

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem document; if an answer has begun, all that is left is to break the connection."""
        self._drop_upstream()
        if self.has_head:
            self.client.transport.abort()
            self._finish()
            return
        fields = [b"%b: %b\r\n" % (name.encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
        fields.append(b"content-type: %b\r\ncache-control: no-store\r\n" % MEDIA_TYPE.encode())
        if problem.code == "malformed_request" or problem.status in (408, 431, 501):
            self.closes = True
        self._answer(problem.status, fields, problem.body(self.request_id.decode()) + b"\n")

    def _answer(self, status: int, fields: list[bytes], body: bytes) -> None:
        """Answer from here. What is left of the request's body is read and thrown away, if it is little."""
        request = self.request
        rest_is_little = (request.content_length or 0) <= MOST_DISCARDED_BYTES and not request.chunked
        is_unread = request.has_body and not request.is_complete
        self.closes = self.closes or not request.keep_alive or self.gate.is_stopping
        if is_unread and (request.expects_continue or not rest_is_little):
            self.closes = True
        head = [status_line(status), *fields, b"x-request-id: %b\r\n" % self.request_id]
        if status != 204:
            head.append(b"content-length: %d\r\n" % len(body))
        if request.origin is not None:
            head.append(self.gate.cors.headers(request.origin))
        head.append(b"connection: close\r\n\r\n" if self.closes else b"\r\n")
        if request.method != b"HEAD":
            head.append(body)
            self.bytes_out += len(body)
        self.status = status
        self.has_head = True
        self.client.transport.write(b"".join(head))
        if is_unread and not self.closes:
            self.is_discarding = True
            self.client.set_deadline(self.gate.settings.header_timeout_s)
            self.client.resume_reading()
        else:
            self._finish()

    def answer_page(self, status: int, fields: list[bytes], body: bytes) -> None:
        """Answer with one of the gateway's own pages."""
        if not self.is_over:
            self._answer(status, fields, body)

    def upstream_failed(self, problem: Problem) -> None:
        """The upstream cannot be reached, or does not speak HTTP."""
        self.upstream = None
        if not self.is_over:
            self.refuse(problem)

    def upstream_lost(self, connection: "UpstreamConnection") -> None:
        """The upstream's connection ended before its response did.

        A kept-alive connection may have been closed by the upstream just as it was used. If nothing of a response came
        and the request may be made twice, it is made once more on a new connection.
        """
        self.upstream = None
        if self.is_over:
            return
        if connection.is_reused and not connection.has_answered and self.replay is not None:
            self.outbox = [*self.replay, *self.outbox]
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
        elif self.client.is_write_paused or self.has_head:
            self.refuse(GatewayTimeout("Nothing moved for too long."))
        elif self.route.upstream is None:
            self.refuse(Unavailable("The gateway is too busy to answer this itself."))
        elif self.upstream is None:
            self.refuse(self._not_connected())
        elif not self.request.is_complete and not self.client.is_read_paused:
            self.refuse(RequestTimeout("The rest of the request did not come in time."))
        else:
            self.refuse(GatewayTimeout(f"The {self.route.upstream} service did not answer in time."))

    def _not_connected(self) -> Problem:
        if not self.outbox or self.route.upstream is None:
            return Unavailable("The keys that verify tokens cannot be fetched now.")
        return self.gate.upstreams[self.route.upstream].busy()

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

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"The body is larger than {self.route.max_body_bytes} bytes.")

    def _finish(self) -> None:
        if not self.is_over:
            self.is_over = True
            self.gate.record(self)
            self.client.exchange_over(self)
