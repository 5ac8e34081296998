"""The table's limits as Envoy's local rate limit: the routes that name a limit share its buckets."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.config import GatewaySettings
from gateway.grants import OWN
from gateway.issuers import IssuerEntry
from gateway.limits import ADDRESS, KEY, ROUTE, USER, Limit
from gateway.table import USER as USERS_ONLY
from gateway.table import Route

Json = dict[str, Any]
Issuers = Mapping[str, IssuerEntry]  # by the names that the table has for them
JWT_FILTER = "envoy.filters.http.jwt_authn"
BEFORE, AFTER = 0, 1  # the stages before and after tokens are looked at
BY_ADDRESS = "masked_remote_address"  # this action's descriptor has the action's own name
UNLIMITED = {"max_tokens": 2**31, "tokens_per_fill": 2**31, "fill_interval": "1s"}
EVERYBODY = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}, "runtime_key": "gatehouse.limits"}


def claims_of(issuer: str) -> str:
    """Where jwt_authn leaves the claims of a token that this issuer has signed."""
    return "claims" if issuer == OWN else f"claims of {issuer}"


def buckets(table: Sequence[Route], settings: GatewaySettings, stage: int) -> Json | None:
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
        "descriptors": [
            _bucket(limit, who, settings.limits_factor)
            for limit in limits.values()
            for who in sorted({who for route in table for who in _whos(limit, route) if limit in _limits(route, stage)})
        ],
    }


def counted(route: Route, issuers: Issuers) -> list[Json]:
    """Which buckets a request on this route takes from; of a user's, that of the issuer who names the user."""
    found = [
        {"stage": stage, "actions": [_name(limit), who]}
        for stage in (BEFORE, AFTER)
        for limit in _limits(route, stage)
        for who in _actions(limit, route, issuers)
    ]
    return found


def _limits(route: Route, stage: int) -> list[Limit]:
    """Only where there is always a token a user's limit can wait for it."""
    found = [*route.limits, *route.user_limits]
    return [
        limit for limit in found
        if not limit.is_shadow and (_is_of_user(limit, route) == (stage == AFTER))
    ]  # fmt: skip


def _is_of_user(limit: Limit, route: Route) -> bool:
    return limit.by == USER and route.access == USERS_ONLY


def _bucket(limit: Limit, who: str, factor: float) -> Json:
    bucket = {
        "max_tokens": max(1, round(limit.burst * factor)),
        "tokens_per_fill": max(1, round(limit.requests * factor)),
        "fill_interval": f"{limit.per_s:g}s",
    }
    return {"entries": [{"key": "limit", "value": limit.name}, {"key": who}], "token_bucket": bucket}


def _whos(limit: Limit, route: Route) -> list[str]:
    """The keys by which a request on this route is told from others. Two issuers may have users of one name."""
    if _is_of_user(limit, route):
        return [_user_of(issuer) for issuer in sorted(route.issuers)]
    return [BY_ADDRESS if limit.by in (ADDRESS, USER) else "who"]


def _user_of(issuer: str) -> str:
    return "who" if issuer == OWN else f"who of {issuer}"


def _name(limit: Limit) -> Json:
    return {"generic_key": {"descriptor_key": "limit", "descriptor_value": limit.name}}


def _actions(limit: Limit, route: Route, issuers: Issuers) -> list[Json]:
    if _is_of_user(limit, route):
        return [_user(issuer, issuers[issuer].user_id_claim) for issuer in sorted(route.issuers)]
    if limit.by == ROUTE:
        return [{"generic_key": {"descriptor_key": "who", "descriptor_value": route.template}}]
    if limit.by == KEY and limit.header is not None:
        return [{"request_headers": {"descriptor_key": "who", "header_name": limit.header.decode()}}]
    return [{BY_ADDRESS: {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}]


def _user(issuer: str, claim: str) -> Json:
    """Of a token that somebody else has signed there are no such claims, and nothing is counted."""
    path = [{"key": claims_of(issuer)}, {"key": claim}]
    metadata_key = {"key": JWT_FILTER, "path": path}
    return {"metadata": {"descriptor_key": _user_of(issuer), "metadata_key": metadata_key, "source": "DYNAMIC"}}
