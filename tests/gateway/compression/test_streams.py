"""Streams are compressed piece by piece; nothing is held back, and what breaks off looks broken."""

import gzip
import random
import threading
import zlib
from collections.abc import Callable
from http.client import IncompleteRead

import brotli
import pytest
from backports import zstd

from tests.gateway.compression.document import DOCUMENT, JSON, UNPACK, H, ask, chunked, is_plain
from tests.gateway.process import GatewayProcess
from tests.gateway.test_streaming import MOST_GROWTH, PIECE
from tests.gateway.upstream import Received, Stream, Upstream


def decompressor(coding: str) -> Callable[[bytes], bytes]:
    if coding == "gzip":
        return zlib.decompressobj(31).decompress
    return brotli.Decompressor().process if coding == "br" else zstd.ZstdDecompressor().decompress


@pytest.mark.parametrize("coding", UNPACK)
def test_each_piece_can_be_read_before_the_next_is_sent(
    gateway: GatewayProcess, upstream: Upstream, coding: str
) -> None:
    heard = threading.Semaphore(0)
    pieces = [b'{"line": %d}\n' % number for number in range(5)]

    def tell(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            assert heard.acquire(timeout=10)
            stream.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        stream.send(b"0\r\n\r\n")

    unpack = decompressor(coding)
    with gateway.wire() as wire:
        wire.send(f"GET {upstream.on('/open/lines', tell)} HTTP/1.1\r\n{H}Accept-Encoding: {coding}\r\n\r\n")
        response = wire.begin()
        assert response.headers["Content-Encoding"] == coding and response.headers["Transfer-Encoding"] == "chunked"
        for piece in pieces:
            heard.release()
            found = b""
            while len(found) < len(piece):
                found += unpack(response.read1(65536))
            assert found == piece
        rest = response.read()
        assert not rest or unpack(rest) == b""
        wire.send(f"GET /open/after HTTP/1.1\r\n{H}\r\n")
        assert wire.read().status == 200


def test_events_are_never_held_back_by_a_compressor(gateway: GatewayProcess, upstream: Upstream) -> None:
    path = upstream.on("/open/events", chunked(b"data: 1\n\n" * 1000, fields="Content-Type: text/event-stream\r\n"))
    assert is_plain(ask(gateway, path, "gzip, br, zstd"), b"data: 1\n\n" * 1000)


def test_http_1_0_gets_a_compressed_stream_that_ends_with_the_connection(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    def slow(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        stream.send(b"6\r\n world\r\n0\r\n\r\n")

    with gateway.wire() as wire:
        wire.send(f"GET {upstream.on('/open/old', slow)} HTTP/1.0\r\n{H}Accept-Encoding: gzip\r\n\r\n")
        response = wire.begin()
        body = response.read()
    packed = response.headers["Content-Encoding"] == "gzip"
    assert (gzip.decompress(body) if packed else body) == b"hello world"
    assert response.headers["Transfer-Encoding"] is None and response.headers["Connection"] == "close"


def test_an_answer_that_breaks_off_breaks_the_connection_and_does_not_look_whole(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    go_on = threading.Event()

    def stop(_request: Received, stream: Stream) -> None:
        stream.send(f"HTTP/1.1 200 OK\r\n{JSON}Content-Length: 100000\r\n\r\n".encode() + DOCUMENT)
        go_on.wait(10)
        stream.close()

    with gateway.wire() as wire:
        wire.send(f"GET {upstream.on('/open/broken', stop)} HTTP/1.1\r\n{H}Accept-Encoding: gzip\r\n\r\n")
        response = wire.begin()
        read = zlib.decompressobj(31)
        assert response.headers["Content-Encoding"] == "gzip" and read.decompress(response.read1(65536)) == DOCUMENT
        go_on.set()
        with pytest.raises((IncompleteRead, ConnectionError)):
            response.read()
        assert not read.eof


def test_a_big_compressed_download_has_flat_memory_and_waits_for_a_slow_reader(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    """Noise, so that it does not shrink to nothing, and the slow reader is felt."""
    total = 50_000_000
    noise = random.Random(1).randbytes(len(PIECE))
    sent = 0

    def serve(_request: Received, stream: Stream) -> None:
        nonlocal sent
        stream.send(f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {total}\r\n\r\n".encode())
        while sent < total:
            piece = noise[: min(total - sent, len(noise))]
            stream.send(piece)
            sent += len(piece)

    before = gateway.resident_bytes()
    checksum = length = 0
    read = zstd.ZstdDecompressor()
    with gateway.wire(30) as wire:
        wire.send(f"GET {upstream.on('/open/flow', serve)} HTTP/1.1\r\n{H}Accept-Encoding: zstd\r\n\r\n")
        response = wire.begin()
        first = response.read(65536)
        assert sent < total
        assert gateway.resident_bytes() - before < MOST_GROWTH
        for data in (first, *iter(lambda: response.read(1 << 18), b"")):
            piece = read.decompress(data)
            checksum, length = zlib.adler32(piece, checksum), length + len(piece)
    expected, left = 0, total
    while left:
        piece = noise[: min(left, len(noise))]
        expected, left = zlib.adler32(piece, expected), left - len(piece)
    assert (checksum, length) == (expected, total)
    assert gateway.resident_bytes() - before < MOST_GROWTH


def test_more_streams_than_compressors_are_passed_on_as_they_are(gateway: GatewayProcess, upstream: Upstream) -> None:
    most, go_on = 256, threading.Event()

    def slow(_request: Received, stream: Stream) -> None:
        stream.send(f"HTTP/1.1 200 OK\r\n{JSON}Content-Length: {len(DOCUMENT)}\r\n\r\n".encode() + DOCUMENT[:2000])
        go_on.wait(20)
        stream.send(DOCUMENT[2000:])

    path = upstream.on("/open/many", slow)
    wires = [gateway.wire(30) for _ in range(most + 10)]
    try:
        for wire in wires:
            wire.send(f"GET {path} HTTP/1.1\r\n{H}Accept-Encoding: gzip\r\n\r\n")
        begun = [wire.begin() for wire in wires]
        codings = [response.headers["Content-Encoding"] for response in begun]
        assert codings.count("gzip") == most and codings.count(None) == 10
        go_on.set()
        bodies = [response.read() for response in begun]
    finally:
        go_on.set()
        for wire in wires:
            wire.close()
    assert all(
        (gzip.decompress(body) if coding else body) == DOCUMENT for body, coding in zip(bodies, codings, strict=True)
    )
    assert ask(gateway, upstream.on("/open/later", chunked(DOCUMENT))).headers["Content-Encoding"] == "gzip"


def test_a_requests_own_coding_passes_untouched(gateway: GatewayProcess, upstream: Upstream) -> None:
    received: list[bytes] = []

    def take(request: Received, stream: Stream) -> None:
        received.append(request.read_body())
        stream.answer(str(request.value("content-encoding")).encode())

    body = gzip.compress(DOCUMENT)
    answer = gateway.ask("POST", upstream.on("/open/upload", take), body=body, headers={"Content-Encoding": "gzip"})
    assert answer.body == b"gzip" and received == [body]
