"""Asks targets whether they are well. Every worker asks for itself: what one cannot reach, another may."""

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, cast

import httptools
from pydantic import Field

from gateway.values import PathTemplate, Seconds, Strict

if TYPE_CHECKING:
    from gateway.targets import Target

Count = Annotated[int, Field(ge=1, le=100)]


class HealthEntry(Strict):
    """`path` is asked every `interval_s`; `unhealthy` bad answers in a row put a target out, `healthy` good ones in."""

    path: PathTemplate
    interval_s: Seconds = 5
    timeout_s: Seconds = 2
    healthy: Count = 2
    unhealthy: Count = 3


class Health:
    """Of one target. Nothing is known at first: the first answer decides alone."""

    def __init__(self, entry: HealthEntry) -> None:
        self.entry = entry
        self.is_good = True
        self._is_known = False
        self._against = 0  # answers in a row that say otherwise

    def note(self, is_good: bool) -> bool:
        """True if this answer has changed the state."""
        self._against = 0 if is_good == self.is_good else self._against + 1
        enough = (self.entry.healthy if is_good else self.entry.unhealthy) if self._is_known else 1
        self._is_known = True
        if self._against < enough:
            return False
        self.is_good = is_good
        self._against = 0
        return True


class _Question(asyncio.Protocol):
    """One request on a connection of its own, so that connecting is tried too; well is a status from 200 to 299."""

    def __init__(self, request: bytes, status: "asyncio.Future[int]") -> None:
        self._request = request
        self._status = status
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._say(0)

    def on_headers_complete(self) -> None:
        self._say(self._parser.get_status_code())

    def connection_lost(self, error: Exception | None) -> None:
        self._say(0)

    def _say(self, status: int) -> None:
        if not self._status.done():
            self._status.set_result(status)


async def ask(target: "Target", entry: HealthEntry) -> bool:
    """True if the target says in time that it is well."""
    loop = asyncio.get_running_loop()
    status: asyncio.Future[int] = loop.create_future()
    fields = f"host: {target.label}\r\nuser-agent: gatehouse-health\r\nconnection: close\r\n"
    head = f"GET {entry.path} HTTP/1.1\r\n{fields}\r\n".encode()
    transport: asyncio.BaseTransport | None = None
    try:
        async with asyncio.timeout(entry.timeout_s):
            pool = target.pool
            transport, _ = await loop.create_connection(lambda: _Question(head, status), pool.host, pool.port)
            return 200 <= await status <= 299
    except (OSError, TimeoutError):
        return False
    finally:
        if transport is not None:
            transport.close()


async def follow(target: "Target", health: Health, changed: Callable[["Target"], None]) -> None:
    """Ask on and on; a little irregularly, lest all workers ask at once."""
    while True:
        if health.note(await ask(target, health.entry)):
            changed(target)
        await asyncio.sleep(health.entry.interval_s * random.uniform(0.9, 1.1))  # noqa: S311 - guards nothing
