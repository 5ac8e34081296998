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

LINE = (
    b'{"time":"%b.%03d+00:00","level":"INFO","component":"gateway","logger":"access","message":"request",'
    b'"request_id":"%b","trace_id":"%b",%b,"duration_ms":%.2f,"upstream_ms":%.2f,'
    b'"bytes_in":%d,"bytes":%d,"client":"%b"%b%b%b}\n'
)


class AccessLog:
    """Lines are collected by the event loop and handed over in batches by `flush`."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self._batches: queue.Queue[bytes | None] = queue.Queue(MOST_PENDING)
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._second = 0
        self._clock = b""
        self.dropped = 0  # and not yet told in the log
        self.lost = 0  # and not yet counted in the metrics

    def start(self) -> None:
        self._thread.start()

    def add(self, exchange: "Exchange", kind: bytes, seconds: float, upstream_seconds: float) -> None:
        """Keep one line: every value here is a number, comes from a fixed set, or has been checked.

        `kind` is what all of its kind say: method, route, upstream and status (`meters.Meter`).
        """
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)).encode()
        grant, call, request, hops = exchange.grant, exchange.call, exchange.request, exchange.gate.trusted_hops
        self._lines.append(
            LINE
            % (
                self._clock,
                (now - self._second) * 1000,
                exchange.request_id,
                exchange.traceparent[3:35],
                kind,
                seconds * 1000,
                upstream_seconds * 1000,
                request.body_bytes,
                exchange.bytes_out,
                exchange.address if hops else exchange.client.address,
                b',"limit":"%b"' % exchange.limited_by.encode() if exchange.limited_by else b"",
                b"" if call is None or call.tries == 1 else b',"attempts":%d' % call.tries,
                exchange.log_more if grant is None else grant.log_field,
            )
        )

    def flush(self) -> None:
        """Hand what was collected to the writing thread."""
        if self.dropped and not self._batches.full():
            lost = {"level": "WARNING", "component": "gateway", "logger": "access", "dropped_lines": self.dropped}
            self._lines.append(json.dumps(lost).encode() + b"\n")
            self.dropped = 0
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        try:
            self._batches.put_nowait(b"".join(lines))
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
