"""One channel's sender: takes queued deliveries in batches, claims them, sends, stores what became of each.

    queue ids → claim (a transaction) → provider (no transaction open) → outcomes (a transaction) → delay queues → ack

A death anywhere leaves the broker's message unacknowledged and the row claimed: it comes again when the lease is over,
and goes out under the same id. Waiting is the broker's business: what is to be tried later goes to a delay queue.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError
from pydantic import ValidationError

from services.notify import retries, store
from services.notify.contracts import QUEUED
from services.notify.metrics import DELIVERIES, LATENCY, SENDING
from services.notify.providers import Outcome, Provider, Result
from services.notify.store import Claimed
from shared import outbox, topology
from shared.contracts import DeviceUnregistered, Envelope
from shared.errors import Unavailable
from shared.postgres import Connection, Database
from shared.publisher import Message, Publisher

log = logging.getLogger(__name__)
Item = TypeVar("Item")

TICK_S = 0.5
HEARTBEAT_S = 60  # longer than MAX_SENDING_S: the connection is not served meanwhile
STOP_WITHIN_S = 15.0
LEASE_SHARE = 0.75  # nothing is sent in the last quarter of a claim: the outcome is to be stored while it holds
MAX_SENDING_S = 45.0


@dataclass(frozen=True)
class Taken:
    """A message of the queue: its tag and the deliveries it names."""

    tag: int
    ids: list[UUID]


class Sender(Generic[Item]):
    """`build` makes what the provider sends of a claimed row, or says at once what becomes of it."""

    def __init__(
        self,
        channel: str,
        provider: Provider[Item],
        build: Callable[[Claimed], Item | Result],
        *,
        db: Database,
        amqp_url: str,
        policy: retries.Policy,
        batch: int,
        lease_s: float,
    ) -> None:
        self.channel, self.queue = channel, topology.queue_name("notify", QUEUED[channel].type)
        self._provider, self._build = provider, build
        self._db, self._publisher, self._policy = db, Publisher(amqp_url), policy
        self._batch, self._lease_s = batch, lease_s
        self._parameters = pika.URLParameters(amqp_url)
        self._parameters.heartbeat = HEARTBEAT_S
        self._parameters.socket_timeout = 5

    def run(self, stop: threading.Event) -> None:
        """Send until `stop`; connect again whenever the broker is lost."""
        pause_s = 0.2
        while not stop.is_set():
            try:
                self._consume(stop)
                pause_s = 0.2
            except (AMQPError, OSError, Unavailable) as error:
                log.warning("%s waits for the broker: %s", self.queue, type(error).__name__)
                stop.wait(pause_s)
                pause_s = min(pause_s * 2, 5.0)
        self._publisher.close()
        self._provider.close()

    def declare(self) -> None:
        """Create the queue before anyone publishes to it. Raise Unavailable."""
        try:
            connection = pika.BlockingConnection(self._parameters)
        except AMQPError as error:
            raise Unavailable("The message broker does not answer.") from error
        self._declare(connection.channel())
        connection.close()

    def _declare(self, channel: BlockingChannel) -> None:
        topology.declare(channel, "notify", [QUEUED[self.channel].type], retries.DELAYS_S)

    def _consume(self, stop: threading.Event) -> None:
        connection = pika.BlockingConnection(self._parameters)
        try:
            channel = connection.channel()
            self._declare(channel)
            channel.basic_qos(prefetch_count=self._batch)
            inbox: deque[Taken] = deque()
            channel.basic_consume(self.queue, lambda c, m, p, b: self._receive(c, m, b, inbox))
            while not stop.is_set():
                connection.process_data_events(time_limit=0 if inbox else TICK_S)
                if inbox:
                    batch = self._take(inbox)
                    self._handle(connection, [delivery_id for taken in batch for delivery_id in taken.ids], stop)
                    channel.basic_ack(batch[-1].tag, multiple=True)
        finally:
            if connection.is_open:
                connection.close()

    def _receive(
        self, channel: BlockingChannel, method: pika.spec.Basic.Deliver, body: bytes, inbox: deque[Taken]
    ) -> None:
        try:
            event = QUEUED[self.channel].model_validate(Envelope.model_validate_json(body).data)
        except ValidationError:
            log.exception("%s: not a list of deliveries", self.queue)
            channel.basic_reject(method.delivery_tag, requeue=False)
            return
        inbox.append(Taken(method.delivery_tag, event.delivery_ids))

    def _take(self, inbox: deque[Taken]) -> list[Taken]:
        batch = [inbox.popleft()]
        size = len(batch[0].ids)
        while inbox and size + len(inbox[0].ids) <= self._batch:
            batch.append(inbox.popleft())
            size += len(batch[-1].ids)
        return batch

    def _handle(self, connection: pika.BlockingConnection, ids: Sequence[UUID], stop: threading.Event) -> None:
        until, claimed = self._persist(connection, stop, lambda conn: self._claim(conn, ids))
        results = self._send(claimed, until)
        verdicts = [
            retries.judge(delivery, result, self._policy) for delivery, result in zip(claimed, results, strict=True)
        ]
        self._persist(connection, stop, lambda conn: self._store(conn, claimed, results, verdicts))
        waiting = self._persist(connection, stop, lambda conn: store.list_waiting(conn, ids))
        self._publisher.publish(list(self._delayed(waiting)))
        self._count(claimed, results)

    def _claim(self, conn: Connection, ids: Sequence[UUID]) -> tuple[float, list[Claimed]]:
        """What is in hand, and until when (time.monotonic) it may be sent: well before another can claim it."""
        until = time.monotonic() + min(self._lease_s * LEASE_SHARE, MAX_SENDING_S)
        return until, store.claim_deliveries(conn, ids, lease_s=self._lease_s)

    def _persist(
        self, connection: pika.BlockingConnection, stop: threading.Event, step: Callable[[Connection], Any]
    ) -> Any:
        """One transaction, again and again while the database is down: what is in hand is neither lost nor re-sent."""
        pause_s, stopping_since = 0.2, None
        while True:
            try:
                with self._db.transaction() as conn:
                    return step(conn)
            except Unavailable as error:
                log.warning("%s waits: %s", self.queue, error.detail)
                if stop.is_set():
                    stopping_since = stopping_since or time.monotonic()
                    if time.monotonic() - stopping_since > STOP_WITHIN_S:
                        raise
            try:
                connection.sleep(pause_s)  # keeps the heartbeat, which time.sleep would not
            except (AMQPError, OSError):
                time.sleep(pause_s)  # the broker is down too
            pause_s = min(pause_s * 2, 2.0)

    def _send(self, claimed: Sequence[Claimed], until: float) -> list[Result]:
        built = [retries.refuse_early(delivery, self._policy) or self._made(delivery) for delivery in claimed]
        items = [item for item in built if not isinstance(item, Result)]
        answers: Sequence[Result] = ()
        if items:
            with SENDING.labels(self.channel).time():
                answers = self._answers(items, until)
        sent = iter(answers)
        return [item if isinstance(item, Result) else next(sent) for item in built]

    def _made(self, delivery: Claimed) -> Item | Result:
        """A row that breaks our code must not take the sender, and with it the rows beside it, down again and again."""
        try:
            return self._build(delivery)
        except Exception as error:
            log.exception("%s: a delivery cannot be built", self.queue)
            return Result(Outcome.BAD_REQUEST, type(error).__name__)

    def _answers(self, items: Sequence[Item], until: float) -> Sequence[Result]:
        try:
            return self._provider.send(items, until=until)
        except Exception as error:
            log.exception("%s: the provider broke", self.queue)
            return [Result(Outcome.AMBIGUOUS, type(error).__name__)] * len(items)

    def _store(
        self,
        conn: Connection,
        claimed: Sequence[Claimed],
        results: Sequence[Result],
        verdicts: Sequence[dict[str, Any]],
    ) -> None:
        stored = store.store_outcomes(conn, verdicts)
        for delivery, result in zip(claimed, results, strict=True):
            if result.outcome is Outcome.UNREGISTERED and delivery.device_id and delivery.token:
                gone_at = result.gone_at or delivery.claimed_at
                self._forget_device(conn, delivery.device_id, delivery.token, gone_at)
        store.finish_messages(conn, sorted({row.message_id for row in stored}))

    def _forget_device(self, conn: Connection, device_id: UUID, token: str, gone_at: datetime) -> None:
        device = store.delete_gone_device(conn, device_id, token, gone_at)
        if device:
            event = DeviceUnregistered(
                device_id=device.id,
                user_id=device.user_id,
                session_id=device.session_id,
                unregistered_at=gone_at,
            )
            outbox.add(conn, event)

    def _delayed(self, waiting: Sequence[store.Waiting]) -> Iterable[Message]:
        """Messages to the delay queues, for deliveries whose time has not come."""
        by_delay: dict[int, list[UUID]] = {}
        for row in waiting:
            by_delay.setdefault(retries.delay_for(row.wait_s), []).append(row.id)
        for delay_s, ids in by_delay.items():
            envelope = Envelope.of(QUEUED[self.channel](channel=self.channel, delivery_ids=ids))
            body = envelope.model_dump_json().encode()
            yield Message(self.queue, body, str(envelope.id), exchange=topology.delay("notify", delay_s))

    def _count(self, claimed: Sequence[Claimed], results: Sequence[Result]) -> None:
        now = time.time()
        for delivery, result in zip(claimed, results, strict=True):
            if result.outcome is Outcome.ACCEPTED:
                LATENCY.labels(self.channel).observe(max(now - delivery.created_at.timestamp(), 0))
        outcomes = Counter(result.outcome.value for result in results)
        for outcome, count in outcomes.items():
            DELIVERIES.labels(self.channel, outcome).inc(count)
        if outcomes:
            log.info("sent", extra={"channel": self.channel, "outcomes": dict(outcomes)})
