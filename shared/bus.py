"""Consuming events: at least once from the broker, once in effect.

    consumer = Consumer("notify", settings.amqp_url.get_secret_value(), PostgresInbox(db))

    @consumer.on(UserRegistered)
    def add_contact(conn: Connection, event: UserRegistered) -> None: ...

What happens to an event, all of it visible in `_handle`:
    handled, or had before      → acknowledged
    a dependency is down        → kept in hand and tried again here; the broker counts no delivery
    the handler failed          → to the next delay queue; after the last one to the dead-letter queue, with the error
    not an event we understand  → to the dead-letter queue
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError
from prometheus_client import Counter, Gauge, Histogram
from pydantic import ValidationError

from shared import logs, topology, trace
from shared.contracts import Envelope, Event
from shared.errors import Unavailable

if TYPE_CHECKING:  # its PostgreSQL half needs psycopg2, which a service on another store does not ship
    from shared.inbox import Inbox

log = logging.getLogger(__name__)
E = TypeVar("E", bound=Event)
Handler = Callable[[Any, Any], None]

PREFETCH = 20
TICK_S = 0.5
HANDLED = Counter("events_handled", "Events by what became of them", ["type", "outcome"])
EFFECT = Histogram(
    "event_effect_seconds",
    "From the moment an event was decided until its effect was committed here",
    ["type"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600),
)
CONNECTED = Gauge("events_consumer_connected", "1 while the consumer is connected to the broker")


class Consumer:
    """The queues of one service and the handlers behind them. `run` may go in several threads."""

    def __init__(
        self, service: str, amqp_url: str, inbox: "Inbox", *, delays_s: Sequence[int] = topology.DELAYS_S
    ) -> None:
        self.service, self.delays_s = service, tuple(delays_s)
        self._inbox = inbox
        self._parameters = pika.URLParameters(amqp_url)
        self._parameters.heartbeat = 20
        self._parameters.socket_timeout = 5
        self._handlers: dict[str, tuple[type[Event], Handler]] = {}
        self._is_declared = threading.Event()

    def on(self, event_class: type[E]) -> Callable[[Callable[[Any, E], None]], Callable[[Any, E], None]]:
        """Register the handler of an event; it gets the store's open transaction and the event."""

        def register(handler: Callable[[Any, E], None]) -> Callable[[Any, E], None]:
            if event_class.type in self._handlers:
                raise TypeError(f"{event_class.type} has a handler already")
            self._handlers[event_class.type] = (event_class, handler)
            return handler

        return register

    @property
    def queues(self) -> list[str]:
        return [topology.queue_name(self.service, event_type) for event_type in self._handlers]

    def declare(self) -> None:
        """Create queues and bindings. Raise Unavailable when the broker does not answer."""
        try:
            connection = pika.BlockingConnection(self._parameters)
        except (AMQPError, OSError) as error:
            raise Unavailable("The message broker does not answer.") from error
        try:
            self._declare(connection.channel())
        finally:
            if connection.is_open:
                connection.close()

    def check_declared(self) -> None:
        """Raise Unavailable until the queues have been declared: until then others keep what they publish to us."""
        if not self._is_declared.is_set():
            raise Unavailable("The queues are not declared yet.")

    def _declare(self, channel: BlockingChannel) -> None:
        topology.declare(channel, self.service, self._handlers, self.delays_s)
        self._is_declared.set()

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop`; connect again whenever the connection is lost."""
        pause_s = 0.2
        while not stop.is_set():
            try:
                self._consume(stop)
                pause_s = 0.2
            except (AMQPError, OSError) as error:
                CONNECTED.set(0)
                log.warning("no connection to the broker: %s", type(error).__name__)
                stop.wait(pause_s)
                pause_s = min(pause_s * 2, 5.0)

    def _consume(self, stop: threading.Event) -> None:
        connection = pika.BlockingConnection(self._parameters)
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            self._declare(channel)
            channel.basic_qos(prefetch_count=PREFETCH)
            for queue in self.queues:
                channel.basic_consume(queue, lambda c, m, p, b, q=queue: self._receive(c, q, m, p, b, stop))
            CONNECTED.set(1)
            while not stop.is_set():
                connection.process_data_events(time_limit=TICK_S)
        finally:
            CONNECTED.set(0)
            if connection.is_open:
                connection.close()

    def _receive(
        self,
        channel: BlockingChannel,
        queue: str,
        method: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
        stop: threading.Event,
    ) -> None:
        event_type = queue.removeprefix(f"{self.service}.")
        pause_s = 0.2
        while not stop.is_set():
            try:
                outcome = self._handle(channel, queue, event_type, properties, body)
            except Unavailable as error:
                log.warning("%s waits: %s", queue, error.detail)
                HANDLED.labels(event_type, "paused").inc()
                channel.connection.sleep(pause_s)  # keeps the heartbeat, which time.sleep would not
                pause_s = min(pause_s * 2, 5.0)
                continue
            channel.basic_ack(method.delivery_tag)
            HANDLED.labels(event_type, outcome).inc()
            return

    def _handle(
        self, channel: BlockingChannel, queue: str, event_type: str, properties: pika.BasicProperties, body: bytes
    ) -> str:
        event_class, handler = self._handlers[event_type]
        try:
            envelope = Envelope.model_validate_json(body)
            event = event_class.model_validate(envelope.data)
        except ValidationError as error:
            self._bury(channel, queue, properties, body, error)
            return "malformed"
        trace.traceparent.set(own := trace.begin(envelope.traceparent))
        started = time.perf_counter()
        try:
            is_new = self._inbox.once(envelope.id, lambda conn: handler(conn, event))
        except Unavailable:
            raise
        except Exception as error:
            _end_span(own, envelope, queue, time.perf_counter() - started, type(error).__name__)
            return self._retry_or_bury(channel, queue, properties, body, error)
        _end_span(own, envelope, queue, time.perf_counter() - started)
        EFFECT.labels(event_type).observe(max(time.time() - envelope.time.timestamp(), 0))
        log.info("event", extra={"type": event_type, "event_id": envelope.id, "duplicate": not is_new})
        return "handled" if is_new else "duplicate"

    def _retry_or_bury(
        self,
        channel: BlockingChannel,
        queue: str,
        properties: pika.BasicProperties,
        body: bytes,
        error: Exception,
    ) -> str:
        attempt = int((properties.headers or {}).get("x-attempt", 0))
        if attempt >= len(self.delays_s):
            self._bury(channel, queue, properties, body, error)
            return "dead"
        delay_s = self.delays_s[attempt]
        log.warning("%s failed, again in %s s", queue, delay_s, exc_info=error)
        again = pika.BasicProperties(
            delivery_mode=2,
            content_type=properties.content_type,
            message_id=properties.message_id,
            headers={"x-attempt": attempt + 1},
        )
        channel.basic_publish(topology.delay(self.service, delay_s), queue, body, again, mandatory=True)
        return "retried"

    def _bury(
        self, channel: BlockingChannel, queue: str, properties: pika.BasicProperties, body: bytes, error: Exception
    ) -> None:
        log.error("%s: to the dead-letter queue", queue, exc_info=error)
        reason = "".join(traceback.format_exception(error))[-4000:]
        dead = pika.BasicProperties(
            delivery_mode=2,
            content_type=properties.content_type,
            message_id=properties.message_id,
            headers={
                "x-error": logs.redact(f"{type(error).__name__}: {error}")[:500],
                "x-traceback": logs.redact(reason),
                "x-failed-at": datetime.now(UTC).isoformat(),
                "x-attempts": int((properties.headers or {}).get("x-attempt", 0)) + 1,
            },
        )
        channel.basic_publish(topology.dead_letters(self.service), queue, body, dead, mandatory=True)


def _end_span(own: str, envelope: Envelope, queue: str, seconds: float, error: str | None = None) -> None:
    if trace.spans is None:
        return
    from shared.spans import CONSUMER

    about = {**topology.span_attributes(envelope), "messaging.operation.name": "process"}
    about |= {"messaging.operation.type": "process", "messaging.destination.subscription.name": queue}
    if error is not None:
        about["error.type"] = error
    trace.spans.end(own, envelope.traceparent, CONSUMER, f"process {queue}", seconds, about, is_error=error is not None)
