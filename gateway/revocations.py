"""Sessions that ended early: the set each worker holds, and the stream it learns them from.

    gatehouse.events ──session.revoked──▶ gateway.revocations (a stream: every worker reads all of it)

A worker reads from twenty minutes ago, longer than any token lives, then puts a marker of its own at the stream's end:
when it reads its marker, it knows all that was revoked before it started.
"""

import asyncio
import logging
import random
import time
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.spec import Basic
from pydantic import ValidationError

from shared.contracts import EXCHANGE, Envelope, SessionRevoked
from shared.ids import new_id
from shared.tokens import LEEWAY_S, TOKEN_LIFETIME_S

log = logging.getLogger(__name__)

STREAM = "gateway.revocations"
STREAM_ARGUMENTS = {
    "x-queue-type": "stream",
    "x-max-age": "1h",
    "x-stream-max-segment-size-bytes": 1_000_000,  # whole segments age out, so they must not be big
}
LOOK_BACK = "20m"
MARKER = "gateway.marker"
PREFETCH = 200
HEARTBEAT_S = 20
FIRST_BACKOFF_S, MOST_BACKOFF_S = 0.25, 10.0


class RevocationSet:
    """Session ids whose tokens are refused. Entries leave when no token of theirs can be valid any more."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._new: set[str] = set()

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._until

    def __len__(self) -> int:
        return len(self._until)

    def add(self, session_id: str, revoked_at: float) -> None:
        """Refuse the session's tokens; `revoked_at` is Unix time. What can no longer matter is not kept."""
        until = revoked_at + TOKEN_LIFETIME_S + 2 * LEEWAY_S
        if until > time.time():
            self._until[session_id] = until
            self._new.add(session_id)

    def take_new(self) -> set[str]:
        """The sessions added since the last time this was asked."""
        if not self._new:
            return self._new
        new, self._new = self._new, set()
        return new

    def purge(self) -> None:
        """Forget sessions whose last token has expired: so the set holds a token's lifetime of revocations, no more."""
        now = time.time()
        self._until = {session_id: until for session_id, until in self._until.items() if until > now}


class RevocationFeed:
    """Follows the stream on the worker's own event loop, and connects again whenever the broker is lost."""

    def __init__(self, amqp_url: str, revoked: RevocationSet) -> None:
        self._parameters = pika.URLParameters(amqp_url)
        self._parameters.heartbeat = HEARTBEAT_S
        self._parameters.connection_attempts = 1
        self._parameters.socket_timeout = 5
        self._parameters.stack_timeout = 10
        self._revoked = revoked
        self._next_offset: int | None = None
        self._connection: AsyncioConnection | None = None
        self._ended: asyncio.Future[str]
        self._marker = ""
        self.is_caught_up = False
        self.was_caught_up = asyncio.Event()

    async def follow(self) -> None:
        """Read until cancelled."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            self._ended = asyncio.get_running_loop().create_future()
            try:
                self._connection = AsyncioConnection(
                    self._parameters,
                    on_open_callback=lambda connection: connection.channel(on_open_callback=self._on_channel),
                    on_open_error_callback=self._on_end,
                    on_close_callback=self._on_end,
                    custom_ioloop=asyncio.get_running_loop(),
                )
                reason = await self._ended
            except asyncio.CancelledError:
                self._hang_up()
                raise
            backoff_s = FIRST_BACKOFF_S if self.is_caught_up else min(backoff_s * 2, MOST_BACKOFF_S)
            self.is_caught_up = False
            log.warning("lost the stream of revocations: %s", reason)
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1))  # noqa: S311 - spreads the workers

    def _hang_up(self) -> None:
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def _on_end(self, _connection: Any, reason: Any) -> None:
        if not self._ended.done():
            self._ended.set_result(str(reason) or type(reason).__name__)

    def _on_channel(self, channel: Channel) -> None:
        """Declare, bind, read: pika keeps the order, and a refusal closes the channel."""
        channel.add_on_close_callback(self._on_channel_closed)
        channel.exchange_declare(EXCHANGE, "topic", durable=True)
        channel.exchange_declare(STREAM, "fanout", durable=True)  # for markers: nobody else may write to it
        channel.queue_declare(STREAM, durable=True, arguments=STREAM_ARGUMENTS)
        channel.queue_bind(STREAM, EXCHANGE, SessionRevoked.type)
        channel.queue_bind(STREAM, STREAM)
        channel.basic_qos(prefetch_count=PREFETCH)
        offset = LOOK_BACK if self._next_offset is None else self._next_offset
        channel.basic_consume(
            STREAM,
            self._on_message,
            arguments={"x-stream-offset": offset},
            callback=lambda _ok: self._put_marker(channel),
        )

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        self._on_end(channel, reason)
        self._hang_up()

    def _put_marker(self, channel: Channel) -> None:
        self._marker = str(new_id())
        properties = pika.BasicProperties(type=MARKER, message_id=self._marker)
        channel.basic_publish(STREAM, "", b"", properties)

    def _on_message(
        self, channel: Channel, method: Basic.Deliver, properties: pika.BasicProperties, body: bytes
    ) -> None:
        offset = (properties.headers or {}).get("x-stream-offset")
        if isinstance(offset, int):
            self._next_offset = offset + 1
        if properties.type != MARKER:
            self._learn(body)
        elif properties.message_id == self._marker:
            self.is_caught_up = True
            self.was_caught_up.set()
        channel.basic_ack(method.delivery_tag)

    def _learn(self, body: bytes) -> None:
        """Take one event; one that cannot be read is logged, and does not stop those behind it."""
        try:
            envelope = Envelope.model_validate_json(body)
            if envelope.type == SessionRevoked.type:
                event = SessionRevoked.model_validate(envelope.data)
                revoked_at = max(event.revoked_at, envelope.time)
                self._revoked.add(str(event.session_id), revoked_at.timestamp())
        except (ValidationError, TypeError) as error:
            log.error("cannot read an event of the stream of revocations", exc_info=error)
