"""Publishing with confirms, many messages in flight: `publish` returns only when the broker has all of them safely.

pika's blocking channel waits for each confirm in turn, a disk flush apiece. Here one thread runs pika's asynchronous
connection and a whole batch shares the wait.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
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

CONFIRM_TIMEOUT_S = 15.0
RECONNECT_S = 0.5


@dataclass(frozen=True)
class Message:
    """One AMQP message; persistent, JSON."""

    routing_key: str
    body: bytes
    message_id: str
    exchange: str = EXCHANGE
    headers: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, envelope: Envelope) -> "Message":
        return cls(envelope.type, envelope.model_dump_json().encode(), str(envelope.id))

    def properties(self) -> pika.BasicProperties:
        return pika.BasicProperties(
            delivery_mode=2,
            content_type="application/cloudevents+json",
            message_id=self.message_id,
            headers=self.headers or None,
        )


class _Batch:
    """What is still unconfirmed of one `publish` call."""

    def __init__(self) -> None:
        self.tags: set[int] = set()
        self.done: Future[None] = Future()

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Publisher:
    """One connection, opened by the first `publish` and opened again whenever it is lost. Any thread may publish."""

    def __init__(self, amqp_url: str) -> None:
        self._parameters = pika.URLParameters(amqp_url)
        self._parameters.heartbeat = 20
        self._parameters.blocked_connection_timeout = 30
        self._parameters.connection_attempts = 1
        self._parameters.socket_timeout = 5
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._connection: pika.SelectConnection | None = None
        self._channel: Channel | None = None
        self._open = threading.Event()
        self._stop = threading.Event()
        self._next_tag = 1
        self._batches: list[_Batch] = []

    @property
    def is_connected(self) -> bool:
        return self._open.is_set()

    def publish(self, messages: Sequence[Message], *, timeout_s: float = CONFIRM_TIMEOUT_S) -> None:
        """Return when every message is confirmed. Raise Unavailable otherwise: each may or may not have arrived."""
        if not messages:
            return
        deadline = time.monotonic() + timeout_s
        self._start()
        if not self._open.wait(timeout_s):
            raise Unavailable("The message broker does not answer.")
        batch = _Batch()
        if not self._in_thread(lambda: self._send(batch, messages)):
            raise Unavailable("The connection to the message broker was lost.")
        try:
            batch.done.result(max(deadline - time.monotonic(), 0))
        except FutureTimeout as error:
            raise Unavailable("The message broker did not confirm in time.") from error

    def close(self) -> None:
        """Close the connection and end the thread; a later `publish` opens it again."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
        if thread is not None:
            self._in_thread(self._hang_up)
            thread.join(5)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._stop = threading.Event()  # each thread has its own: one that is slow to end cannot come back
                self._thread = threading.Thread(target=self._run, args=(self._stop,), name="publisher", daemon=True)
                self._thread.start()

    def _in_thread(self, callback: Callable[[], None]) -> bool:
        """Have the publisher's thread call back; False when there is no connection whose loop would."""
        with self._lock:
            if self._connection is None:
                return False
            self._connection.ioloop.add_callback_threadsafe(partial(self._call, self._connection, callback))
            return True

    # From here on: only in the publisher's own thread.

    def _call(self, connection: pika.SelectConnection, callback: Callable[[], None]) -> None:
        """A fault that came out of the loop would end the thread: the publisher would be dead and seem alive."""
        try:
            callback()
        except Exception:
            log.exception("the connection to the broker is made anew")
            if connection.is_open:
                connection.close()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            connection = pika.SelectConnection(
                self._parameters,
                on_open_callback=lambda connection: connection.channel(on_open_callback=self._channel_opened),
                on_open_error_callback=self._lost,
                on_close_callback=self._lost,
            )
            with self._lock:
                self._connection = connection
            if not stop.is_set():
                connection.ioloop.start()
            with self._lock:
                if self._connection is connection:
                    self._connection = None
            connection.ioloop.close()
            stop.wait(RECONNECT_S)

    def _channel_opened(self, channel: Channel) -> None:
        self._channel, self._next_tag = channel, 1
        channel.add_on_close_callback(self._channel_lost)
        channel.confirm_delivery(self._confirmed, callback=lambda _: self._open.set())

    def _channel_lost(self, _channel: Channel, reason: BaseException) -> None:
        if not self._stop.is_set():
            log.warning("the broker closed the channel: %s", reason)
        self._open.clear()
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def _lost(self, connection: pika.SelectConnection, reason: BaseException) -> None:
        connection.ioloop.stop()
        if connection is not self._connection:
            return  # the last word of one that was closed
        self._open.clear()
        self._channel = None
        batches, self._batches = self._batches, []
        for batch in batches:
            batch.fail(Unavailable("The connection to the message broker was lost."))
        if not self._stop.is_set():
            log.warning("no connection to the broker: %s", type(reason).__name__)

    def _hang_up(self) -> None:
        connection = self._connection
        if connection is not None and connection.is_open:
            connection.close()
        elif connection is not None and not connection.is_closing:
            connection.ioloop.stop()

    def _send(self, batch: _Batch, messages: Sequence[Message]) -> None:
        channel = self._channel
        if channel is None or not channel.is_open:
            batch.fail(Unavailable("The connection to the message broker was lost."))
            return
        self._batches.append(batch)
        try:
            for message in messages:
                batch.tags.add(self._next_tag)
                self._next_tag += 1
                channel.basic_publish(message.exchange, message.routing_key, message.body, message.properties())
        except Exception as error:  # the count of tags is off now: start anew
            self._open.clear()
            is_lost = isinstance(error, AMQPError)
            batch.fail(Unavailable("The message broker cannot take a message.") if is_lost else error)
            self._connection.close()  # type: ignore[union-attr]  # we are called from its loop

    def _confirmed(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        tag, multiple, refused = frame.method.delivery_tag, frame.method.multiple, isinstance(frame.method, Basic.Nack)
        for batch in list(self._batches):
            settled = {t for t in batch.tags if t == tag or (multiple and t < tag)}
            if settled and refused:
                batch.fail(Unavailable("The message broker refused a message."))
            batch.tags -= settled
            if not batch.tags:
                self._batches.remove(batch)
                if not batch.done.done():
                    batch.done.set_result(None)
