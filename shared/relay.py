"""The relay: brings what an outbox holds to the broker. Which store holds it does not matter here."""

import logging
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from prometheus_client import Counter, Gauge

from shared import topology, trace
from shared.contracts import Envelope
from shared.errors import Unavailable
from shared.held import Held
from shared.publisher import Message, Publisher
from shared.readers import Readers

log = logging.getLogger(__name__)

BATCH = 200
RELEASE = 1000
LOOK_S = 1.0
POLL_S = 30.0
TICK_S = 0.5
RELAYED = Counter("outbox_relayed", "Events brought to the broker")
UNREAD = Gauge("outbox_unread", "Events kept until every reader has a queue for them", ["type"])
LAG = Gauge("outbox_lag_seconds", "Age of the oldest event that is not at the broker yet", multiprocess_mode="max")


class Source(Protocol):
    """A store that holds an outbox."""

    def batch(self, limit: int) -> AbstractContextManager[Held]:
        """The oldest events; forgotten when the block ends well, kept when it raises."""

    def unread(self) -> Mapping[str, int]:
        """How many events of each type are kept aside."""

    def release(self, event_types: Collection[str], limit: int) -> int:
        """Put the oldest events of these types that are kept aside back among the others; how many."""

    def wait(self, timeout_s: float) -> bool:
        """True as soon as something may have been added; False after `timeout_s`."""

    def lag_s(self) -> float:
        """Age of the oldest event, seconds; 0 without any."""


class Relay:
    """Moves events from an outbox to the broker, in order, until it is told to stop.

    An event goes at once to every queue that is there. If a reader's queue is not, it is also kept aside and goes again
    when all have theirs: those who had it know it by its id. So no reader waits for another one to be deployed, and
    none misses what was said before it came. `absent_services` are those that never will be.
    """

    def __init__(self, source: Source, amqp_url: str, absent_services: Collection[str] = ()) -> None:
        self._source = source
        self._publisher = Publisher(amqp_url)
        self._readers = Readers(amqp_url, absent_services)
        self._known: set[str] = set()  # types that were kept aside at some time
        self._pause_s, self._next_look = LOOK_S, 0.0

    def run(self, stop: threading.Event) -> None:
        """Loop until `stop`; while the store or the broker is down it waits, and nothing is lost."""
        pause_s = 0.1
        while not stop.is_set():
            try:
                while not stop.is_set() and (self.relay_batch() or self._look_aside()):
                    pass
                self._measure()
                pause_s = 0.1
            except Unavailable as error:
                log.warning("the outbox waits: %s", error.detail)
                self._measure()
                stop.wait(pause_s)
                pause_s = min(pause_s * 2, 5.0)
                continue
            self._wait(stop)
        self.close()

    def close(self) -> None:
        self._publisher.close()

    def _measure(self) -> None:
        """Above all while the broker is down: then the lag is what an alert looks at."""
        with suppress(Unavailable):
            LAG.set(self._source.lag_s())

    def _wait(self, stop: threading.Event) -> None:
        """Until something is added. The poll is only for the announcement that went astray."""
        deadline = min(time.monotonic() + POLL_S, self._next_look)
        while not stop.is_set() and time.monotonic() < deadline and not self._source.wait(TICK_S):
            pass

    def relay_batch(self, limit: int = BATCH) -> int:
        """Bring one batch to the broker; the number of events. Raise Unavailable, with every event kept."""
        with self._source.batch(limit) as held:
            waiting = self._readers.missing({envelope.type for envelope in held})
            started, sent = time.perf_counter(), [_begin_span(envelope) for envelope in held]
            returned = self._publisher.publish([self._message(envelope) for envelope in sent])
            _end_spans(held, sent, time.perf_counter() - started)
            held.unread += [one for one in held if one.type in waiting or str(one.id) in returned]
        if held.unread:
            self._next_look = min(self._next_look, time.monotonic() + self._pause_s)
        RELAYED.inc(len(held) - len(held.unread))
        return len(held)

    def _message(self, envelope: Envelope) -> Message:
        return Message.of(envelope, is_mandatory=self._readers.exist(envelope.type))

    def _look_aside(self) -> int:
        """Put back what is kept aside once its readers have queues; how many. While they have not, look less often."""
        if time.monotonic() < self._next_look:
            return 0
        counts = self._source.unread()
        for event_type in counts.keys() | self._known:
            UNREAD.labels(event_type).set(counts.get(event_type, 0))
        self._known |= counts.keys()
        ready = counts.keys() - self._readers.missing(counts)
        released = self._source.release(ready, RELEASE) if ready else 0
        if released < RELEASE:  # else there is more to put back at once
            self._pause_s = min(self._pause_s * 2, POLL_S) if counts else LOOK_S
            self._next_look = time.monotonic() + (self._pause_s if counts else POLL_S)
        return released


def _begin_span(envelope: Envelope) -> Envelope:
    """The event as it goes out: below the span of its sending, where spans are sent."""
    if trace.spans is None:
        return envelope
    return envelope.model_copy(update={"traceparent": trace.begin(envelope.traceparent)})


def _end_spans(held: Held, sent: list[Envelope], seconds: float) -> None:
    if trace.spans is None:
        return
    from shared.spans import PRODUCER

    for before, after in zip(held, sent, strict=True):
        about = {**topology.span_attributes(after), "messaging.operation.name": "publish"}
        about["messaging.operation.type"] = "send"
        if after.traceparent is not None:
            trace.spans.end(after.traceparent, before.traceparent, PRODUCER, f"publish {after.type}", seconds, about)
