"""Spans by OTLP over HTTP. Imported only where an endpoint for traces is set: nothing else loads OpenTelemetry.

Who serves a request needs to know its trace before it ends, and must not wait for anything: `begin` decides and names,
`end` makes the whole span afterwards, a thread of the SDK sends it in batches. What does not fit into its queue, or
cannot be sent, is counted and forgotten. `OTEL_…` names are the SDK's own: sampler, queue, headers, resource.
"""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from secrets import randbits

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_NAMESPACE, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from prometheus_client import Counter

from shared.trace import TRACEPARENT

CLIENT, CONSUMER, PRODUCER, SERVER = SpanKind.CLIENT, SpanKind.CONSUMER, SpanKind.PRODUCER, SpanKind.SERVER
MOST_WAITING = 2_048  # the SDK's own default, by OTEL_BSP_MAX_QUEUE_SIZE
CLOSE_S = 3.0
SPANS = Counter("trace_spans", "Spans that were sampled, by what became of them: sent, failed, dropped", ["outcome"])
Attributes = Mapping[str, str | int | bool | float]


class Spans:
    """The spans of one process. Any thread may begin and end some."""

    def __init__(self, component: str) -> None:
        resource = {SERVICE_NAMESPACE: "gatehouse"} | (
            {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: component}
        )
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource.create(resource), id_generator=self._ids, shutdown_on_exit=False
        )
        self._sending = _Sending(OTLPSpanExporter())
        self._processor = BatchSpanProcessor(self._sending)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("gatehouse")

    def begin(self, parent: str | None) -> str:
        """The traceparent of a new span below `parent`: with the sampler's word on a new trace, or its parent's."""
        found = TRACEPARENT.match(parent or "")
        trace_id = int(found[1], 16) if found else randbits(128) or 1
        decision = self._provider.sampler.should_sample(_context(parent), trace_id, "", SERVER).decision
        return f"00-{trace_id:032x}-{randbits(64) or 1:016x}-{int(decision is Decision.RECORD_AND_SAMPLE):02x}"

    def end(
        self,
        own: str,
        parent: str | None,
        kind: SpanKind,
        name: str,
        seconds: float,
        attributes: Attributes,
        *,
        is_error: bool = False,
    ) -> None:
        """The span that `begin` named is over now, and has taken `seconds`."""
        _, trace_id, span_id, flags = own.split("-")
        if not int(flags, 16) & TraceFlags.SAMPLED:
            return
        if not self._sending.takes_one():
            SPANS.labels("dropped").inc()
            return
        now = time.time_ns()
        self._ids.next(int(trace_id, 16), int(span_id, 16))
        span = self._tracer.start_span(
            name, _context(parent), kind, dict(attributes), start_time=now - int(seconds * 1e9)
        )
        if is_error:
            span.set_status(Status(StatusCode.ERROR))
        span.end(now)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Send what waits, for at most this long."""
        flushing = threading.Thread(target=self._processor.shutdown, name="last-spans", daemon=True)
        flushing.start()
        flushing.join(timeout_s)
        if flushing.is_alive():
            self._sending.shutdown()  # ends its waiting for another try


def _context(parent: str | None) -> Context:
    found = TRACEPARENT.match(parent or "")
    if found is None:
        return Context()
    flags = TraceFlags(int(found[3], 16))
    span_context = SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(span_context), Context())


class _Ids(IdGenerator):
    """Spans get the ids they were promised."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def next(self, trace_id: int, span_id: int) -> None:
        self._of_thread.pair = trace_id, span_id

    def generate_trace_id(self) -> int:
        trace_id: int = self._of_thread.pair[0]
        return trace_id

    def generate_span_id(self) -> int:
        span_id: int = self._of_thread.pair[1]
        return span_id


class _Sending(SpanExporter):
    """Counts what waits and what became of it, around the exporter."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._most = int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or MOST_WAITING)
        self._waiting = 0
        self._lock = threading.Lock()

    def takes_one(self) -> bool:
        with self._lock:
            if self._waiting >= self._most:
                return False
            self._waiting += 1
            return True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            with self._lock:
                self._waiting -= len(spans)
            SPANS.labels("sent" if result is SpanExportResult.SUCCESS else "failed").inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
