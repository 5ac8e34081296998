"""Bodies pass as they come, both ways."""

import threading

from tests.contracts.gateway.doors import Door
from tests.gateway.upstream import Received, Stream, Upstream


def test_a_stream_of_events_is_not_held_back(door: Door, upstream: Upstream) -> None:
    heard = threading.Event()

    def tell(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        stream.send(b"9\r\ndata: 1\n\n\r\n")
        assert heard.wait(10)
        stream.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    with door.wire() as wire:
        wire.send(f"GET {upstream.on('/open/events', tell)} HTTP/1.1\r\nHost: x\r\n\r\n")
        response = wire.begin()
        assert response.read(9) == b"data: 1\n\n"
        heard.set()
        assert response.read() == b"data: 2\n\n"


def upload(door: Door, upstream: Upstream, path: str) -> str:
    """`streamed` if the service had the first piece before the client sent the second."""
    arrived = threading.Event()

    def take(request: Received, stream: Stream) -> None:
        pieces = iter(request.pieces())
        first = next(pieces)
        arrived.set()
        rest = sum(len(piece) for piece in pieces)
        stream.answer(str(len(first) + rest).encode())

    with door.wire() as wire:
        wire.send(f"POST {upstream.on(path, take)} HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n")
        wire.send(b"0123456789")
        was_early = arrived.wait(1.5)
        answer = wire.ask(b"0123456789", "POST")
    assert (answer.status, answer.body) == (200, b"20")
    return "streamed" if was_early else "held until it is whole"


def test_a_large_upload_is_streamed(door: Door, upstream: Upstream) -> None:
    assert upload(door, upstream, "/big/upload") == "streamed"


def test_a_small_upload(door: Door, upstream: Upstream) -> None:
    assert upload(door, upstream, "/open/upload") == door.says("a body up to 16 MiB")


def test_a_large_answer_arrives_whole(door: Door, upstream: Upstream) -> None:
    piece = b"x" * 65_536

    def flow(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * 256))
        for _ in range(256):
            stream.send(piece)

    assert len(door.ask("GET", upstream.on("/open/flow", flow)).body) == len(piece) * 256


def test_a_client_that_leaves_is_not_worked_for(door: Door, upstream: Upstream) -> None:
    gone = threading.Event()
    asked = threading.Event()

    def wait(_request: Received, stream: Stream) -> None:
        asked.set()
        if stream.is_gone():
            gone.set()

    with door.wire() as wire:
        wire.send(f"GET {upstream.on('/open/left', wait)} HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asked.wait(5)
    assert gone.wait(5)


def test_continue_is_said_before_a_body_comes(door: Door, upstream: Upstream) -> None:
    with door.wire() as wire:
        wire.send("POST /open/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert wire.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert wire.file.readline() == b"\r\n"
        assert wire.ask(b"abc", "POST").json["body_bytes"] == 3
