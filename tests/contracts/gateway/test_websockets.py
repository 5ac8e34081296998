"""A web socket passes through: the token first, then raw bytes both ways at the pace of the slower side."""

import socket
import threading
import time

from tests.contracts.gateway.doors import Door, outcome
from tests.gateway.upstream import Received, Stream, Upstream
from tests.gateway.wire import Wire
from tests.support.people import Person

UPGRADE = (
    "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def echo(_request: Received, stream: Stream) -> None:
    stream.send(ACCEPTED + b"hello")
    while data := stream.file.read1(65_536):
        stream.send(data)
    stream.close()


def open_socket(wire: Wire, path: str, more: str = "", early: bytes = b"") -> list[bytes]:
    wire.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{UPGRADE}{more}\r\n".encode() + early)
    lines = []
    while (line := wire.file.readline()) not in (b"\r\n", b""):
        lines.append(line.rstrip().lower())
    return lines


def test_after_the_token_bytes_pass_both_ways(door: Door, upstream: Upstream, alice: Person) -> None:
    path = upstream.on(f"/socket/{door.name}", echo)
    with door.wire() as wire:
        lines = open_socket(wire, path, f"Authorization: {alice.headers['Authorization']}\r\n", early=b"early")
        assert lines[0].startswith(b"http/1.1 101") and b"upgrade: websocket" in lines
        assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in lines
        assert wire.file.read(10) == b"helloearly"
        wire.send(b"\x81\x03abc")
        assert wire.file.read(5) == b"\x81\x03abc"
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.is_closed()
    (request,) = upstream.seen(path)
    assert request.value("upgrade") == "websocket" and "upgrade" in request.value("connection").lower()


def test_without_a_token_or_where_the_route_has_none_nothing_is_upgraded(door: Door, upstream: Upstream) -> None:
    with door.wire() as wire:
        answer = wire.ask(f"GET /socket/none HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n")
    assert outcome(answer) == "401 token_missing" and not upstream.seen("/socket/none")
    with door.wire() as wire:
        answer = wire.ask(f"GET /open/no-socket HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n")
    assert outcome(answer) == door.says("a web socket where the route has none")
    assert not upstream.seen("/open/no-socket")


def test_a_service_may_decline(door: Door, upstream: Upstream) -> None:
    path = upstream.on("/socket-short/no", lambda _request, stream: stream.answer(b"no", status="400 Bad"))
    with door.wire() as wire:
        answer = wire.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n")
    assert (answer.status, answer.body) == (400, b"no")


def test_a_reader_that_is_slow_slows_the_writer(door: Door, upstream: Upstream) -> None:
    written = [0]
    done = threading.Event()

    def flood(_request: Received, stream: Stream) -> None:
        stream.send(ACCEPTED)
        for _ in range(1024):
            stream.send(b"x" * 65_536)
            written[0] += 65_536
        done.set()
        stream.close()

    with door.wire() as wire:
        open_socket(wire, upstream.on(f"/socket-short/{door.name}/flood", flood))
        before = -1
        while written[0] != before:
            before = written[0]
            time.sleep(0.3)
        assert before < 32 << 20
        read = 0
        while piece := wire.file.read1(1 << 20):
            read += len(piece)
        assert read == 64 << 20 and done.wait(5)


def test_a_socket_on_which_nothing_moves_is_ended(door: Door, upstream: Upstream) -> None:
    with door.wire() as wire:
        lines = open_socket(wire, upstream.on(f"/socket-short/{door.name}/idle", echo))
        assert b"101" in lines[0] and wire.file.read(5) == b"hello"
        assert wire.is_closed(10)
