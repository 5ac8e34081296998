"""Clients that are slow on purpose: each begins a request and then sends a byte now and then."""

import selectors
import socket
import threading
import time
from collections import Counter

HOST = "127.0.0.1"
HEAD = b"GET /open/x HTTP/1.1\r\nHost: gateway.example\r\nX-Slow: "


def begun(path: str) -> bytes:
    """The head of a request whose body is to come."""
    return f"POST {path} HTTP/1.1\r\nHost: gateway.example\r\nContent-Length: 100000\r\n\r\n".encode()


class Crowd:
    """`slow` connections, every other one slow with its head, the rest with a body; `ends` counts how they ended."""

    def __init__(self, port: int, slow: int, every_s: float = 0.3, *, body: bytes) -> None:
        self._address = (HOST, port)
        self._slow = slow
        self._every_s = every_s
        self._body = body
        self._selector = selectors.DefaultSelector()
        self._open: dict[socket.socket, bytes] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drip)
        self.ends: Counter[str] = Counter()

    def __enter__(self) -> "Crowd":
        for number in range(self._slow):
            connection = socket.create_connection(self._address, timeout=10)
            connection.setblocking(False)
            self._open[connection] = b""
            self._selector.register(connection, selectors.EVENT_READ)
            self._send(connection, self._body if number % 2 else HEAD)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for connection in list(self._open):
            self._end(connection, "left")
        self._selector.close()

    @property
    def left(self) -> int:
        """How many are still there."""
        return len(self._open)

    def _drip(self) -> None:
        next_at = time.monotonic()
        while self._open and not self._stop.is_set():
            for key, _ in self._selector.select(0.05):
                assert isinstance(key.fileobj, socket.socket)
                self._hear(key.fileobj)
            if time.monotonic() >= next_at:
                next_at = time.monotonic() + self._every_s
                for connection in list(self._open):
                    self._send(connection, b"x")

    def _send(self, connection: socket.socket, data: bytes) -> None:
        try:
            connection.send(data)
        except BlockingIOError:
            pass
        except OSError:
            self._end(connection, "cut off")

    def _hear(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(4096)
        except OSError:
            data = b""
        if data:
            self._open[connection] += data
        else:
            self._end(connection, "cut off")

    def _end(self, connection: socket.socket, how: str) -> None:
        heard = self._open.pop(connection, None)
        if heard is not None:
            self._selector.unregister(connection)
            connection.close()
            self.ends[heard[9:12].decode() or how] += 1
