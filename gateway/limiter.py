"""The buckets of one worker, and what becomes of a request that finds its bucket empty."""

import logging
from collections.abc import Callable
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING

from gateway import meters
from gateway.addresses import group
from gateway.limits import KEY, ROUTE, SLACK_S, USER, Buckets, Limit, Rule, api_key
from gateway.problems import RateLimited

if TYPE_CHECKING:
    from gateway.config import GatewaySettings
    from gateway.exchange import Exchange

log = logging.getLogger(__name__)
Step = Callable[["Exchange"], None]  # what comes after the limits


class Limiter:
    """Counts in this process. Each worker has its `share` of every limit, so that the sum is right."""

    def __init__(self, settings: "GatewaySettings", share: float) -> None:
        self._factor = settings.limits_factor
        self._share = share
        self._size = settings.limit_buckets
        self._buckets: dict[Limit, Buckets] = {}

    def admit(self, exchange: "Exchange", limits: tuple[Limit, ...], go_on: Step) -> bool:
        """True if the exchange may go on now. Raise RateLimited if a bucket is empty; those before it are one lower."""
        now = monotonic()
        for limit in limits:
            buckets = self._buckets.get(limit)
            if buckets is None:
                buckets = self.buckets(limit)
            judge(exchange, limit, buckets, buckets.take(key_of(limit, exchange), now))
        return True

    def buckets(self, limit: Limit) -> Buckets:
        """The buckets of a limit; one of a new table goes on with those of its namesake in the table before."""
        known = self._buckets.get(limit)
        if known is not None:
            return known
        buckets = Buckets(Rule.of(limit, self._factor, self._share), self._size)
        for older in [older for older in self._buckets if older.name == limit.name]:
            buckets.inherit(self._buckets.pop(older))
        self._buckets[limit] = buckets
        return buckets

    def flush_meters(self) -> None:
        """Hand the numbers to prometheus_client, and log what shadow limits would have refused."""
        for limit, buckets in self._buckets.items():
            meters.LIMIT_BUCKETS.labels(limit.name).set(len(buckets))
            refused, buckets.refused = buckets.refused, 0
            if refused:
                meters.RATE_LIMITED.labels(limit.name, "shadow" if limit.is_shadow else "enforce").inc(refused)
            if refused and limit.is_shadow:
                log.info("the limit %s would have refused %d request(s)", limit.name, refused)

    async def close(self) -> None:
        """The worker ends."""


def key_of(limit: Limit, exchange: "Exchange") -> str | bytes:
    """Whose bucket it is; who has no user or no key is counted by address."""
    if limit.by == USER:
        if exchange.grant is not None:
            return exchange.grant.user_id
    elif limit.by == ROUTE:
        return exchange.route.template
    elif limit.by == KEY and limit.header is not None:
        key = api_key(exchange.request.fields, limit.header)
        if key is not None:
            return key
    return group(exchange.address)


def judge(exchange: "Exchange", limit: Limit, buckets: Buckets, ahead_s: float) -> None:
    """Tell the client of the bucket with least left in it. Raise RateLimited if this request was too much."""
    rule = buckets.rule
    if ahead_s > rule.tolerance_s + SLACK_S:
        buckets.refused += 1
        exchange.limited_by = limit.name
        if not limit.is_shadow:
            wait_s = rule.wait_s(ahead_s)
            exchange.limit_fields = rule.fields % (0, wait_s)
            raise RateLimited(limit.name, wait_s)
    elif not limit.is_shadow:
        left = rule.left(ahead_s)
        if left < exchange.limit_left:
            exchange.limit_left = left
            exchange.limit_fields = rule.fields % (left, ceil(ahead_s))
