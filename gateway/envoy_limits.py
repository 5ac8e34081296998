"""The table's limits as Envoy's local rate limit: the routes that name a limit share its buckets."""

from collections.abc import Iterable
from typing import Any

from gateway.config import GatewaySettings
from gateway.limits import ADDRESS, KEY, ROUTE, USER, Limit
from gateway.table import USER as USERS_ONLY
from gateway.table import Route

Json = dict[str, Any]
JWT_FILTER = "envoy.filters.http.jwt_authn"
BEFORE, AFTER = 0, 1  # the stages before and after tokens are looked at
BY_ADDRESS = "masked_remote_address"  # this action's descriptor has the action's own name
UNLIMITED = {"max_tokens": 2**31, "tokens_per_fill": 2**31, "fill_interval": "1s"}
EVERYBODY = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}, "runtime_key": "gatehouse.limits"}


def buckets(table: Iterable[Route], settings: GatewaySettings, stage: int) -> Json | None:
    """The filter's configuration at this stage, or None if nothing is limited there. Shadow limits are left out."""
    limits = {limit.name: limit for route in table for limit in _limits(route, stage)}
    if not limits:
        return None
    return {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": f"limits_{stage}",
        "stage": stage,
        "token_bucket": UNLIMITED,
        "filter_enabled": EVERYBODY,
        "filter_enforced": EVERYBODY,
        "always_consume_default_token_bucket": False,
        "max_dynamic_descriptors": settings.limit_buckets,
        "descriptors": [_bucket(limit, stage, settings.limits_factor) for limit in limits.values()],
    }


def counted(route: Route) -> list[Json]:
    """Which buckets a request on this route takes from."""
    return [
        {"stage": stage, "actions": [_name(limit), _who(limit, route)]}
        for stage in (BEFORE, AFTER)
        for limit in _limits(route, stage)
    ]


def _limits(route: Route, stage: int) -> list[Limit]:
    """Only where there is always a token a user's limit can wait for it."""
    found = [*route.limits, *route.user_limits]
    return [
        limit for limit in found
        if not limit.is_shadow and (_is_of_user(limit, route) == (stage == AFTER))
    ]  # fmt: skip


def _is_of_user(limit: Limit, route: Route) -> bool:
    return limit.by == USER and route.access == USERS_ONLY


def _bucket(limit: Limit, stage: int, factor: float) -> Json:
    bucket = {
        "max_tokens": max(1, round(limit.burst * factor)),
        "tokens_per_fill": max(1, round(limit.requests * factor)),
        "fill_interval": f"{limit.per_s:g}s",
    }
    is_by_address = limit.by == ADDRESS or (limit.by == USER and stage == BEFORE)
    entries = [{"key": "limit", "value": limit.name}, {"key": BY_ADDRESS if is_by_address else "who"}]
    return {"entries": entries, "token_bucket": bucket}


def _name(limit: Limit) -> Json:
    return {"generic_key": {"descriptor_key": "limit", "descriptor_value": limit.name}}


def _who(limit: Limit, route: Route) -> Json:
    if _is_of_user(limit, route):
        path = [{"key": "claims"}, {"key": "sub"}]
        metadata = {"descriptor_key": "who", "metadata_key": {"key": JWT_FILTER, "path": path}, "source": "DYNAMIC"}
        return {"metadata": metadata}
    if limit.by == ROUTE:
        return {"generic_key": {"descriptor_key": "who", "descriptor_value": route.template}}
    if limit.by == KEY and limit.header is not None:
        return {"request_headers": {"descriptor_key": "who", "header_name": limit.header.decode()}}
    return {BY_ADDRESS: {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}
