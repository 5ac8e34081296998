"""Who may have signed a token, and what it must say: the providers of jwt_authn and the rules of the RBAC filter."""

import re

from gateway.config import GatewaySettings
from gateway.entries import RoutesFile
from gateway.envoy_limits import JWT_FILTER, Issuers, Json, claims_of
from gateway.grants import OWN
from gateway.issuers import IssuerEntry
from gateway.table import OPTIONAL, PUBLIC, Route
from shared.tokens import AAL2, LEEWAY_S

TYPE = "type.googleapis.com/envoy.extensions.filters.http"
KEYS_FRESH_S = 600
PRESENT: Json = {"present_match": True}
SERVICE: Json = {"string_match": {"exact": "service"}}


def trusted(settings: GatewaySettings, routes_file: RoutesFile) -> dict[str, IssuerEntry]:
    """The issuers by the names that the table has for them, auth the first."""
    own = IssuerEntry(
        issuer=settings.issuer, jwks_url=settings.jwks_url, audience=[settings.audience], algorithms=["ES256"]
    )
    return {OWN: own, **routes_file.issuers}


def keys_cluster(name: str) -> str:
    """The cluster that serves an issuer's public keys."""
    return "keys" if name == OWN else f"keys of {name}"


def authentication(settings: GatewaySettings, routes_file: RoutesFile) -> Json:
    """The filter: a provider for each issuer, and a requirement for each set of them that some route accepts."""
    issuers = trusted(settings, routes_file)
    routes = [route for route in routes_file.table().routes if route.access != PUBLIC]
    return {
        "@type": f"{TYPE}.jwt_authn.v3.JwtAuthentication",
        "providers": {name: _provider(name, entry, settings) for name, entry in issuers.items()},
        "requirement_map": {requirement(route): _requirement(route) for route in routes},
    }


def _provider(name: str, entry: IssuerEntry, settings: GatewaySettings) -> Json:
    return {
        "issuer": entry.issuer,
        "audiences": entry.audience,
        "forward": True,
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "payload_in_metadata": claims_of(name),
        "require_expiration": True,
        "clock_skew_seconds": LEEWAY_S,
        "jwt_cache_config": {"jwt_cache_size": settings.token_cache_size},
        "remote_jwks": {
            "http_uri": {"uri": entry.jwks_url, "cluster": keys_cluster(name), "timeout": "5s"},
            "cache_duration": f"{KEYS_FRESH_S}s",
            "async_fetch": {},
        },
    }


def requirement(route: Route) -> str:
    """The name of what the route asks of a token."""
    return f"{route.access}: {' '.join(sorted(route.issuers))}"


def _requirement(route: Route) -> Json:
    wanted: list[Json] = [{"provider_name": name} for name in sorted(route.issuers)]
    if route.access == OPTIONAL:
        wanted.append({"allow_missing": {}})
    return wanted[0] if len(wanted) == 1 else {"requires_any": {"requirements": wanted}}


def rbac(route: Route, issuers: Issuers) -> Json:
    """What the claims must say, by the issuer who says it."""
    alternatives = [rule for name in sorted(route.issuers) if (rule := _rule(route, name, issuers[name])) is not None]
    principal: Json = {"any": True} if route.access == OPTIONAL else _any(alternatives)
    policy = {"permissions": [{"any": True}], "principals": [principal]}
    rules = {"action": "ALLOW", "policies": {"who may": policy}}
    return {"@type": f"{TYPE}.rbac.v3.RBACPerRoute", "rbac": {"rules": rules}}


def _any(alternatives: list[Json]) -> Json:
    if not alternatives:
        return {"not_id": {"any": True}}
    return alternatives[0] if len(alternatives) == 1 else {"or_ids": {"ids": alternatives}}


def _rule(route: Route, name: str, entry: IssuerEntry) -> Json | None:
    """None where no token of this issuer may pass: only auth knows of second factors."""
    if name == OWN:
        wanted = [_any([_claim(name, "sid", PRESENT), _claim(name, "role", SERVICE)])]
    else:
        wanted = [_claim(name, entry.user_id_claim, PRESENT)]
    if route.needs_aal2 and name != OWN:
        return None
    if route.needs_aal2:
        wanted.append(_claim(name, "aal", {"string_match": {"exact": AAL2}}))
    wanted += [_has_scope(name, entry, scope) for scope in sorted(route.scopes_all)]
    if route.scopes_any:
        wanted.append(_any([_has_scope(name, entry, scope) for scope in sorted(route.scopes_any)]))
    return {"and_ids": {"ids": wanted}}


def _has_scope(name: str, entry: IssuerEntry, scope: str) -> Json:
    """One string with spaces between (RFC 9068), or of others than auth a list."""
    words = {"string_match": {"safe_regex": {"regex": f"(?:.* )?{re.escape(scope)}(?: .*)?"}}}
    as_words = _claim(name, entry.scope_claim, words)
    if name == OWN:
        return as_words
    return _any(
        [as_words, _claim(name, entry.scope_claim, {"list_match": {"one_of": {"string_match": {"exact": scope}}}})]
    )


def _claim(name: str, claim: str, value: Json) -> Json:
    path = [{"key": claims_of(name)}, {"key": claim}]
    return {"sourced_metadata": {"metadata_matcher": {"filter": JWT_FILTER, "path": path, "value": value}}}
