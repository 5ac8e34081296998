"""Bodies pass through in pieces: memory stays flat, the slower side sets the pace, nothing waits for the end."""

import socket
import threading
import time
import zlib
from collections.abc import Iterable, Iterator

import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.waiting import eventually

H = "Host: gateway.example\r\n"
PIECE = bytes(range(256)) * 1024
MOST_GROWTH = 40_000_000


@pytest.fixture
def size(request: pytest.FixtureRequest) -> int:
    found: int = request.config.getoption("--body-bytes")
    return found


def pieces(size: int) -> Iterator[bytes]:
    """A body of this size."""
    while size:
        yield PIECE[: min(size, len(PIECE))]
        size -= min(size, len(PIECE))


def framed(size: int, framing: str) -> Iterator[bytes]:
    """The body as it stands on the wire, the end of the head before it."""
    if framing == "length":
        yield b"Content-Length: %d\r\n\r\n" % size
        yield from pieces(size)
    else:
        yield b"Transfer-Encoding: chunked\r\n\r\n"
        for piece in pieces(size):
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"


def checksum(body: Iterable[bytes]) -> tuple[int, int]:
    """(Adler-32, size)."""
    found = total = 0
    for piece in body:
        found, total = zlib.adler32(piece, found), total + len(piece)
    return found, total


def receive(request: Received, stream: Stream) -> None:
    stream.answer(b'{"checksum": %d, "total": %d}' % checksum(request.pieces()))


class Growth:
    """The most memory a gateway has taken beyond what it had, looked at again and again."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Growth":
        self._before = self._most = self._gateway.resident_bytes()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.02):
            self._most = max(self._most, self._gateway.resident_bytes())

    @property
    def most_bytes(self) -> int:
        return self._most - self._before


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_big_upload_passes_with_flat_memory(
    gateway: GatewayProcess, upstream: Upstream, size: int, framing: str
) -> None:
    path = upstream.on("/big/receive", receive)
    with gateway.wire(60) as wire, Growth(gateway) as growth:
        wire.send(f"POST {path} HTTP/1.1\r\n{H}")
        for data in framed(size, framing):
            wire.send(data)
        answer = wire.read("POST").json
    assert (answer["checksum"], answer["total"]) == checksum(pieces(size))
    assert growth.most_bytes < MOST_GROWTH


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_big_download_passes_with_flat_memory_and_waits_for_a_slow_reader(
    gateway: GatewayProcess, upstream: Upstream, size: int, framing: str
) -> None:
    sent = 0

    def serve(_request: Received, stream: Stream) -> None:
        nonlocal sent
        stream.send(b"HTTP/1.1 200 OK\r\n")
        for data in framed(size, framing):
            stream.send(data)
            sent += len(data)

    path = upstream.on("/big/serve", serve)
    with gateway.wire(60) as wire, Growth(gateway) as growth:
        wire.send(f"GET {path} HTTP/1.1\r\n{H}\r\n")
        response = wire.begin()
        time.sleep(0.5)  # nobody reads: the service must not get far
        assert sent < size
        assert checksum(iter(lambda: response.read(1 << 20), b"")) == checksum(pieces(size))
    assert growth.most_bytes < MOST_GROWTH


def test_a_service_that_reads_slowly_slows_the_client_down(
    gateway: GatewayProcess, upstream: Upstream, size: int
) -> None:
    go_on = threading.Event()

    def wait(request: Received, stream: Stream) -> None:
        assert go_on.wait(10)
        receive(request, stream)

    path = upstream.on("/big/wait", wait)
    before = gateway.resident_bytes()
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
        for piece in request.pieces():
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
        eventually(lambda: is_kept(gateway, port), what="the connection is accepted")
        eventually(lambda: not is_kept(gateway, port), timeout_s=10, what="the connection's end")


def is_kept(gateway: GatewayProcess, port: int) -> bool:
    """True while a worker holds the connection of the client with this port."""
    connections = [one for worker in gateway.workers() for one in worker.net_connections("tcp")]
    return any(one.raddr and one.raddr.port == port for one in connections)
