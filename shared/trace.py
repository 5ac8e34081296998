"""W3C trace context and the request id: who caused this line, this answer, this event."""

import re
import secrets
from contextvars import ContextVar

TRACEPARENT = re.compile(r"^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})\Z")
REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}\Z")

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


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
