"""The route table as Envoy's routes: the most specific first, since Envoy takes the first that matches."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.compression import Compression
from gateway.cors import ALLOWED_HEADERS, ANY, EXPOSED_HEADERS
from gateway.entries import CorsEntry
from gateway.envoy_answers import switched_off
from gateway.envoy_limits import JWT_FILTER, Issuers, Json, counted
from gateway.envoy_tokens import rbac, requirement
from gateway.request import IDEMPOTENT
from gateway.table import PUBLIC, Route

TYPE = "type.googleapis.com/envoy.extensions.filters.http"
MOST_BUFFERED_BYTES = 16_777_216  # a larger limit holds for bodies of a declared length only: those stream
LONGEST = 2**63 - 1
PREVIOUS = "envoy.retry_host_predicates.previous_hosts"
ELSEWHERE = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3"


@dataclass(frozen=True)
class Place:
    """One route as Envoy needs it: the `Host` of each target, who may call, and how the table compresses."""

    route: Route
    authorities: tuple[str, ...]
    cors: CorsEntry
    issuers: Issuers
    ways: tuple[Compression, ...] = ()


def routes(table: Iterable[Place]) -> list[Json]:
    """For every path in the table: its routes, then 405."""
    paths: dict[str, list[Place]] = {}
    for place in sorted(table, key=_specificity):
        paths.setdefault(re.sub(r"\{[a-z_]+\}", "{}", place.route.template), []).append(place)
    rendered: list[Json] = []
    for places in paths.values():
        for place in places:
            alike = [other.route for other in places if other.cors == place.cors]
            cors = _cors(place.cors, _methods(alike))
            rendered += _route(place, cors)
            if cors:
                rendered.append(_preflight(place, cors))
        wrong_method = answer(_match(places[0].route), 405)
        allowed = ", ".join(_methods(place.route for place in places))
        wrong_method["response_headers_to_add"] = [header("allow", allowed)]
        rendered.append(wrong_method)
    return rendered


def _methods(found: Iterable[Route]) -> list[str]:
    return sorted(method.decode() for route in found for method in route.methods)


def answer(match: Json, status: int, body: str | None = None) -> Json:
    """A route that Envoy answers itself, for everybody; the words of a refusal are in `envoy_replies`."""
    direct: Json = {"status": status}
    if body is not None:
        direct["body"] = {"inline_string": body}
    return {"match": match, "direct_response": direct, "typed_per_filter_config": PASSES}


def header(name: str, value: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def cluster_name(route: Route) -> str:
    """Envoy knows the time to connect by cluster, the table by route: each pair is a cluster."""
    return f"{route.upstream} {route.connect_s:g}s"


def _specificity(place: Place) -> list[int]:
    """A literal segment before a variable one, either before the prefix that ends here."""
    route = place.route
    segments = route.template.removesuffix("/*").split("/")[1:]
    return [int(segment.startswith("{")) for segment in segments] + [2 if route.is_prefix else -1]


def _match(route: Route) -> Json:
    path = route.template.removesuffix("/*")
    if route.is_prefix and "{" not in path:
        return {"path_separated_prefix": path}
    segments = ["[^/]+" if segment.startswith("{") else re.escape(segment) for segment in path.split("/")]
    return {"safe_regex": {"regex": "/".join(segments) + ("(?:/.*)?" if route.is_prefix else "/?")}}


def _route(place: Place, cors: Json) -> list[Json]:
    route = place.route
    if route.conditions is not None and route.conditions.closure is not None:
        return [_closed(route, route.conditions.closure.retry_after_s)]
    by_method = _header_is(":method", _methods([route]))
    too_long = {"name": "content-length", "range_match": {"start": route.max_body_bytes + 1, "end": LONGEST}}
    action: Json = {
        "cluster": cluster_name(route),
        **_host(place),
        "append_x_forwarded_host": True,
        "timeout": "0s",
        "idle_timeout": f"{max(route.idle_s, route.first_byte_s):g}s",
        "retry_policy": _retry_policy(route),
    }
    if route.may_upgrade:
        action["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    if limits := counted(route, place.issuers):
        action["rate_limits"] = limits
    if route.upstream_path is not None:
        action["regex_rewrite"] = {"pattern": {"regex": "^.+$"}, "substitution": route.upstream_path.decode()}
    passed: Json = {
        "match": {**_match(route), "headers": [by_method]},
        "route": action,
        "typed_per_filter_config": {**_filters(place), **switched_off(route, place.ways), **cors},
    }
    if not route.takes_cookies:
        passed["request_headers_to_remove"] = ["cookie"]
    if fields := _added(route):
        passed["response_headers_to_add"] = fields
    return [answer({**_match(route), "headers": [by_method, too_long]}, 413), passed]


def _host(place: Place) -> Json:
    if len(place.authorities) > 1:
        return {"auto_host_rewrite": True}  # that of the endpoint chosen
    return {"host_rewrite_literal": place.authorities[0]}


def _retry_policy(route: Route) -> Json:
    """A try's time ends with the first byte. Without retries, only what never left is sent again."""
    retries = route.retries
    if retries.attempts == 1:
        per_try_s = route.first_byte_s
        return {"retry_on": "reset-before-request", "num_retries": 1, "per_try_timeout": f"{per_try_s:g}s"}
    idempotent = _header_is(":method", sorted(method.decode() for method in IDEMPOTENT))
    return {
        "retry_on": "connect-failure,reset,retriable-status-codes",
        "num_retries": retries.attempts - 1,
        "retriable_status_codes": sorted(retries.statuses),
        "retriable_request_headers": [idempotent, {"name": "idempotency-key", "present_match": True}],
        "per_try_timeout": f"{min(route.first_byte_s, retries.per_try_s or route.first_byte_s):g}s",
        "retry_back_off": {
            "base_interval": f"{retries.backoff_s:g}s",
            "max_interval": f"{max(retries.max_backoff_s, retries.backoff_s):g}s",
        },
        "retry_host_predicate": [{"name": PREVIOUS, "typed_config": {"@type": f"{ELSEWHERE}.PreviousHostsPredicate"}}],
        "host_selection_retry_max_attempts": 3,
    }


def _added(route: Route) -> list[Json]:
    lines = (route.adds + route.cache_control).decode().splitlines()
    return [header(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def _closed(route: Route, retry_after_s: int) -> Json:
    closed = answer({**_match(route), "headers": [_header_is(":method", _methods([route]))]}, 503)
    return {**closed, "response_headers_to_add": [header("retry-after", str(retry_after_s)), *_added(route)]}


def _preflight(place: Place, cors: Json) -> Json:
    """The CORS filter answers this; it does so only where a route leads to a cluster, which is never asked."""
    headers = [
        _header_is(":method", ["OPTIONS"]),
        _header_is("access-control-request-method", _methods([place.route])),
        {"name": "origin", "present_match": True},
    ]
    if ANY not in place.cors.origins:
        headers[-1] = _header_is("origin", place.cors.origins)
    return {
        "match": {**_match(place.route), "headers": headers},
        "route": {"cluster": cluster_name(place.route)},
        "typed_per_filter_config": {**PASSES, **cors},
    }


def _header_is(name: str, values: Iterable[str]) -> Json:
    return {"name": name, "string_match": {"safe_regex": {"regex": "|".join(re.escape(value) for value in values)}}}


def _filters(place: Place) -> Json:
    """What each filter does on this route. Whatever a route learns to declare is rendered here."""
    return {**_access(place), **_body(place.route)}


def _access(place: Place) -> Json:
    route = place.route
    if route.access == PUBLIC:
        return PASSES
    per_route = {"@type": f"{TYPE}.jwt_authn.v3.PerRouteConfig", "requirement_name": requirement(route)}
    return {**PASSES, JWT_FILTER: per_route, "envoy.filters.http.rbac": rbac(route, place.issuers)}


def _body(route: Route) -> Json:
    name, kind = "envoy.filters.http.buffer", f"{TYPE}.buffer.v3.BufferPerRoute"
    if route.may_upgrade or route.max_body_bytes > MOST_BUFFERED_BYTES:
        return {}
    return {name: {"@type": kind, "buffer": {"max_request_bytes": max(1, route.max_body_bytes)}}}


def _cors(entry: CorsEntry, methods: Iterable[str]) -> Json:
    if not entry.origins:
        return {}
    origins = [{"exact": origin} for origin in sorted(entry.origins)]  # `*` is every one, here too
    policy = {
        "@type": f"{TYPE}.cors.v3.CorsPolicy",
        "allow_origin_string_match": origins,
        "allow_methods": ", ".join(methods),
        "allow_headers": ", ".join([*ALLOWED_HEADERS, *entry.headers]),
        "expose_headers": ", ".join([*EXPOSED_HEADERS, *entry.exposed]),
        "max_age": str(entry.max_age_s),
        "allow_credentials": entry.credentials,
    }
    return {"envoy.filters.http.cors": policy}


# For a route that asks nobody who they are; without this a route refuses everybody.
PASSES: Json = {
    JWT_FILTER: {"@type": f"{TYPE}.jwt_authn.v3.PerRouteConfig", "disabled": True},
    "envoy.filters.http.rbac": {"@type": f"{TYPE}.rbac.v3.RBACPerRoute"},
    "envoy.filters.http.buffer": {"@type": f"{TYPE}.buffer.v3.BufferPerRoute", "disabled": True},
}
