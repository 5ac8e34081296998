"""The head of the request that goes to the upstream."""

import re
from typing import TYPE_CHECKING

from gateway.addresses import chain
from gateway.digits import Digits

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.request import Request

_TRACEPARENT = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
FORWARDED = b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b\r\n"
_digits = Digits()


def is_request_id(value: bytes) -> bool:
    """True if a client's request id may be carried on and logged."""
    return _REQUEST_ID.fullmatch(value) is not None


def continue_trace(header: bytes | None) -> bytes:
    """Our own span's traceparent (W3C): the client's trace with a new span id, or a new trace."""
    match = _TRACEPARENT.fullmatch(header) if header else None
    if match is None:
        digits = _digits.take(48)
        return b"00-%b-%b-01" % (digits[:32], digits[32:])
    return b"00-%b-%b-%b" % (match[1], _digits.take(16), match[2])


def request_head(exchange: "Exchange", authority: bytes) -> bytes:
    """Request line and fields as the upstream gets them."""
    request = exchange.request
    tracing = exchange.gate.tracing
    if tracing is None:
        exchange.traceparent = traceparent = continue_trace(request.traceparent)
    else:
        traceparent = tracing.call(exchange)
    cookie = b"cookie: %b\r\n" % request.cookie if request.cookie and exchange.route.takes_cookies else b""
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%bx-request-id: %b\r\ntraceparent: %b\r\n%b\r\n" % (
        request.method,
        exchange.target,
        authority,
        rendered(request) if request.rendered is None else request.rendered,
        cookie,
        exchange.request_id,
        traceparent,
        forwarded(exchange) if exchange.origin is None else exchange.origin,
    )


def rendered(request: "Request") -> bytes:
    """The fields that go on and follow from nothing but the request's own."""
    fields = b"".join(request.fields)
    if request.authorization is not None:
        fields = b"%bauthorization: %b\r\n" % (fields, request.authorization)
    if request.origin is not None:
        fields += b"origin: %b\r\n" % request.origin
    if request.wants_websocket:
        fields += b"connection: upgrade\r\nupgrade: websocket\r\n"
    if request.chunked:
        fields += b"transfer-encoding: chunked\r\n"
    elif request.content_length is not None:
        fields += b"content-length: %d\r\n" % request.content_length
    return fields


def forwarded(exchange: "Exchange") -> bytes:
    """`X-Forwarded-For`, `-Proto` and `-Host`; of what came in, only what trusted proxies in front added."""
    request, client, hops = exchange.request, exchange.client, exchange.gate.trusted_hops
    host = request.host or b""
    if not hops:
        if client.host != host:  # that of a connection hardly ever changes, and so the fields are rendered once
            client.host, client.forwarded = host, FORWARDED % (client.address, client.scheme, host)
        return client.forwarded
    addresses = b", ".join(chain(request, client.address, hops))
    return FORWARDED % (addresses, b"https" if is_https(exchange) else b"http", request.forwarded_host or host)


def origin(exchange: "Exchange") -> bytes:
    """The same without the client's address."""
    request, hops = exchange.request, exchange.gate.trusted_hops
    host = (request.forwarded_host if hops else None) or request.host or b""
    proto = b"https" if is_https(exchange) else b"http"
    return b"x-forwarded-proto: %b\r\nx-forwarded-host: %b\r\n" % (proto, host)


def is_https(exchange: "Exchange") -> bool:
    """True if the client came over TLS: to us, or to the first of the proxies in front, if they say so."""
    proto = exchange.request.forwarded_proto
    if proto is None or not exchange.gate.trusted_hops:
        return exchange.client.scheme == b"https"
    return proto.strip().lower() == b"https"
