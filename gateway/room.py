"""How many clients one worker takes in, so that there is always a file descriptor for what it must do."""

import heapq
import logging
import resource
from typing import TYPE_CHECKING

from gateway.meters import ROOM_MADE

if TYPE_CHECKING:
    from gateway.client import ClientConnection
    from gateway.gate import Gate

log = logging.getLogger(__name__)
OTHER_DESCRIPTORS = 256  # listeners, logs, the broker, fetching keys, the operator's connections
LEAST = 16
SILENT_S = 1.0
SHARE = 50  # of all connections, one in so many is closed at once: looking for the oldest takes a while


class Room:
    """Beyond `most` connections those idle longest are closed; if none is idle, nobody is let in for a moment."""

    def __init__(self, gate: "Gate") -> None:
        self._gate = gate
        settings = gate.settings
        upstreams = settings.upstream_connections * sum(len(upstream.targets) for upstream in gate.upstreams.values())
        self.most = fitting(settings.client_connections, upstreams + OTHER_DESCRIPTORS)

    def is_left(self) -> bool:
        """True if one more may come in."""
        gate = self._gate
        return len(gate.clients) + len(gate.arriving) < self.most or self._make()

    def _make(self) -> bool:
        now = self._gate.loop.time()
        idle = [client for client in self._gate.clients if client.is_idle and _may_go(client, now)]
        oldest = heapq.nsmallest(1 + self.most // SHARE, idle, key=_idle_since)
        for client in oldest:
            client.transport.abort()
        ROOM_MADE.labels("idle_closed").inc(len(oldest))
        if not oldest:
            ROOM_MADE.labels("accept_paused").inc()
        return bool(oldest)


def _may_go(client: "ClientConnection", now: float) -> bool:
    """A connection that has asked nothing yet is about to, if it is not there for long."""
    return bool(client.head_bytes) or now - _idle_since(client) > SILENT_S


def _idle_since(client: "ClientConnection") -> float:
    """When it began to wait for a request; the first one has less time than the next."""
    settings = client.gate.settings
    return client.deadline - (settings.keepalive_s if client.head_bytes else settings.header_timeout_s)


def fitting(wanted: int, others: int) -> int:
    """`wanted`, or as many as there are descriptors for beside `others`; the limit is raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + others
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    most = max(LEAST, soft - others, soft // 4)
    log.warning("%d file descriptors are enough for %d client connections, not %d", soft, most, wanted)
    return most
