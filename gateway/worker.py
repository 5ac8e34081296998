"""The gunicorn worker that is the gateway's data path: uvloop, llhttp on both sides, Flask for its own pages."""

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import uvloop
from gunicorn.workers.base import Worker

from gateway import configuration

if TYPE_CHECKING:  # gunicorn's master imports this module: it must not load what a reload should load anew
    from gateway.gate import Gate
    from gateway.wsgi import Pages

LINGER_S = 2.0  # an idle connection's last chance while the worker stops: a request may be on its way
NOTIFY_S = 1.0
# What the kernel holds back for a slow reader: little, so that a slow but steady one shows that it moves.
UNSENT_BYTES = 131_072


class ProxyWorker(Worker):  # type: ignore[misc]
    """`gunicorn -k gateway.worker.ProxyWorker "gateway.app:create_app()"`."""

    @classmethod
    def check_config(cls, _cfg: Any, _log: Any) -> None:
        """In the master, before any worker: a mistake in the settings or the route table ends it with status 2."""
        configuration.check()

    def run(self) -> None:
        """Serve until told to stop; `create_app` has made the gate, and all of gunicorn's process model holds."""
        app: Any = self.wsgi
        self.gate: Gate = app.extensions["gate"]
        self.tasks: set[asyncio.Task[Any]] = set()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(app))

    def init_signals(self) -> None:
        super().init_signals()
        signal.set_wakeup_fd(-1)  # the event loop has its own

    async def _serve(self, app: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self.loop.add_signal_handler(number, self._stop, number)
        if not self.alive:  # told to stop while it was still loading
            return
        from gateway.client import ClientConnection
        from gateway.wsgi import Pages

        self.new_client = lambda: ClientConnection(self.gate)
        pages = Pages(app, self.cfg.threads)
        self.gate.open(self.loop, pages)
        self.notify()
        await self.gate.ready_to_accept()
        gc.collect()
        gc.freeze()  # what has been loaded stays: the collector need not look at it again and again
        for listener in self.sockets:
            listener.setblocking(False)
            with contextlib.suppress(OSError):  # not TCP; connections inherit it
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
            self.loop.add_reader(listener.fileno(), self._accept, listener.sock)
        self.log.info("Accepting connections (pid: %s)", self.pid)
        while not self.stopped.is_set():
            self.notify()
            if os.getppid() != self.ppid:
                self.log.info("Parent changed, shutting down: %s", self)
                break
            try:
                await asyncio.wait_for(self.stopped.wait(), NOTIFY_S)
            except TimeoutError:
                continue
        await self._drain(pages)

    def _stop(self, number: int) -> None:
        self.alive = False
        self.is_quick = number != signal.SIGTERM
        self.stopped.set()

    def _accept(self, listener: socket.socket) -> bool:
        """Take one connection: the other workers share the listener, and one at a time spreads the load."""
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            self.log.error("Cannot accept: %s", error)
            self.loop.remove_reader(listener.fileno())
            self.loop.call_later(1, self.loop.add_reader, listener.fileno(), self._accept, listener)
            return False
        connection.setblocking(False)
        task = self.loop.create_task(self.loop.connect_accepted_socket(self.new_client, connection))
        self.tasks.add(task)
        task.add_done_callback(self._accepted)
        return True

    def _accepted(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.debug("A connection ended as it began: %s", error)

    async def _drain(self, pages: "Pages") -> None:
        """Take what waits at the door, stop listening, answer what is in flight."""
        for listener in self.sockets:
            self.loop.remove_reader(listener.fileno())
            while self._accept(listener.sock):
                pass
            listener.sock.close()
        await asyncio.sleep(0)
        heartbeat = self.loop.create_task(self._beat())
        quick = getattr(self, "is_quick", False)
        await self.gate.drain(0 if quick else LINGER_S, 0 if quick else self.cfg.graceful_timeout)
        heartbeat.cancel()
        pages.close()

    async def _beat(self) -> None:
        while True:
            self.notify()
            await asyncio.sleep(NOTIFY_S)
