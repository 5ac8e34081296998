"""A constant rate, whatever the proxy does: a request's time runs from when it was due, not from when it could be sent.

A load generator that waits for answers before it goes on leaves out just the requests that would have waited longest
(coordinated omission); here they wait in a queue, and the wait counts.
"""

import gc
import re
import select
import socket
import statistics
import time
from dataclasses import dataclass

CONNECTIONS = 64
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Latency:
    p50_ms: float
    p99_ms: float


def measure(host: str, port: int, requests: list[bytes], *, rate: int, seconds: float) -> Latency:
    """Send `rate` requests a second, evenly, on 64 kept-alive connections."""
    connections = [socket.create_connection((host, port)) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    gc.disable()
    try:
        _drive(connections, requests, rate, rate // 4)  # connections to the upstream are made, tokens verified
        taken = _drive(connections, requests, rate, int(rate * seconds))
    finally:
        gc.enable()
        for connection in connections:
            connection.close()
    hundredths = statistics.quantiles(taken, n=100)
    return Latency(hundredths[49] * 1000, hundredths[98] * 1000)


def _drive(connections: list[socket.socket], requests: list[bytes], rate: int, count: int) -> list[float]:
    """Seconds that each of `count` requests took."""
    free = list(connections)
    due_at: dict[socket.socket, float] = {}
    unread: dict[socket.socket, bytes] = {}
    taken: list[float] = []
    begun_at, sent = time.perf_counter(), 0
    while len(taken) < count:
        now = time.perf_counter()
        while sent < count and free and begun_at + sent / rate <= now:
            connection = free.pop(0)
            due_at[connection] = begun_at + sent / rate
            connection.sendall(requests[sent % len(requests)])
            sent += 1
        wait = begun_at + sent / rate - now if sent < count and free else 1.0
        # Not epoll: its timeout is whole milliseconds.
        for connection in select.select(list(due_at), [], [], max(0.0, wait))[0]:
            answer = unread.pop(connection, b"") + connection.recv(65_536)
            if is_whole(answer):
                taken.append(time.perf_counter() - due_at.pop(connection))
                free.append(connection)
            else:
                unread[connection] = answer
    return taken


def is_whole(answer: bytes) -> bool:
    """True once all of a 200 with a length is there. Raise ValueError for anything else."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not answer:
        raise ValueError("the proxy closed the connection")
    if not end:
        return False
    length = LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 200") or length is None:
        raise ValueError(f"not an answer to measure: {head[:200]!r}")
    return len(body) >= int(length[1])
