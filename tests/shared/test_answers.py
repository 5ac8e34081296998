"""Answers of others: whole, in time, and not too much, however they come over the wire."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from shared import answers

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
Answer = tuple[bytes, list[bytes], float]


class Server:
    """It answers every request with these pieces, a pause before each, and notes whether all of them were wanted."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/"
        self.answer: Answer = (b"", [], 0.0)
        self.was_cut = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            head, pieces, pause_s = self.answer
            with connection:
                try:
                    connection.recv(65_536)
                    connection.sendall(HEAD + head + b"\r\n")
                    for piece in pieces:
                        time.sleep(pause_s)
                        connection.sendall(piece)
                except OSError:
                    self.was_cut.set()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.socket.close()


@pytest.fixture
def read(server: Server) -> Callable[..., bytes]:
    def _read(head: bytes, *pieces: bytes, pause_s: float = 0.0, budget_s: float = 20, max_bytes: int = 1_000) -> bytes:
        server.answer = head, list(pieces), pause_s
        with requests.get(server.url, timeout=20, stream=True) as response:
            return answers.read(response, ends_at=time.monotonic() + budget_s, max_bytes=max_bytes)

    return _read


PACKED = gzip.compress(b"packed " * 100)


@pytest.mark.parametrize(
    ("head", "pieces", "body"),
    [
        (b"Content-Length: 6\r\n", [b"ab", b"", b"cdef"], b"abcdef"),
        (b"Content-Length: 0\r\n", [], b""),
        (b"", [b"to the ", b"end"], b"to the end"),
        (b"Transfer-Encoding: chunked\r\n", [b"3\r\nabc\r\n2\r\n", b"de\r\n0\r\n\r\n"], b"abcde"),
        (b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(PACKED), [PACKED[:9], PACKED[9:]], b"packed " * 100),
    ],
)
def test_an_answer_is_read_whole(read: Callable[..., bytes], head: bytes, pieces: list[bytes], body: bytes) -> None:
    assert read(head, *pieces, pause_s=0.01) == body


@pytest.mark.parametrize("head", [b"Content-Length: 2000\r\n", b"", b"Content-Encoding: gzip\r\n"])
def test_too_much_is_not_read_on(read: Callable[..., bytes], head: bytes) -> None:
    body = gzip.compress(b"x" * 2_000) if b"gzip" in head else b"x" * 2_000
    with pytest.raises(answers.TooMuch):
        read(head, body)


@pytest.mark.parametrize("head", [b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_half_an_answer_is_none(read: Callable[..., bytes], head: bytes) -> None:
    with pytest.raises(requests.ConnectionError):
        read(head, b"5\r\nhal")


def test_who_drips_is_cut_off_before_the_end(server: Server, read: Callable[..., bytes]) -> None:
    """A byte now and then keeps every timeout of a single read from passing."""
    server.was_cut.clear()
    with pytest.raises(requests.Timeout):
        read(b"Content-Length: 900\r\n", *[b" "] * 900, pause_s=0.02, budget_s=0.1)
    assert server.was_cut.wait(30), "it was heard to the end"
