"""The gunicorn worker that is the gateway's data path: uvloop, llhttp on both sides, Flask for its own pages."""

import asyncio
import gc
import os
import signal
from typing import TYPE_CHECKING, Any

import uvloop
from gunicorn.workers.base import Worker

from gateway import configuration

if TYPE_CHECKING:  # gunicorn's master imports this module: it must not load what a reload should load anew
    from gateway.gate import Gate
    from gateway.wsgi import Pages

LINGER_S = 2.0  # an idle connection's last chance while the worker stops: a request may be on its way
NOTIFY_S = 1.0


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
        from gateway.listeners import listeners
        from gateway.wsgi import Pages

        pages = Pages(app, self.cfg.threads)
        self.gate.open(self.loop, pages)
        self.listeners = listeners(self.gate, [one.sock for one in self.sockets])
        self.notify()
        await self.gate.ready_to_accept()
        gc.collect()
        gc.freeze()  # what has been loaded stays: the collector need not look at it again and again
        for listener in self.listeners:
            listener.open()
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

    async def _drain(self, pages: "Pages") -> None:
        """Take what waits at the door, stop listening, answer what is in flight."""
        for listener in self.listeners:
            listener.close()
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
