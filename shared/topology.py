"""Names and arguments of everything a service has at the broker: derived from service and event type, never typed.

    gatehouse.events ──user.registered──▶ notify.user.registered ──▶ handler
    handler failed   ──▶ gatehouse.delay.5s  ──▶ notify.delay.5s ──after 5 s──▶ notify.user.registered
    failed for good  ──▶ gatehouse.dead      ──▶ notify.dead     ──`make dlq`──▶ notify.user.registered

Arguments of a queue cannot change once it exists: a new argument needs a new name.
"""

from collections.abc import Iterable
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel

from shared.contracts import EXCHANGE

DEAD = "gatehouse.dead"
DELAYS_S = (1, 5, 30, 120)
DELIVERY_LIMIT = 20  # deliveries that ended with the consumer's death: beyond it the event itself is the killer
_QUORUM = {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


def queue_name(service: str, event_type: str) -> str:
    return f"{service}.{event_type}"


def dead_queue(service: str) -> str:
    return f"{service}.dead"


def delay_exchange(delay_s: int) -> str:
    return f"gatehouse.delay.{delay_s}s"


def declare_exchanges(channel: BlockingChannel) -> None:
    """Declare what publishers need; harmless when it exists."""
    for exchange in (EXCHANGE, DEAD):
        channel.exchange_declare(exchange, "topic", durable=True)


def declare(
    channel: BlockingChannel, service: str, event_types: Iterable[str], delays_s: Iterable[int] = DELAYS_S
) -> None:
    """Declare a consuming service's queues and bindings; harmless when they exist."""
    declare_exchanges(channel)
    # A dead letter is listed by taking and returning it, and each return counts as a delivery: no limit may end that.
    channel.queue_declare(
        dead_queue(service), durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
    )
    channel.queue_bind(dead_queue(service), DEAD, f"{service}.#")
    for delay_s in delays_s:
        _declare_delay(channel, service, delay_s)
    for event_type in event_types:
        name = queue_name(service, event_type)
        dead_letters = {"x-dead-letter-exchange": DEAD, "x-dead-letter-routing-key": name}
        _queue(channel, name, {**_QUORUM, **dead_letters, "x-delivery-limit": DELIVERY_LIMIT})
        channel.queue_bind(name, EXCHANGE, event_type)


def _declare_delay(channel: BlockingChannel, service: str, delay_s: int) -> None:
    """A message keeps its routing key, the name of its queue, so that the default exchange brings it back there."""
    name = f"{service}.delay.{delay_s}s"
    channel.exchange_declare(delay_exchange(delay_s), "topic", durable=True)
    _queue(channel, name, {**_QUORUM, "x-dead-letter-exchange": "", "x-message-ttl": delay_s * 1000})
    channel.queue_bind(name, delay_exchange(delay_s), f"{service}.#")


def _queue(channel: BlockingChannel, name: str, arguments: dict[str, Any]) -> None:
    channel.queue_declare(name, durable=True, arguments=arguments)
