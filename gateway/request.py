"""One request as the client sent it, and what of its head goes on. A field's handler is looked up by its name."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Optional

from gateway import headers
from gateway.codings import tags_upstream
from gateway.problems import ExpectationFailed, HeadersTooLarge, NotSupported, TargetTooLong, malformed, no_upgrade
from shared.errors import Problem

if TYPE_CHECKING:
    from gateway.config import GatewaySettings
    from gateway.exchange import Exchange
    from gateway.heads import KnownLine

SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
IDEMPOTENT = frozenset({b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"})
MOST_FIELDS = 100


class Request:
    """A request's head, and how far its body has come. `problem` is the first reason to refuse it.

    What is absent stays a class attribute: most requests have few of these, and each costs time to set.
    """

    method = b""
    is_http_10 = False
    keep_alive = True
    host: bytes | None = None
    authorization: bytes | None = None
    content_length: int | None = None
    chunked = False
    has_body = False
    connection: bytes | None = None
    expects_continue = False
    upgrade: bytes | None = None
    wants_websocket = False
    request_id: bytes | None = None
    traceparent: bytes | None = None
    origin: bytes | None = None
    is_keyed = False  # has an Idempotency-Key: to be made twice is to be made once
    preflight_method: bytes | None = None
    forwarded_for: bytes | None = None
    forwarded_proto: bytes | None = None
    forwarded_host: bytes | None = None
    accept_encoding: bytes | None = None
    if_none_match: bytes | None = None  # as the client sent it
    range: bytes | None = None
    cookie: bytes | None = None  # goes on to services that take cookies, and to no other
    body_bytes = 0
    is_complete = False
    problem: Problem | None = None
    exchange: Optional["Exchange"] = None
    rendered: bytes | None = None  # the fields that go on and follow from nothing but the request's own
    is_known = False  # its fields have been read and judged before
    line: "KnownLine | None" = None  # its first line has, too

    def __init__(self, target: bytes) -> None:
        self.target = target
        self.fields: list[bytes] = []
        self.body: list[bytes] = []  # what came before anyone could take it

    @classmethod
    def again(cls, target: bytes, fields: dict[str, Any]) -> "Request":
        """A request whose fields are known to say this (`heads.KnownFields`)."""
        request = cls.__new__(cls)
        request.__dict__ = fields.copy()
        request.target = target
        request.body = []
        return request

    def refuse(self, problem: Problem) -> None:
        """Remember the first reason to refuse."""
        if self.problem is None:
            self.problem = problem

    def judge_head(self, settings: "GatewaySettings", head_bytes: int) -> None:
        """Refuse what is too large, and what the next server may read differently.

        `head_bytes` is at least the head's size: only if that is too much is the head itself measured.
        """
        if not self.is_known:
            self.judge_fields()
        if len(self.target) > settings.max_target_bytes:
            self.refuse(TargetTooLong("The request target is too long."))
        elif head_bytes > settings.max_header_bytes:
            size = (
                len(self.target) + sum(map(len, self.fields)) + len(self.authorization or b"") + len(self.cookie or b"")
            )
            if size > settings.max_header_bytes:
                self.refuse(HeadersTooLarge("The request's header fields are too large."))

    def judge_fields(self) -> None:
        """Refuse fields that two servers may read differently (RFC 9112, sections 3.2 and 11)."""
        self.has_body = self.chunked or bool(self.content_length)
        if self.host is None and not self.is_http_10:
            self.refuse(malformed("The request has no Host header."))
        if len(self.fields) > MOST_FIELDS:
            self.refuse(malformed(f"The request has more than {MOST_FIELDS} header fields."))
        if self.chunked and self.is_http_10:
            self.refuse(malformed("HTTP/1.0 has no Transfer-Encoding."))
        if self.upgrade is not None:
            self._judge_upgrade()
        if self.connection is not None and (named := headers.named_in_connection(self.connection)):
            self.fields = headers.without(self.fields, named)
            if b"cookie" in named:
                self.cookie = None

    def _judge_upgrade(self) -> None:
        """Whether the route allows it is seen when there is one."""
        is_websocket = self.upgrade is not None and self.upgrade.lower() == b"websocket"
        asks = headers.asks_for_upgrade(self.connection or b"") and self.method == b"GET" and not self.is_http_10
        self.wants_websocket = is_websocket and asks and not self.has_body
        if self.has_body or (is_websocket and not asks):
            self.refuse(no_upgrade())


Handler = Callable[[Request, bytes, bytes], None]
HOST = re.compile(rb"[A-Za-z0-9._~:\[\]%!$&'()*+;=-]{1,255}")


def _drop(request: Request, name: bytes, value: bytes) -> None:
    pass


def _host(request: Request, name: bytes, value: bytes) -> None:
    if request.host is not None:
        request.refuse(malformed("The request has more than one Host header."))
    elif HOST.fullmatch(value) is None:
        request.refuse(malformed("The Host header is not a host."))
    request.host = value


def _content_length(request: Request, name: bytes, value: bytes) -> None:
    value = value.strip(b" \t")
    if request.content_length is not None or not value.isdigit() or len(value) > 18:
        request.refuse(malformed("The Content-Length header is not one number."))
    else:
        request.content_length = int(value)


def _transfer_encoding(request: Request, name: bytes, value: bytes) -> None:
    if request.chunked or value.strip(b" \t").lower() != b"chunked":
        request.refuse(NotSupported("The only transfer coding accepted is chunked.", code="transfer_coding"))
    request.chunked = True


def _connection(request: Request, name: bytes, value: bytes) -> None:
    request.connection = value if request.connection is None else request.connection + b"," + value


def _authorization(request: Request, name: bytes, value: bytes) -> None:
    if request.authorization is not None:
        request.refuse(malformed("The request has more than one Authorization header."))
    request.authorization = value


def _expect(request: Request, name: bytes, value: bytes) -> None:
    if value.lower() == b"100-continue":
        request.expects_continue = True
    else:
        request.refuse(ExpectationFailed("The only expectation accepted is 100-continue."))


def _passes(handler: Handler) -> Handler:
    """What is read of the field does not keep it from going on."""

    def read_and_pass(request: Request, name: bytes, value: bytes) -> None:
        handler(request, name, value)
        request.fields.append(b"%b: %b\r\n" % (name, value))

    return read_and_pass


def _accept_encoding(request: Request, name: bytes, value: bytes) -> None:
    request.accept_encoding = value if request.accept_encoding is None else request.accept_encoding + b"," + value


def _cookie(request: Request, name: bytes, value: bytes) -> None:
    request.cookie = value if request.cookie is None else b"%b; %b" % (request.cookie, value)


def _if_none_match(request: Request, name: bytes, value: bytes) -> None:
    request.if_none_match = value if request.if_none_match is None else request.if_none_match + b"," + value
    _condition(request, name, value)


def _condition(request: Request, name: bytes, value: bytes) -> None:
    """The tags of compressed answers are the gateway's; `If-Range` keeps them, and so never finds a part of another."""
    request.fields.append(b"%b: %b\r\n" % (name, tags_upstream(value)))


def _forwarded_for(request: Request, name: bytes, value: bytes) -> None:
    request.forwarded_for = value if request.forwarded_for is None else request.forwarded_for + b"," + value


def _idempotency_key(request: Request, name: bytes, value: bytes) -> None:
    request.is_keyed = bool(value.strip())
    request.fields.append(b"%b: %b\r\n" % (name, value))


def _note(attribute: str) -> Handler:
    def take_note(request: Request, name: bytes, value: bytes) -> None:
        setattr(request, attribute, value)

    return take_note


_READ: dict[bytes, Handler] = {
    b"host": _host,
    b"content-length": _content_length,
    b"transfer-encoding": _transfer_encoding,
    b"connection": _connection,
    b"authorization": _authorization,
    b"expect": _expect,
    b"upgrade": _note("upgrade"),
    b"http2-settings": _drop,
    b"x-request-id": _note("request_id"),
    b"traceparent": _note("traceparent"),
    b"origin": _note("origin"),
    b"idempotency-key": _idempotency_key,
    b"access-control-request-method": _note("preflight_method"),
    b"accept-encoding": _passes(_accept_encoding),
    b"cookie": _cookie,
    b"if-match": _condition,
    b"if-none-match": _if_none_match,
    b"range": _passes(_note("range")),
    b"x-forwarded-for": _forwarded_for,
    b"x-forwarded-proto": _note("forwarded_proto"),
    b"x-forwarded-host": _note("forwarded_host"),
}
# By the name as it was spelled; None means that the field goes on as it is. Filled by `judge_field`.
handlers: dict[bytes, Handler | None] = {}


def judge_field(request: Request, raw_name: bytes, value: bytes) -> None:
    """Handle a field whose name has not been seen in this spelling, and remember how."""
    name = raw_name.lower()
    handler = _READ.get(name) or (None if headers.may_enter(name) else _drop)
    if len(handlers) < headers.MOST_NAMES:
        handlers[raw_name] = handler
    if handler is None:
        request.fields.append(b"%b: %b\r\n" % (raw_name, value))
    else:
        handler(request, raw_name, value)
