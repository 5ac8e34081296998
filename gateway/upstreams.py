"""A service as the route table names it, and where it is."""

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.pool import Pool
from shared.errors import Unavailable

if TYPE_CHECKING:
    from gateway.call import Call


class Upstream:
    """Finds a connection for each call."""

    def __init__(self, name: str, url: str, *, most: int, keepalive_s: float) -> None:
        parts = urlsplit(url)
        self.name = name
        self.authority = parts.netloc.encode()
        self.pools = [Pool(name, parts.hostname or "", parts.port or 80, most=most, keepalive_s=keepalive_s)]

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on calls may come."""
        for pool in self.pools:
            pool.loop = loop

    def connect(self, call: "Call", *, fresh: bool = False) -> None:
        """Give the call a connection, now or later; `fresh` means one that nobody has used."""
        self.pools[0].connect(call, fresh=fresh)

    def tick(self, now: float) -> None:
        """What is done a few times a second."""
        for pool in self.pools:
            pool.close_idle(now)
            pool.known_answers.forget()

    def retire(self) -> None:
        """No new call will come: connections are closed as soon as they are idle."""
        for pool in self.pools:
            pool.keepalive_s = 0

    def busy(self) -> Unavailable:
        """The answer for a call that waited in vain."""
        return Unavailable(f"The {self.name} service has too many requests to answer.", code="upstream_busy")

    def connections(self) -> dict[str, int]:
        """How many are `idle` and `busy`, and how many calls are `waiting` for one."""
        idle = sum(len(pool.idle) for pool in self.pools)
        waiting = sum(len(pool.waiting) for pool in self.pools)
        return {"idle": idle, "busy": sum(pool.open for pool in self.pools) - idle, "waiting": waiting}
