"""Bodies pass through in pieces: memory stays flat, the slower side sets the pace, nothing waits for the end."""

import socket
import threading
import time
import zlib

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.waiting import eventually

H = "Host: gateway.example\r\n"
SIZE = 200_000_000
PIECE = bytes(range(256)) * 1024
MOST_GROWTH = 40_000_000


def checksum_of_size() -> int:
    checksum, left = 0, SIZE
    while left:
        piece = PIECE[: min(left, len(PIECE))]
        checksum, left = zlib.adler32(piece, checksum), left - len(piece)
    return checksum


def receive(request: Received, stream: Stream) -> None:
    checksum = total = 0
    for piece in request.pieces():  # type: ignore[attr-defined]
        checksum, total = zlib.adler32(piece, checksum), total + len(piece)
    stream.answer(b'{"checksum": %d, "total": %d}' % (checksum, total))


def test_a_big_upload_passes_with_flat_memory(gateway: GatewayProcess, upstream: Upstream) -> None:
    path = upstream.on("/big/receive", receive)
    before = gateway.resident_bytes()
    most = before
    with gateway.wire(30) as wire:
        wire.send(f"POST {path} HTTP/1.1\r\n{H}Content-Length: {SIZE}\r\n\r\n")
        left = SIZE
        while left:
            wire.send(PIECE[: min(left, len(PIECE))])
            left -= min(left, len(PIECE))
            most = max(most, gateway.resident_bytes()) if left % (32 * len(PIECE)) < len(PIECE) else most
        answer = wire.read("POST").json
    assert answer == {"checksum": checksum_of_size(), "total": SIZE}
    assert most - before < MOST_GROWTH


def test_a_big_download_passes_with_flat_memory_and_waits_for_a_slow_reader(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    sent = 0

    def serve(_request: Received, stream: Stream) -> None:
        nonlocal sent
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while sent < SIZE:
            piece = PIECE[: min(SIZE - sent, len(PIECE))]
            stream.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            sent += len(piece)
        stream.send(b"0\r\n\r\n")

    path = upstream.on("/big/serve", serve)
    before = gateway.resident_bytes()
    with gateway.wire(30) as wire:
        wire.send(f"GET {path} HTTP/1.1\r\n{H}\r\n")
        response = wire.begin()
        time.sleep(0.7)  # nobody reads: the service must not get far
        assert sent < SIZE
        assert gateway.resident_bytes() - before < MOST_GROWTH
        checksum = total = 0
        while piece := response.read(1 << 20):
            checksum, total = zlib.adler32(piece, checksum), total + len(piece)
    assert (checksum, total) == (checksum_of_size(), SIZE)
    assert gateway.resident_bytes() - before < MOST_GROWTH


def test_a_service_that_reads_slowly_slows_the_client_down(gateway: GatewayProcess, upstream: Upstream) -> None:
    go_on = threading.Event()

    def wait(request: Received, stream: Stream) -> None:
        assert go_on.wait(10)
        receive(request, stream)

    path = upstream.on("/big/wait", wait)
    before = gateway.resident_bytes()
    size = SIZE
    with gateway.wire(0.5) as wire:
        wire.send(f"POST {path} HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n")
        body = b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
        sent = 0
        try:
            while sent < size:
                wire.socket.sendall(body)
                sent += len(PIECE)
        except TimeoutError:
            pass
        assert sent < size  # the kernel's buffers are full
        assert gateway.resident_bytes() - before < MOST_GROWTH
        go_on.set()


def test_events_arrive_as_they_are_sent(gateway: GatewayProcess, upstream: Upstream) -> None:
    more = threading.Event()

    def stream_events(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            stream.send(b"9\r\ndata: %d\n\n\r\n" % number)
            assert more.wait(5)
            more.clear()
        stream.send(b"0\r\n\r\n")

    with gateway.wire() as wire:
        wire.send(f"GET {upstream.on('/open/events', stream_events)} HTTP/1.1\r\n{H}\r\n")
        response = wire.begin()
        for number in range(3):
            assert response.read(9) == b"data: %d\n\n" % number
            more.set()
        assert response.read() == b""


def test_a_body_is_passed_on_before_it_is_complete_and_an_answer_before_the_body_is(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    def talk(request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in request.pieces():  # type: ignore[attr-defined]
            stream.send(b"%x\r\n%b\r\n" % (len(piece), piece.upper()))
        stream.send(b"0\r\n\r\n")

    with gateway.wire() as wire:
        wire.send(f"POST {upstream.on('/open/talk', talk)} HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n")
        response = wire.begin("POST")
        for word in (b"hello", b"world"):
            wire.send(b"5\r\n%b\r\n" % word)
            assert response.read(5) == word.upper()
        wire.send(b"0\r\n\r\n")
        assert response.read() == b""


def test_a_reader_that_is_slow_but_steady_is_not_cut_off(gateway: GatewayProcess, upstream: Upstream) -> None:
    """`/short` lets nothing stand still for longer than 0.4 s; the whole takes a few times that."""
    size = 6_000_000

    def serve(_request: Received, stream: Stream) -> None:
        stream.answer(b"x" * size)

    path = upstream.on("/short/steady", serve)
    with gateway.wire() as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        wire.send(f"GET {path} HTTP/1.1\r\n{H}\r\n")
        response = wire.begin()
        total = 0
        while piece := response.read(100_000):
            total += len(piece)
            time.sleep(0.03)
    assert total == size


def test_a_client_that_asks_on_and_on_and_never_reads_is_not_answered_into_memory(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    """Small answers: each is whole before the client's slowness shows, so only the next one can be held back."""
    asked, size = 0, 200_000

    def serve(_request: Received, stream: Stream) -> None:
        nonlocal asked
        asked += 1
        stream.answer(b"x" * size)

    path = upstream.on("/big/unread", serve)
    before = gateway.resident_bytes()
    with gateway.wire(20) as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        wire.send(f"GET {path} HTTP/1.1\r\n{H}\r\n" * 400)
        time.sleep(1)  # nobody reads: the service must not be asked for much
        assert asked < 100
        assert gateway.resident_bytes() - before < MOST_GROWTH
        for _ in range(400):  # and who reads after all gets everything
            assert len(wire.read().body) == size


def test_an_answer_that_nobody_reads_is_not_kept_for_ever(gateway: GatewayProcess, upstream: Upstream) -> None:
    """The connection is idle for the gateway, which keeps such for two seconds here, but its answer is still unsent."""

    def serve(_request: Received, stream: Stream) -> None:
        stream.answer(b"x" * 30_000)  # comes in one piece

    path = upstream.on("/short/forgotten", serve)
    with gateway.wire(20) as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        wire.send(f"GET {path} HTTP/1.1\r\n{H}\r\n" * 100)
        port = wire.socket.getsockname()[1]
        assert is_kept(gateway, port)
        eventually(lambda: not is_kept(gateway, port), timeout_s=10, what="the connection's end")


def is_kept(gateway: GatewayProcess, port: int) -> bool:
    """True while a worker holds the connection of the client with this port."""
    connections = [one for worker in gateway.workers() for one in worker.net_connections("tcp")]
    return any(one.raddr and one.raddr.port == port for one in connections)
