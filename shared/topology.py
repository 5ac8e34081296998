"""Names and arguments of everything a service has at the broker: derived from service and event type, never typed.

    gatehouse.events ──user.registered──▶ notify.user.registered ──▶ handler
    handler failed   ──▶ notify.delay.5s ──after 5 s──▶ notify.retry ──▶ notify.user.registered
    failed for good  ──▶ notify.dead     ──`make dlq`──▶ notify.retry ──▶ notify.user.registered

`notify.delay.5s` and `notify.dead` are an exchange and its queue. All but `gatehouse.events` bears the service's name,
so that a service needs no right on anything another one reads: not even on the default exchange, which reaches every
queue.
Arguments of a queue cannot change once it exists: a new argument needs a new name.
"""

from collections.abc import Iterable
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel

from shared.contracts import EXCHANGE, Envelope

DELAYS_S = (1, 5, 30, 120)
DELIVERY_LIMIT = 20  # deliveries that ended with the consumer's death: beyond it the event itself is the killer
_QUORUM = {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


def queue_name(service: str, event_type: str) -> str:
    return f"{service}.{event_type}"


def dead_letters(service: str) -> str:
    """The exchange, and its queue, of what failed for good; the routing key is the queue it came from."""
    return f"{service}.dead"


def delay(service: str, delay_s: int) -> str:
    """The exchange, and its queue, of what is to be tried again after `delay_s`; the routing key is its queue."""
    return f"{service}.delay.{delay_s}s"


def retry(service: str) -> str:
    """The exchange that brings a message back to the queue that its routing key names."""
    return f"{service}.retry"


def span_attributes(envelope: Envelope) -> dict[str, str]:
    """What a span about an event says of it (OpenTelemetry's conventions for messaging, RabbitMQ)."""
    return {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": EXCHANGE,
        "messaging.rabbitmq.destination.routing_key": envelope.type,
        "messaging.message.id": str(envelope.id),
    }


def declare(
    channel: BlockingChannel, service: str, event_types: Iterable[str], delays_s: Iterable[int] = DELAYS_S
) -> None:
    """Declare a consuming service's queues and bindings; harmless when they exist."""
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    channel.exchange_declare(retry(service), "direct", durable=True)
    # A dead letter is listed by taking and returning it, and each return counts as a delivery: no limit may end that.
    _with_exchange(channel, dead_letters(service), {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000})
    for delay_s in delays_s:
        arguments = {**_QUORUM, "x-dead-letter-exchange": retry(service), "x-message-ttl": delay_s * 1000}
        _with_exchange(channel, delay(service, delay_s), arguments)
    for event_type in event_types:
        name = queue_name(service, event_type)
        killers = {"x-dead-letter-exchange": dead_letters(service), "x-dead-letter-routing-key": name}
        arguments = {**_QUORUM, **killers, "x-delivery-limit": DELIVERY_LIMIT}
        channel.queue_declare(name, durable=True, arguments=arguments)
        channel.queue_bind(name, EXCHANGE, event_type)
        channel.queue_bind(name, retry(service), name)


def _with_exchange(channel: BlockingChannel, name: str, arguments: dict[str, Any]) -> None:
    """A queue and the exchange of its name, which hands it everything with the routing key untouched."""
    channel.exchange_declare(name, "fanout", durable=True)
    channel.queue_declare(name, durable=True, arguments=arguments)
    channel.queue_bind(name, name)
