"""W3C trace context and the request id: who caused this line, this answer, this event."""

import os
import re
import secrets
from contextvars import ContextVar
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from shared.spans import Spans

TRACEPARENT = re.compile(r"^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})\Z")
REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}\Z")

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


spans: Optional["Spans"] = None  # of this process, where they are sent


def are_sent() -> bool:
    """Whether the environment names an endpoint for traces, in OpenTelemetry's own words."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(os.environ.get(f"OTEL_EXPORTER_OTLP{what}_ENDPOINT") for what in ("", "_TRACES"))


def start(component: str) -> None:
    """From now on this process sends its spans, if that is wanted at all: nothing is loaded otherwise."""
    global spans
    if spans is None and are_sent():
        from shared.spans import Spans

        spans = Spans(component)


def stop() -> None:
    """Send what waits; not for long."""
    global spans
    ending, spans = spans, None
    if ending is not None:
        ending.close()


def begin(header: str | None) -> str:
    """The traceparent for our own span below the caller's, sampled as the sampler says where spans are sent."""
    return continue_trace(header) if spans is None else spans.begin(header)


def continue_trace(header: str | None) -> str:
    """The traceparent for our own span: the caller's trace continued with a new span id, or a new trace."""
    match = TRACEPARENT.match(header or "")
    trace_id, flags = (match[1], match[3]) if match else (secrets.token_hex(16), "01")
    return f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"


def trace_id() -> str | None:
    """The trace id of the work in hand, or None outside of any."""
    current = traceparent.get()
    return current.split("-")[1] if current else None


def accept_request_id(header: str | None) -> str | None:
    """The caller's request id if it is well-formed."""
    return header if header and REQUEST_ID.match(header) else None
