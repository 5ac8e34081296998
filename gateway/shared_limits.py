"""Limits that all workers and replicas share, counted in Redis or Valkey: `limiter.py`, with the buckets elsewhere.

What came in while one script ran goes into the next: one round trip for many requests, one at a time for each worker.
"""

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway import meters
from gateway.limiter import Limiter, Step, judge, key_of
from gateway.limits import Limit
from shared.errors import Problem, Unavailable

if TYPE_CHECKING:
    from gateway.config import GatewaySettings
    from gateway.exchange import Exchange

log = logging.getLogger(__name__)
PREFIX = b"gatehouse:limit:"
MOST_AT_ONCE = 256
RETRY_S = 1.0  # after a failure nobody waits for it again until then
WAIT_S = 10.0  # for the client's deadline: the server's own comes long before
# `Buckets.take` for each key, by the server's clock, in microseconds.
SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local found = {}
for i, key in ipairs(KEYS) do
    local interval, tolerance = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local full_at = math.max(tonumber(redis.call('GET', key) or now), now)
    local ahead = full_at - now + interval
    if ahead <= tolerance + 1 then
        redis.call('SET', key, string.format('%.2f', now + ahead), 'PX', math.ceil(ahead / 1000))
    end
    found[i] = string.format('%.2f', ahead)
end
return found
"""
Asked = tuple["Exchange", tuple[Limit, ...], Step]


class SharedLimiter(Limiter):
    """When the server is down or slow, requests pass (`open`) or are 503 (`closed`), by setting; none waits long."""

    def __init__(self, settings: "GatewaySettings", url: str) -> None:
        super().__init__(settings, share=1)
        self._timeout_s = settings.limits_timeout_s
        self._is_closed = settings.limits_without_redis == "closed"
        self._redis = Redis.from_url(
            url,
            socket_connect_timeout=self._timeout_s,
            socket_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), 1),  # once, for a connection that was closed while it was idle
        )
        self._script = self._redis.register_script(SCRIPT)
        self._waiting: list[Asked] = []
        self._is_asking = False
        self._is_up = True
        self._asks_again_at = 0.0

    def admit(self, exchange: "Exchange", limits: tuple[Limit, ...], go_on: Step) -> bool:
        """False: the exchange goes on with `go_on`, or is refused, once the answer is here. All buckets are asked."""
        if monotonic() < self._asks_again_at:
            self._do_without(limits)
            return True
        exchange.client.set_deadline(WAIT_S)
        self._waiting.append((exchange, limits, go_on))
        if not self._is_asking:
            self._is_asking = True
            exchange.gate.later(self._ask())
        return False

    async def _ask(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                found = await self._take(batch)
                for exchange, limits, go_on in batch:
                    if not exchange.is_over:
                        self._decide(exchange, limits, go_on, found and [found.pop(0) for _ in limits])
                    elif found:
                        del found[: len(limits)]
        finally:
            self._is_asking = False

    async def _take(self, batch: list[Asked]) -> list[float] | None:
        """`Buckets.take` for every limit of every exchange in a row; None if the server does not answer."""
        if monotonic() < self._asks_again_at:
            return None
        keys: list[bytes] = []
        arguments: list[float] = []
        for exchange, limits, _ in batch:
            for limit in limits:
                key = key_of(limit, exchange)
                keys.append(b"%b%b:%b" % (PREFIX, limit.name.encode(), key if isinstance(key, bytes) else key.encode()))
                rule = self.buckets(limit).rule
                arguments += (rule.interval_s * 1e6, rule.tolerance_s * 1e6)
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._script(keys=keys, args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            self._asks_again_at = monotonic() + RETRY_S
            if self._is_up:
                log.error("limits are not counted, Redis does not answer: %s", error or type(error).__name__)
            self._is_up = False
            return None
        if not self._is_up:
            log.warning("limits are counted again")
        self._is_up = True
        return [float(ahead) / 1e6 for ahead in found]

    def _decide(self, exchange: "Exchange", limits: tuple[Limit, ...], go_on: Step, found: list[float] | None) -> None:
        try:
            if found is None:
                self._do_without(limits)
            else:
                for limit, ahead_s in zip(limits, found, strict=True):
                    judge(exchange, limit, self.buckets(limit), ahead_s)
            go_on(exchange)
            exchange.flush_request()
        except Problem as problem:
            if not exchange.is_over:
                exchange.refuse(problem)
        except Exception as error:  # one exchange's mistake is not the others'
            exchange.gate.report(error)
            exchange.refuse(Problem("Something went wrong here; it has been logged."))

    def _do_without(self, limits: tuple[Limit, ...]) -> None:
        """Raise Unavailable if what cannot be counted may not pass."""
        if self._is_closed and not all(limit.is_shadow for limit in limits):
            meters.UNCOUNTED.labels("closed").inc()
            raise Unavailable("The limits cannot be counted now.", code="limits_unavailable")
        meters.UNCOUNTED.labels("open").inc()

    async def close(self) -> None:
        await self._redis.aclose()
