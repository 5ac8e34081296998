"""The second process of a service: its loops in threads, its health and metrics over HTTP."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shared import logs, metrics, trace
from shared.settings import Settings

log = logging.getLogger(__name__)
Loop = Callable[[threading.Event], None]
ReadyChecks = Mapping[str, Callable[[], None]]
STOP_TIMEOUT_S = 20.0


def run(component: str, settings: Settings, loops: Mapping[str, Loop], ready: ReadyChecks) -> int:
    """Run `loops` until SIGTERM or SIGINT; the exit status.

    Each loop gets an event that says when to stop. A loop that ends or raises before ends the whole process with
    status 1: half a worker is worse than one that is started again.
    """
    logs.configure(component, settings.log_level)
    trace.start(component)
    stop = threading.Event()
    failed = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = _serve_health(settings.worker_bind, ready)
    threads = [
        threading.Thread(target=_guard, args=(name, loop, stop, failed), name=name, daemon=True)
        for name, loop in loops.items()
    ]
    for thread in threads:
        thread.start()
    log.info("worker started", extra={"loops": list(loops), "pid": os.getpid()})
    stop.wait()
    for thread in threads:
        thread.join(STOP_TIMEOUT_S)
    trace.stop()
    server.shutdown()
    return 1 if failed.is_set() else 0


def _guard(name: str, loop: Loop, stop: threading.Event, failed: threading.Event) -> None:
    try:
        loop(stop)
    except Exception:
        log.exception("the loop %s failed", name)
    finally:
        if not stop.is_set():
            failed.set()
            stop.set()


def every(interval_s: float, task: Callable[[], object]) -> Loop:
    """A loop that runs `task` again and again; a failure is logged and the next turn tries again."""

    def loop(stop: threading.Event) -> None:
        while not stop.wait(interval_s):
            try:
                task()
            except Exception as error:
                log.warning("a periodic task failed", exc_info=error)

    return loop


def _serve_health(bind: str, ready: ReadyChecks) -> ThreadingHTTPServer:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/livez":
                self._answer(200, b"ok\n")
            elif self.path == "/readyz":
                failed = [name for name, check in ready.items() if not _passes(check)]
                self._answer(
                    503 if failed else 200, f"not ready: {', '.join(failed)}\n".encode() if failed else b"ok\n"
                )
            elif self.path == "/metrics":
                body, content_type = metrics.expose()
                self._answer(200, body, content_type)
            else:
                self._answer(404, b"not found\n")

        def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes are not worth a line."""

    host, _, port = bind.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Health)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def _passes(check: Callable[[], None]) -> bool:
    try:
        check()
    except Exception:
        return False
    return True
