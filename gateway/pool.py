"""Kept-alive connections to one target of a service: taken by a call, given back when its response is complete."""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from gateway.connection import UpstreamConnection
from gateway.heads import KnownAnswers
from gateway.problems import BadGateway, GatewayTimeout
from shared.errors import Problem

if TYPE_CHECKING:
    from gateway.call import Call

log = logging.getLogger(__name__)
# A request that must not be sent twice goes out only on a connection used so recently that no server has given it up.
SAFE_IDLE_S = 1.0


class Pool:
    """A target's address, its connections (`open` counts those being made too), and who waits for one."""

    def __init__(self, name: str, host: str, port: int, *, most: int, keepalive_s: float) -> None:
        self.name = name  # of the service
        self.host = host
        self.port = port
        self.most = most
        self.keepalive_s = keepalive_s
        self.known_answers = KnownAnswers()
        self.idle: list[UpstreamConnection] = []
        self.waiting: deque[Call] = deque()
        self.open = 0
        self.good = 0  # answers below 500, ever
        self._good_before = 0
        self._is_retired = False
        self.loop: asyncio.AbstractEventLoop
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self, call: "Call", *, fresh: bool = False) -> None:
        """Give the call a connection: an idle one at once, or a new one, or the next that is given back."""
        connection = None if fresh else self._take(call.is_idempotent)
        if connection is not None:
            connection.is_reused = True
            connection.begin(call)
        elif self.open < self.most:
            call.wait()
            self._start_opening(call)
        else:
            call.wait()
            self.waiting.append(call)

    def _take(self, is_idempotent: bool) -> UpstreamConnection | None:
        """The connection used last: the others grow old and are closed."""
        while self.idle:
            connection = self.idle.pop()
            if connection.transport.is_closing():
                continue
            if not is_idempotent and self.loop.time() - connection.idle_since > SAFE_IDLE_S:
                self.idle.append(connection)
                return None
            return connection
        return None

    def _start_opening(self, call: "Call") -> None:
        self.open += 1
        task = self.loop.create_task(self._open(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _new_connection(self) -> UpstreamConnection:
        return UpstreamConnection(self)

    async def _open(self, call: "Call") -> None:
        problem: Problem | None = None
        exchange = call.exchange
        try:
            async with asyncio.timeout(exchange.route.connect_s):
                _, connection = await self.loop.create_connection(self._new_connection, self.host, self.port)
        except TimeoutError:
            detail = f"The {self.name} service could not be reached in time."
            problem = GatewayTimeout(detail, code="upstream_connect_timeout")
        except OSError as error:
            log.warning("cannot reach %s: %s", self.name, error)
            problem = BadGateway(f"The {self.name} service cannot be reached.", code="upstream_unreachable")
        if problem is not None:
            self.open -= 1
            call.failed(problem)
            self._serve_waiting()
        elif exchange.is_over:
            self.give_back(connection)
        else:
            connection.begin(call)
            call.flush()

    def _serve_waiting(self) -> None:
        while self.waiting and self.open < self.most:
            call = self.waiting.popleft()
            if not call.exchange.is_over:
                self._start_opening(call)

    def give_back(self, connection: UpstreamConnection) -> None:
        """A connection is free again: the call that has waited longest gets it."""
        while self.waiting:
            call = self.waiting.popleft()
            if not call.exchange.is_over:
                connection.is_reused = True
                connection.begin(call)
                call.flush()
                return
        if self._is_retired:
            connection.transport.close()
        else:
            connection.idle_since = self.loop.time()
            self.idle.append(connection)

    @property
    def is_full(self) -> bool:
        """True if the next call would have to wait."""
        return self.open >= self.most and not self.idle

    def newly_good(self) -> int:
        """How many answers have been good since this was last asked."""
        new = self.good - self._good_before
        self._good_before = self.good
        return new

    def retire(self) -> None:
        """No new call will come: connections are closed as soon as they are idle."""
        self._is_retired = True
        for connection in self.idle:
            connection.transport.close()

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection has ended."""
        self.open -= 1
        if connection in self.idle:
            self.idle.remove(connection)
        self._serve_waiting()

    def close_idle(self, now: float) -> None:
        """Close connections idle for longer than `keepalive_s`, before the service does."""
        limit = now - self.keepalive_s
        while self.idle and self.idle[0].idle_since < limit:
            self.idle.pop(0).transport.close()
