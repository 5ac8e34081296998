"""Who reads an event, and whether the queue it is to wait in is there yet: services are deployed in any order."""

import logging
import time
from collections.abc import Collection, Iterable

import pika
from pika.adapters.blocking_connection import BlockingConnection
from pika.exceptions import AMQPError, ChannelClosedByBroker

from shared.contracts import READERS
from shared.errors import Unavailable
from shared.topology import queue_name

log = logging.getLogger(__name__)

LOOK_S, LONGEST_LOOK_S = 1.0, 30.0  # between two looks for a queue that is missing


class Readers:
    """Looks for the queues at the broker; one that was seen is taken for granted, one that is missing is asked again.

    Seeing whether a queue is there needs no right on it.
    """

    def __init__(self, amqp_url: str, absent_services: Collection[str] = ()) -> None:
        self._parameters = pika.URLParameters(amqp_url)
        self._parameters.socket_timeout = self._parameters.stack_timeout = 3
        self._absent = frozenset(absent_services)
        self._looked_for: set[str] = set()
        self._missing: set[str] = set()  # at the last look
        self._seen: set[str] = set()
        self._pause_s, self._next_look = LOOK_S, 0.0

    def exist(self, event_type: str) -> bool:
        """Whether anybody is meant to read it. A type that is in nobody's contract is for its own service."""
        return event_type not in READERS or bool(self._queues(event_type))

    def missing(self, event_types: Iterable[str]) -> set[str]:
        """The types for which a reader's queue is not there. Raise Unavailable when the broker does not say."""
        wanted = {event_type: self._queues(event_type) for event_type in event_types}
        unseen = {queue for queues in wanted.values() for queue in queues} - self._seen
        if unseen and (unseen - self._looked_for or time.monotonic() >= self._next_look):
            self._look(unseen)
        return {event_type for event_type, queues in wanted.items() if not self._seen.issuperset(queues)}

    def _queues(self, event_type: str) -> list[str]:
        services = READERS.get(event_type, ())
        return [queue_name(service, event_type) for service in services if service not in self._absent]

    def _look(self, queues: set[str]) -> None:
        try:
            with BlockingConnection(self._parameters) as connection:
                there = {queue for queue in queues if _is_there(connection, queue)}
        except (AMQPError, OSError) as error:
            raise Unavailable("The message broker does not answer.") from error
        for queue in queues - there - self._missing:
            log.warning("events wait until their reader has a queue", extra={"queue": queue})
        have_appeared = there & self._missing  # perhaps not bound yet: they count from the next look on
        self._seen |= there - have_appeared
        self._missing = (self._missing | queues) - there
        self._looked_for |= queues
        self._pause_s = min(self._pause_s * 2, LONGEST_LOOK_S) if self._missing and not have_appeared else LOOK_S
        self._next_look = time.monotonic() + self._pause_s


def _is_there(connection: BlockingConnection, queue: str) -> bool:
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except ChannelClosedByBroker:
        return False
    channel.close()
    return True
