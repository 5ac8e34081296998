"""One JSON line for each request, written by a thread so that a slow reader of stdout never holds up the event loop.

The route template stands for the path: a raw path or a query may hold what is private.
"""

import json
import os
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.exchange import Exchange

MOST_PENDING = 64  # batches; beyond that the reader is too slow, and lines are counted and dropped


class AccessLog:
    """Lines are collected by the event loop and handed over in batches by `flush`."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._lines: list[str] = []
        self._batches: queue.Queue[bytes | None] = queue.Queue(MOST_PENDING)
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._second = 0
        self._clock = ""
        self.dropped = 0  # and not yet told in the log
        self.lost = 0  # and not yet counted in the metrics

    def start(self) -> None:
        self._thread.start()

    def add(self, exchange: "Exchange", seconds: float, upstream_seconds: float) -> None:
        """Keep one line: every value here is a number, comes from a fixed set, or has been checked."""
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        grant, request, trace = exchange.grant, exchange.request, exchange.traceparent
        limit = f',"limit":"{exchange.limited_by}"' if exchange.limited_by else ""
        user = f',"user_id":"{grant.user_id}"' if grant is not None else ""
        self._lines.append(
            f'{{"time":"{self._clock}.{int(now % 1 * 1000):03d}+00:00","level":"INFO","component":"gateway",'
            f'"logger":"access","message":"request","request_id":"{exchange.request_id.decode()}",'
            f'"trace_id":"{trace[3:35].decode()}","method":"{request.method.decode()}",{exchange.route.log_fields},'
            f'"status":{exchange.status},"duration_ms":{seconds * 1000:.2f},'
            f'"upstream_ms":{upstream_seconds * 1000:.2f},"bytes_in":{request.body_bytes},"bytes":{exchange.bytes_out},'
            f'"client":"{exchange.address.decode()}"{limit}{user}}}\n'
        )

    def flush(self) -> None:
        """Hand what was collected to the writing thread."""
        if self.dropped and not self._batches.full():
            lost = {"level": "WARNING", "component": "gateway", "logger": "access", "dropped_lines": self.dropped}
            self._lines.append(json.dumps(lost) + "\n")
            self.dropped = 0
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        try:
            self._batches.put_nowait("".join(lines).encode())
        except queue.Full:
            self.dropped += len(lines)
            self.lost += len(lines)

    def stop(self) -> None:
        """Write what is left, waiting at most two seconds for a slow reader."""
        self.flush()
        try:
            self._batches.put(None, timeout=1)
        except queue.Full:
            return
        self._thread.join(timeout=1)

    def _write(self) -> None:
        descriptor = sys.stdout.fileno() if self._descriptor is None else self._descriptor
        while (batch := self._batches.get()) is not None:
            view = memoryview(batch)
            while view:
                try:
                    view = view[os.write(descriptor, view) :]
                except BlockingIOError:
                    time.sleep(0.01)
                except OSError:
                    break
