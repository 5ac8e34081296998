"""The relay: brings what an outbox holds to the broker. Which store holds it does not matter here."""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from prometheus_client import Counter, Gauge

from shared.contracts import Envelope
from shared.errors import Unavailable
from shared.publisher import Message, Publisher

log = logging.getLogger(__name__)

BATCH = 200
POLL_S = 30.0
TICK_S = 0.5
RELAYED = Counter("outbox_relayed", "Events brought to the broker")
LAG = Gauge("outbox_lag_seconds", "Age of the oldest event that is not at the broker yet", multiprocess_mode="max")


class Source(Protocol):
    """A store that holds an outbox."""

    def batch(self, limit: int) -> AbstractContextManager[Sequence[Envelope]]:
        """The oldest events; forgotten when the block ends well, kept when it raises."""

    def wait(self, timeout_s: float) -> bool:
        """True as soon as something may have been added; False after `timeout_s`."""

    def lag_s(self) -> float:
        """Age of the oldest event, seconds; 0 without any."""


class Relay:
    """Moves events from an outbox to the broker, in order, until it is told to stop."""

    def __init__(self, source: Source, publisher: Publisher) -> None:
        self._source, self._publisher = source, publisher

    def run(self, stop: threading.Event) -> None:
        """Loop until `stop`; while the store or the broker is down it waits, and nothing is lost."""
        pause_s = 0.1
        while not stop.is_set():
            try:
                while not stop.is_set() and self.relay_batch():
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
        self._publisher.close()

    def _measure(self) -> None:
        """Above all while the broker is down: then the lag is what an alert looks at."""
        with suppress(Unavailable):
            LAG.set(self._source.lag_s())

    def _wait(self, stop: threading.Event) -> None:
        """Until something is added. The poll is only for the announcement that went astray."""
        deadline = time.monotonic() + POLL_S
        while not stop.is_set() and time.monotonic() < deadline and not self._source.wait(TICK_S):
            pass

    def relay_batch(self, limit: int = BATCH) -> int:
        """Bring one batch to the broker; the number of events. Raise Unavailable, with every event kept."""
        with self._source.batch(limit) as envelopes:
            self._publisher.publish([Message.of(envelope) for envelope in envelopes])
        RELAYED.inc(len(envelopes))
        return len(envelopes)
