"""The gateway's spans, where traces are on: one for each request, one for each call of a service."""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.admission import NO_ROUTE
from gateway.meters import KNOWN_METHODS
from shared import spans

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.targets import Target

NO_TEMPLATE = NO_ROUTE.template
Attributes = dict[str, str | int | bool | float]


@dataclass(slots=True, frozen=True)
class CallSpan:
    """One try: its own traceparent and the one above it, which place was asked, and when."""

    own: str
    parent: str
    authority: str
    started_at: float


class Tracing:
    """`span_of` and `call` name the spans as requests go by; `record` hands them over when all is answered.

    No attribute says more of a path, a query or a token than the access log does.
    """

    def __init__(self) -> None:
        self._spans = spans.Spans("gateway")

    def span_of(self, exchange: "Exchange") -> str:
        """The exchange's own traceparent."""
        if not exchange.span:
            exchange.span = self._spans.begin(_parent(exchange))
        return exchange.span

    def call(self, exchange: "Exchange", started_at: float | None = None) -> bytes:
        """The traceparent that goes to the service with this try."""
        self.record_call(exchange, is_over=False)  # an earlier one, if there was one
        parent = self.span_of(exchange)
        own = self._spans.begin(parent)
        target: Target | None = getattr(exchange.call, "target", None)  # none as long as no place was chosen
        authority = target.authority.decode() if target is not None else ""
        exchange.call_span = CallSpan(own, parent, authority, started_at or time.perf_counter())
        exchange.traceparent = own.encode()
        return exchange.traceparent

    def record(self, exchange: "Exchange", seconds: float) -> None:
        """The exchange is over."""
        own = self.span_of(exchange)
        if exchange.call is not None and exchange.call_span is None and not exchange.traceparent:
            self.call(exchange, exchange.started_at)  # nobody could be reached
        if not exchange.traceparent:
            exchange.traceparent = own.encode()
        self.record_call(exchange)
        if own.endswith("0"):
            return
        status = exchange.status
        about: Attributes = {
            **_about(exchange),
            "http.response.status_code": status,
            "url.scheme": exchange.client.scheme.decode(),
            "network.protocol.version": "1.0" if exchange.request.is_http_10 else "1.1",
            "client.address": exchange.address.decode("latin-1"),
            "gatehouse.request_id": exchange.request_id.decode("latin-1"),
        }
        if exchange.route.template != NO_TEMPLATE:
            about["http.route"] = exchange.route.template
        if status >= 500:
            about["error.type"] = str(status)
        name, parent = _name(exchange), _parent(exchange)
        self._spans.end(own, parent, spans.SERVER, name, seconds, about, is_error=status >= 500)

    def record_call(self, exchange: "Exchange", *, is_over: bool = True) -> None:
        """The call of a service that an exchange has made is over, or is to be made again."""
        call, exchange.call_span = exchange.call_span, None
        if call is None or call.own.endswith("0"):
            return
        host, _, port = call.authority.rpartition(":")
        about: Attributes = {
            **_about(exchange),
            "url.template": exchange.route.template,
            "server.address": host or port,
            "peer.service": exchange.route.upstream or "",
        }
        if host and port.isdigit():
            about["server.port"] = int(port)
        if not is_over:
            about["error.type"] = "tried_again"
        elif not exchange.answered_at:
            about["error.type"] = "no_answer"  # what the client was told is the gateway's word
        else:
            about["http.response.status_code"] = exchange.status
            if exchange.status >= 400:
                about["error.type"] = str(exchange.status)
        seconds, is_error = time.perf_counter() - call.started_at, "error.type" in about
        self._spans.end(call.own, call.parent, spans.CLIENT, _name(exchange), seconds, about, is_error=is_error)

    async def close(self) -> None:
        """Send what waits; not for long."""
        await asyncio.to_thread(self._spans.close)


def _method(exchange: "Exchange") -> str:
    method = exchange.request.method
    return method.decode() if method in KNOWN_METHODS else "_OTHER"


def _name(exchange: "Exchange") -> str:
    template = exchange.route.template
    return _method(exchange) if template == NO_TEMPLATE else f"{_method(exchange)} {template}"


def _about(exchange: "Exchange") -> Attributes:
    return {"http.request.method": _method(exchange)}


def _parent(exchange: "Exchange") -> str | None:
    header = exchange.request.traceparent
    return header.decode("latin-1") if header else None
