"""Publishing with confirms, many messages in flight: `publish` returns only when the broker has all of them safely.

pika's blocking channel waits for each confirm in turn, a disk flush apiece. Here one thread runs pika's asynchronous
connection and a whole batch shares the wait.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import TimeoutError as FutureTimeout

import pika

from shared.errors import Unavailable
from shared.link import Batch, Link, Message

__all__ = ["Message", "Publisher"]

CONFIRM_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 5.0
RECONNECT_S = 0.5


class Publisher:
    """One connection, opened by the first `publish` and opened again whenever it is lost. Any thread may publish."""

    def __init__(self, amqp_url: str) -> None:
        self._parameters = pika.URLParameters(amqp_url)
        self._parameters.heartbeat = 20
        self._parameters.blocked_connection_timeout = 30
        self._parameters.connection_attempts = 1
        self._parameters.socket_timeout = 5
        self._changed = threading.Condition()  # guards what follows
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._link: Link | None = None

    @property
    def is_connected(self) -> bool:
        return self._link is not None and self._link.is_open

    def publish(self, messages: Sequence[Message], *, timeout_s: float = CONFIRM_TIMEOUT_S) -> set[str]:
        """Return when every message is confirmed: the ids of the mandatory ones that no queue took.

        Raise Unavailable otherwise: each may or may not have arrived.
        """
        if not messages:
            return set()
        deadline = time.monotonic() + timeout_s
        batch = Batch(messages)
        self._open_link(timeout_s).send(batch)
        try:
            return batch.done.result(max(deadline - time.monotonic(), 0))
        except FutureTimeout as error:
            raise Unavailable("The message broker did not confirm in time.") from error

    def close(self) -> None:
        """Close the connection and end the thread; a later `publish` opens it again."""
        with self._changed:
            thread, self._thread = self._thread, None
            link, self._link = self._link, None
            self._stop.set()
        if link is not None:
            link.close()
        if thread is not None:
            thread.join(CLOSE_TIMEOUT_S)

    def _open_link(self, timeout_s: float) -> Link:
        with self._changed:
            if self._thread is None:
                self._stop = threading.Event()  # each thread has its own: one that is slow to end cannot come back
                self._thread = threading.Thread(target=self._run, args=(self._stop,), name="publisher", daemon=True)
                self._thread.start()
            if not self._changed.wait_for(lambda: self.is_connected, timeout_s) or self._link is None:
                raise Unavailable("The message broker does not answer.")
            return self._link

    def _run(self, stop: threading.Event) -> None:
        """The publisher's own thread: one connection after the other."""
        while not stop.is_set():
            link = Link(self._parameters, self._tell)
            with self._changed:
                if stop.is_set():
                    link.close()
                else:
                    self._link = link
            link.run()
            stop.wait(RECONNECT_S)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
