"""A small HTTP/1.1 server on httptools: keep-alive, pipelining, streams, and a connection reset when asked for.

The usual frameworks cost 8 to 20 MB of memory at rest; this process is meant to stay out of a laptop's way.
"""

import asyncio
import json
import logging
import re
import socket
import struct
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools

log = logging.getLogger(__name__)
MAX_HEADER_BYTES = 64 * 1024
MAX_BODY_BYTES = 1024 * 1024
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    peer: str
    body: bytes = b""
    path: str = ""
    query: dict[str, str] = field(default_factory=dict)
    matched: dict[str, str] = field(default_factory=dict)
    is_last: bool = False


@dataclass(slots=True)
class Response:
    body: bytes = b""
    status: int = 200
    content_type: str = "application/json; charset=UTF-8"
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncIterator[bytes] | None = None
    is_reset: bool = False


Handler = Callable[[Request], Awaitable[Response]]


def json_response(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return Response(json.dumps(value).encode(), status, headers=headers)


class Router:
    """Paths such as `/v1/projects/{project}/messages:send`; what is in braces lands in `request.matched`."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def add(self, method: str, template: str, handler: Handler) -> None:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
        self._routes.append((method, re.compile(pattern), handler))

    async def __call__(self, request: Request) -> Response:
        target = urlsplit(request.target)
        request.path = unquote(target.path)
        request.query = dict(parse_qsl(target.query, keep_blank_values=True))
        allowed = []
        for method, pattern, handler in self._routes:
            if match := pattern.fullmatch(request.path):
                if method == request.method or (method == "GET" and request.method == "HEAD"):
                    request.matched = match.groupdict()
                    return await handler(request)
                allowed.append(method)
        if allowed:
            return json_response({"error": "method not allowed"}, 405, (("allow", ", ".join(allowed)),))
        return json_response({"error": "no such path"}, 404)


class Connection(asyncio.Protocol):
    """One client's connection; requests are answered in the order they came."""

    def __init__(self, handler: Handler, open_connections: "set[Connection]") -> None:
        self._handler = handler
        self._open = open_connections
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._work: asyncio.Task[None] | None = None
        self._is_writable = asyncio.Event()
        self._is_writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type
        self._transport = transport
        self._peer = str((transport.get_extra_info("peername") or ("",))[0])
        self._open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._open.discard(self)
        self._is_writable.set()
        if self._work:
            self._work.cancel()

    def close(self) -> None:
        self._transport.close()

    def pause_writing(self) -> None:
        self._is_writable.clear()

    def resume_writing(self) -> None:
        self._is_writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(HTTPStatus.BAD_REQUEST)

    # what the parser calls

    def on_message_begin(self) -> None:
        self._target, self._header_bytes = b"", 0
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > MAX_HEADER_BYTES:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        self._headers[sys.intern(name.decode("latin-1").lower())] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, chunk: bytes) -> None:
        self._body_bytes += len(chunk)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        request = Request(
            method=self._parser.get_method().decode(),
            target=self._target.decode("latin-1"),
            headers=self._headers,
            peer=self._peer,
            body=b"".join(self._chunks),
            is_last=not self._parser.should_keep_alive(),
        )
        self._waiting.append(request)
        if self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._answer_waiting())

    async def _answer_waiting(self) -> None:
        while self._waiting and not self._transport.is_closing():
            request = self._waiting.popleft()
            try:
                response = await self._handler(request)
            except Exception:
                log.exception("%s %s failed", request.method, request.path)
                response = json_response({"error": "the simulator failed; see its log"}, 500)
            if response.is_reset:
                return reset(self._transport)
            await self._write(request, response)
            if request.is_last or response.stream is not None:
                return self._transport.close()
        self._work = None

    async def _write(self, request: Request, response: Response) -> None:
        head = [f"HTTP/1.1 {response.status} {_PHRASES.get(response.status, 'Unknown')}"]
        head.append(f"content-type: {response.content_type}")
        head += [f"{name}: {value}" for name, value in response.headers]
        if response.stream is None:
            head.append(f"content-length: {len(response.body)}")
        if response.stream is not None or request.is_last:
            head.append("connection: close")
        body = b"" if request.method == "HEAD" else response.body
        self._transport.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        if response.stream is not None:
            async for chunk in response.stream:
                self._transport.write(chunk)
                await self._is_writable.wait()

    def _refuse(self, status: HTTPStatus) -> None:
        if not self._transport.is_closing():
            line = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            self._transport.write(line.encode())
            self._transport.close()


class Server:
    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[Connection] = set()

    async def start(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self._handler, self._connections), host, port)

    async def stop(self) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.close()
        await self._server.wait_closed()


def reset(transport: asyncio.BaseTransport) -> None:
    """End the connection with a TCP RST instead of a polite FIN."""
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()  # type: ignore[attr-defined]
