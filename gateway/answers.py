"""Heads of answers: those passed down from an upstream, and those the gateway gives itself."""

from http import HTTPStatus
from typing import TYPE_CHECKING

from gateway.forwarding import is_https
from gateway.headers import without
from shared.errors import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.table import Route

MOST_DISCARDED_BYTES = 65_536
_CACHE_CONTROL = frozenset({b"cache-control"})
_NOTICES = frozenset({b"deprecation", b"sunset"})
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def status_line(status: int) -> bytes:
    """The first line of a response; the upstream's own reason phrase is not passed on."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


def passed_down(exchange: "Exchange", fields: list[bytes], length: int | None, has_no_body: bool) -> list[bytes]:
    """The head of an upstream's response; decides how its body is framed, and whether the connection is kept."""
    request = exchange.request
    route = exchange.route
    head = [status_line(exchange.status), *(marked(route, exchange.status, fields) if route.is_marked else fields)]
    if exchange.cache_status:
        head.append(exchange.cache_status)
    if length is None and not has_no_body:
        if request.is_http_10:
            exchange.closes = True
        else:
            exchange.is_chunked_out = True
            head.append(b"transfer-encoding: chunked\r\n")
    head.append(passed_down_end(exchange))
    return head


def passed_down_end(exchange: "Exchange") -> bytes:
    """The end of such a head: the gateway's own fields."""
    request = exchange.request
    if not request.keep_alive or exchange.gate.is_stopping or (request.has_body and not request.is_complete):
        exchange.closes = True
    own_fields = exchange.limit_fields
    if exchange.gate.hsts and is_https(exchange):
        own_fields += exchange.gate.hsts
    if request.origin is not None:
        own_fields += (exchange.route.cors or exchange.gate.cors).headers(request.origin)
    if exchange.closes:
        return b"%bx-request-id: %b\r\nconnection: close\r\n\r\n" % (own_fields, exchange.request_id)
    if request.is_http_10:
        return b"%bx-request-id: %b\r\nconnection: keep-alive\r\n\r\n" % (own_fields, exchange.request_id)
    return b"%bx-request-id: %b\r\n\r\n" % (own_fields, exchange.request_id)


def marked(route: "Route", status: int, fields: list[bytes]) -> list[bytes]:
    """The fields of an upstream's answer with those the route sets."""
    if route.cache_control and status < 400:
        fields = [*without(fields, _CACHE_CONTROL), route.cache_control]
    return [*without(fields, _NOTICES), route.adds] if route.adds else fields


def own(exchange: "Exchange", fields: list[bytes], body: bytes) -> bytes:
    """An answer from here, of the exchange's status.

    What is left of the request's body is read and thrown away if it is little; otherwise the connection is closed.
    """
    request = exchange.request
    is_unread = request.has_body and not request.is_complete
    is_little = not request.chunked and (request.content_length or 0) <= MOST_DISCARDED_BYTES
    if not request.keep_alive or exchange.gate.is_stopping:
        exchange.closes = True
    if is_unread and (request.expects_continue or not is_little):
        exchange.closes = True
    exchange.is_discarding = is_unread and not exchange.closes
    head = [status_line(exchange.status), *fields, b"x-request-id: %b\r\n" % exchange.request_id, exchange.route.adds]
    if exchange.status not in (204, 304):
        head.append(b"content-length: %d\r\n" % len(body))
    if exchange.limit_fields:
        head.append(exchange.limit_fields)
    if request.origin is not None:
        head.append((exchange.route.cors or exchange.gate.cors).headers(request.origin))
    if exchange.gate.hsts and is_https(exchange):
        head.append(exchange.gate.hsts)
    if exchange.closes:
        head.append(b"connection: close\r\n\r\n")
    else:
        head.append(b"connection: keep-alive\r\n\r\n" if request.is_http_10 else b"\r\n")
    if request.method != b"HEAD":
        head.append(body)
        exchange.bytes_out += len(body)
    return b"".join(head)


def problem_fields(problem: Problem) -> list[bytes]:
    """The header fields of a problem document."""
    fields = [f"{name}: {value}\r\n".encode("latin-1", "replace") for name, value in problem.headers.items()]
    return [*fields, f"content-type: {MEDIA_TYPE}\r\ncache-control: no-store\r\n".encode()]


def ends_connection(problem: Problem) -> bool:
    """True if what follows on the connection cannot be trusted to be a request."""
    return problem.code == "malformed_request" or problem.status in (408, 414, 431, 501)
