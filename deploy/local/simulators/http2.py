"""The HTTP/2 side of APNs: TLS, many streams on one connection, GOAWAY and reset when a fault asks for them."""

import asyncio
import json
import logging
import ssl
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from deploy.local.simulators.apns import PushAnswer
from deploy.local.simulators.apns_rules import PushRequest
from deploy.local.simulators.http import reset

log = logging.getLogger(__name__)
MAX_BODY_BYTES = 64 * 1024
LINGER_S = 1.0
Push = Callable[[PushRequest], Coroutine[Any, Any, PushAnswer]]
SettingCodes = h2.settings.SettingCodes


class Settings(h2.settings.Settings):
    """h2 ends the whole connection over one stream too many; APNs refuses that stream, so h2 must not count."""

    @property  # type: ignore[misc]
    def max_concurrent_streams(self) -> int:
        return 2**31 - 1


class Connection(asyncio.Protocol):
    def __init__(self, push: Push, max_streams: int, open_connections: "set[Connection]") -> None:
        self._push, self._max_streams, self._open = push, max_streams, open_connections
        # Apple: one stream only, until a request with a valid provider token has been seen.
        self._allowed_streams, self._is_limit_known = 1, False
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        initial = {SettingCodes.MAX_CONCURRENT_STREAMS: 1, SettingCodes.MAX_HEADER_LIST_SIZE: 8_000}
        self._h2.local_settings = Settings(client=False, initial_values=initial)
        self._requests: dict[int, PushRequest] = {}
        self._answering: dict[int, asyncio.Task[None]] = {}
        self._last_stream_id = 0
        self._is_ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type
        self._transport = transport
        tls = transport.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != "h2":
            return transport.close()
        self._open.add(self)
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._open.discard(self)
        for task in self._answering.values():
            task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._is_ending:
            return
        try:
            for event in self._h2.receive_data(data):
                self._handle(event)
                if self._is_ending:
                    return
        except (h2.exceptions.ProtocolError, UnicodeDecodeError):
            self._flush()  # h2 has put the GOAWAY that says why
            return self._transport.close()
        self._flush()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._begin(event)
        elif isinstance(event, h2.events.DataReceived):
            self._collect(event)
        elif isinstance(event, h2.events.StreamEnded):
            self._start_answer(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._requests.pop(event.stream_id, None)
            if task := self._answering.pop(event.stream_id, None):
                task.cancel()
        elif isinstance(event, h2.events.SettingsAcknowledged):
            self._is_limit_known = True
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._transport.close()

    def _begin(self, event: h2.events.RequestReceived) -> None:
        stream_id, pairs = event.stream_id, [(sys.intern(str(name)), str(value)) for name, value in event.headers]
        if self._is_limit_known and len(self._requests) + len(self._answering) >= self._allowed_streams:
            self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        headers = dict(reversed(pairs))
        request = PushRequest(method=headers.pop(":method", ""), path=headers.pop(":path", ""), headers=headers)
        request.headers = {name: value for name, value in headers.items() if not name.startswith(":")}
        names = [name for name, _ in pairs]
        request.repeated = {name for name in request.headers if names.count(name) > 1}
        self._requests[stream_id] = request
        self._last_stream_id = max(self._last_stream_id, stream_id)

    def _collect(self, event: h2.events.DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        request = self._requests.get(event.stream_id)
        if request and len(request.body) <= MAX_BODY_BYTES:  # beyond that it is too large anyhow
            request.body += event.data

    def _start_answer(self, stream_id: int) -> None:
        request = self._requests.pop(stream_id, None)
        if request is not None:
            task = asyncio.get_running_loop().create_task(self._answer(stream_id, request))
            self._answering[stream_id] = task

    async def _answer(self, stream_id: int, request: PushRequest) -> None:
        if self._is_ending:
            self._answering.pop(stream_id, None)  # GOAWAY has called this stream not handled, so it must not be
            return
        try:
            answer = await self._push(request)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            answer = PushAnswer(status=500, body=b'{"reason":"InternalServerError"}')
        self._answering.pop(stream_id, None)
        if self._is_ending or self._transport.is_closing():
            return
        if answer.ending == "reset":
            return self.reset()
        if answer.ending == "goaway":
            return self.go_away(answer.reason, before_stream_id=stream_id)
        self._write(stream_id, answer)
        if answer.is_authenticated and self._allowed_streams != self._max_streams:
            self._allowed_streams = self._max_streams
            self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: self._max_streams})
        self._flush()

    def _write(self, stream_id: int, answer: PushAnswer) -> None:
        headers = [(":status", str(answer.status)), *answer.headers]
        try:
            self._h2.send_headers(stream_id, headers, end_stream=not answer.body)
            if answer.body:
                self._h2.send_data(stream_id, answer.body, end_stream=True)
        except h2.exceptions.StreamClosedError:
            pass  # the client gave up on this one

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._transport.write(data)

    def reset(self) -> None:
        self._is_ending = True
        reset(self._transport)

    def go_away(self, reason: str = "", before_stream_id: int = 0) -> None:
        """Say that `before_stream_id` and later streams were not handled, then close.

        The connection is held open a moment: closing with unread data would reset it and take the GOAWAY along.
        """
        if self._is_ending:
            return
        self._is_ending = True
        last = before_stream_id - 2 if before_stream_id else self._last_stream_id
        detail = json.dumps({"reason": reason or "Shutdown"}).encode()
        self._h2.close_connection(h2.errors.ErrorCodes.NO_ERROR, detail, max(last, 0))
        self._flush()
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.close)

    def eof_received(self) -> None:
        self._transport.close()


class Server:
    def __init__(self, push: Push, max_streams: int) -> None:
        self._push, self._max_streams = push, max_streams
        self.connections: set[Connection] = set()

    async def start(self, host: str, port: int, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._push, self._max_streams, self.connections), host, port, ssl=tls
        )

    def go_away(self, reason: str) -> int:
        """Every open connection is told to go away; return how many there were."""
        connections = list(self.connections)
        for connection in connections:
            connection.go_away(reason)
        return len(connections)

    def reset(self) -> int:
        connections = list(self.connections)
        for connection in connections:
            connection.reset()
        return len(connections)

    async def stop(self) -> None:
        self._server.close()
        self.go_away("Shutdown")
        await self._server.wait_closed()
