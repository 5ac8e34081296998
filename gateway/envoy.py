"""The same door as an Envoy bootstrap (v3 API). What Envoy does otherwise is listed in docs/envoy.md."""

import json
from typing import Any
from urllib.parse import urlsplit

from gateway.config import GatewaySettings
from gateway.entries import CorsEntry, RoutesFile
from gateway.envoy_answers import compressors, ways
from gateway.envoy_clusters import EXTENSIONS, address, clusters, keys_clusters
from gateway.envoy_limits import AFTER, BEFORE, Json, buckets
from gateway.envoy_replies import local_replies
from gateway.envoy_routes import TYPE, Place, answer, header, routes
from gateway.envoy_tls import over_tls
from gateway.envoy_tokens import authentication, keys_cluster, trusted
from gateway.grants import OWN
from gateway.headers import FORGED, HOP_BY_HOP, IDENTITY_PREFIXES
from gateway.request import MOST_FIELDS

CORS_ANSWERS = ("origin", "credentials", "methods", "headers")
PROBES = ("/livez", "/healthz", "/readyz")
# Set by the proxies in front, and therefore kept where there are such.
HOPS_OWN = "x-forwarded-(?:[^fhp].*|f[^o].*|h[^o].*|p[^r].*|pr[^o].*)"


def bootstrap(settings: GatewaySettings, routes_file: RoutesFile, admin: str | None = None) -> Json:
    """All of Envoy's configuration; `admin` is host:port of its own pages, `/stats/prometheus` among them."""
    rendered: Json = {
        "static_resources": {
            "listeners": _listeners(settings, routes_file),
            "clusters": [*clusters(settings, routes_file), *keys_clusters(settings, routes_file)],
        }
    }
    if admin is not None:
        rendered["admin"] = {"address": address(admin)}
    return rendered


def _listeners(settings: GatewaySettings, routes_file: RoutesFile) -> list[Json]:
    manager = _typed("network.http_connection_manager", _connection_manager(settings, routes_file))
    plain = {"name": "door", "address": address(settings.bind), "filter_chains": [{"filters": [manager]}]}
    if settings.tls_bind is None:
        return [plain]
    return [plain, over_tls(plain, address(settings.tls_bind), settings)]


def _connection_manager(settings: GatewaySettings, routes_file: RoutesFile) -> Json:
    return {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "door",
        "codec_type": "HTTP1",
        "http_protocol_options": {"allow_absolute_url": False, "accept_http_10": True},
        "common_http_protocol_options": {
            "idle_timeout": f"{settings.keepalive_s:g}s",
            "headers_with_underscores_action": "DROP_HEADER",
            "max_headers_count": MOST_FIELDS,
        },
        "max_request_headers_kb": -(-settings.max_header_bytes // 1024),
        "request_headers_timeout": f"{settings.header_timeout_s:g}s",
        "normalize_path": True,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "use_remote_address": True,
        "xff_num_trusted_hops": settings.trusted_hops,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "server_header_transformation": "PASS_THROUGH",
        "early_header_mutation_extensions": [_strip(settings.trusted_hops)],
        "local_reply_config": local_replies(),
        "http_filters": _filters(settings, routes_file),
        "route_config": _route_config(settings, routes_file),
    }


def _strip(trusted_hops: int) -> Json:
    """What a client may not say goes before anything reads it."""
    prefixes = [prefix.decode() for prefix in IDENTITY_PREFIXES] + ["x-envoy-"]
    matchers: list[Json] = [{"exact": name.decode()} for name in sorted(FORGED | HOP_BY_HOP - {b"upgrade"})]
    for prefix in prefixes:
        if prefix == "x-forwarded-" and trusted_hops:
            matchers.append({"safe_regex": {"regex": HOPS_OWN}})
        else:
            matchers.append({"prefix": prefix})
    mutations = [{"remove_on_match": {"key_matcher": matcher}} for matcher in matchers]
    kind = f"{EXTENSIONS}.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    name = "envoy.http.early_header_mutation.header_mutation"
    return {"name": name, "typed_config": {"@type": kind, "mutations": mutations}}


def _filters(settings: GatewaySettings, routes_file: RoutesFile) -> list[Json]:
    """In the order of a request. Without a word from its route, RBAC lets nobody pass."""
    table = routes_file.table().routes
    before, after = buckets(table, settings, BEFORE), buckets(table, settings, AFTER)
    return [
        _typed("http.cors", {"@type": f"{TYPE}.cors.v3.Cors"}),
        *compressors(table),
        *([_typed("http.local_ratelimit", before)] if before else []),
        _typed("http.jwt_authn", authentication(settings, routes_file)),
        _typed("http.rbac", {"@type": f"{TYPE}.rbac.v3.RBAC", "rules": {"action": "ALLOW", "policies": {}}}),
        *([_typed("http.local_ratelimit", after)] if after else []),
        _typed("http.buffer", {"@type": f"{TYPE}.buffer.v3.Buffer", "max_request_bytes": 1}),
        _typed("http.router", {"@type": f"{TYPE}.router.v3.Router", "suppress_envoy_headers": True}),
    ]


def _route_config(settings: GatewaySettings, routes_file: RoutesFile) -> Json:
    keys = urlsplit(settings.jwks_url)
    serve_keys = answer({"path": "/.well-known/jwks.json"}, 200)
    del serve_keys["direct_response"]
    serve_keys["route"] = {
        "cluster": keys_cluster(OWN),
        "prefix_rewrite": keys.path,
        "host_rewrite_literal": keys.netloc,
    }
    ambiguous = {"safe_regex": {"regex": r".*(?://|\\|%[01][0-9A-Fa-f]|%7[fF]).*"}}
    config: Json = {
        "name": "table",
        "request_headers_to_remove": ["x-envoy-external-address", "x-envoy-internal"],
        "response_headers_to_remove": [
            "server",
            "strict-transport-security",
            *(f"access-control-allow-{what}" for what in CORS_ANSWERS),
        ],
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [
                    answer(ambiguous, 400),
                    *(answer({"path": path}, 200, body="ok\n") for path in PROBES),
                    serve_keys,
                    *_apps(routes_file),
                    *routes(_places(settings, routes_file)),
                    answer({"prefix": "/"}, 404),
                ],
            }
        ],
    }
    varies = {**header("vary", "origin"), "append_action": "APPEND_IF_EXISTS_OR_ADD"}
    return {**config, "response_headers_to_add": [varies]}


def _apps(routes_file: RoutesFile) -> list[Json]:
    """What names the apps of this host."""
    apps, rendered = routes_file.apps, []
    for name, document in (
        ("assetlinks.json", apps.assetlinks() if apps.android else None),
        ("apple-app-site-association", apps.site_association() if apps.apple else None),
    ):
        if document is not None:
            page = answer({"path": f"/.well-known/{name}"}, 200, json.dumps(document))
            rendered.append({**page, "response_headers_to_add": [header("content-type", "application/json")]})
    return rendered


def _places(settings: GatewaySettings, routes_file: RoutesFile) -> list[Place]:
    default = routes_file.defaults.cors or CorsEntry(origins=sorted(settings.allowed_origins))
    table = routes_file.table().routes
    compressed, issuers = tuple(ways(table)), trusted(settings, routes_file)
    return [
        Place(
            route,
            tuple(urlsplit(place.url).netloc for place in routes_file.upstreams[entry.upstream].places),
            entry.cors or default,
            issuers,
            compressed,
        )
        for route, entry in zip(table, routes_file.routes, strict=True)
    ]


def _typed(name: str, config: Any) -> Json:
    return {"name": f"envoy.filters.{name}", "typed_config": config}
