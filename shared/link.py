"""One connection of a publisher to the broker, from its opening to its end, and what is still unconfirmed on it.

What belongs to a connection lives and ends with it: its successor may be open while it still closes.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pika
from pika.channel import Channel
from pika.exceptions import AMQPError
from pika.frame import Method
from pika.spec import Basic

from shared.contracts import EXCHANGE, Envelope
from shared.errors import Unavailable

log = logging.getLogger(__name__)

LOST = "The connection to the message broker was lost."


@dataclass(frozen=True)
class Message:
    """One AMQP message; persistent, JSON. A mandatory one that no queue takes is handed back."""

    routing_key: str
    body: bytes
    message_id: str
    exchange: str = EXCHANGE
    headers: dict[str, Any] = field(default_factory=dict)
    is_mandatory: bool = False

    @classmethod
    def of(cls, envelope: Envelope, *, is_mandatory: bool = False) -> "Message":
        body = envelope.model_dump_json().encode()
        return cls(envelope.type, body, str(envelope.id), is_mandatory=is_mandatory)

    def properties(self) -> pika.BasicProperties:
        return pika.BasicProperties(
            delivery_mode=2,
            content_type="application/cloudevents+json",
            message_id=self.message_id,
            headers=self.headers or None,
        )


class Batch:
    """Messages on their way; `done` when the broker has answered for each, with the ids of those no queue took."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self.done: Future[set[str]] = Future()
        self.unconfirmed: set[int] = set()
        self.returned: set[str] = set()

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Link:
    """`run` it in a thread of its own. Other threads may only `send`, `close` and look at `is_open`."""

    def __init__(self, parameters: pika.URLParameters, on_open: Callable[[], None]) -> None:
        self.is_open = False
        self._on_open = on_open
        self._lock = threading.Lock()
        self._is_over = False
        self._is_closing = False
        self._batches: list[Batch] = []
        self._channel: Channel | None = None
        self._next_tag = 1
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._channel_opened),
            on_open_error_callback=self._ended,
            on_close_callback=self._ended,
        )

    def run(self) -> None:
        """Return when the connection is lost or closed; what was unconfirmed by then has failed."""
        self._connection.ioloop.start()
        with self._lock:
            self._is_over, self.is_open = True, False
            self._connection.ioloop.close()
        for batch in self._batches:
            batch.fail(Unavailable(LOST))

    def send(self, batch: Batch) -> None:
        """Have it sent; `batch.done` says what became of it. Raise Unavailable when the connection has ended."""
        if not self._soon(partial(self._send, batch), batch):
            raise Unavailable(LOST)

    def close(self) -> None:
        """Begin to end the connection: `run` returns when the broker has agreed."""
        self._is_closing = True
        self._soon(self._hang_up)

    def _soon(self, callback: Callable[[], None], batch: Batch | None = None) -> bool:
        """Have the link's own thread call back; False when it has ended."""
        with self._lock:
            if self._is_over:
                return False
            if batch is not None:
                self._batches.append(batch)
            self._connection.ioloop.add_callback_threadsafe(partial(self._call, callback))
            return True

    # From here on: only in the link's own thread.

    def _call(self, callback: Callable[[], None]) -> None:
        """A fault that came out of the loop would end the thread: the publisher would be dead and seem alive."""
        try:
            callback()
        except Exception:
            log.exception("the connection to the broker is made anew")
            self._give_up()

    def _give_up(self) -> None:
        self.is_open = False
        if self._connection.is_open:
            self._connection.close()

    def _hang_up(self) -> None:
        self.is_open = False
        if self._connection.is_open:
            self._connection.close()
        elif not self._connection.is_closing:
            self._connection.ioloop.stop()

    def _channel_opened(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._channel_lost)
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._confirmed, callback=self._ready)

    def _ready(self, _: Method[Any]) -> None:
        self.is_open = not self._is_closing
        self._on_open()

    def _channel_lost(self, _channel: Channel, reason: BaseException) -> None:
        if not self._is_closing:
            log.warning("the broker closed the channel: %s", reason)
        self._give_up()

    def _ended(self, connection: pika.SelectConnection, reason: BaseException) -> None:
        self.is_open = False
        connection.ioloop.stop()
        if not self._is_closing:
            log.warning("no connection to the broker: %s", type(reason).__name__)

    def _send(self, batch: Batch) -> None:
        channel = self._channel
        if channel is None or not channel.is_open:
            self._settle(batch, Unavailable(LOST))
            return
        try:
            for message in batch.messages:
                batch.unconfirmed.add(self._next_tag)
                self._next_tag += 1
                where = message.exchange, message.routing_key
                channel.basic_publish(*where, message.body, message.properties(), mandatory=message.is_mandatory)
        except Exception as error:  # the count of tags is off now: start anew
            is_lost = isinstance(error, AMQPError)
            self._settle(batch, Unavailable("The message broker cannot take a message.") if is_lost else error)
            self._give_up()

    def _returned(self, _: Channel, _method: Basic.Return, properties: pika.BasicProperties, _body: bytes) -> None:
        """No queue took it. The broker says so before it confirms the message, so its batch still waits."""
        for batch in self._batches:
            if any(message.message_id == properties.message_id for message in batch.messages):
                batch.returned.add(str(properties.message_id))

    def _confirmed(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        tag, is_multiple = frame.method.delivery_tag, frame.method.multiple
        for batch in list(self._batches):
            settled = {t for t in batch.unconfirmed if t <= tag} if is_multiple else batch.unconfirmed & {tag}
            if not settled:
                continue
            if isinstance(frame.method, Basic.Nack):
                batch.fail(Unavailable("The message broker refused a message."))
            batch.unconfirmed -= settled
            if not batch.unconfirmed:
                self._settle(batch)

    def _settle(self, batch: Batch, error: Exception | None = None) -> None:
        with self._lock:
            self._batches.remove(batch)
        if error is not None:
            batch.fail(error)
        elif not batch.done.done():
            batch.done.set_result(batch.returned)
