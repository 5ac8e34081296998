"""Upstreams as Envoy's clusters: targets, health checks, ejection, the breaker, and how many retries there may be."""

from math import ceil
from typing import Any
from urllib.parse import SplitResult, urlsplit

from gateway.config import GatewaySettings
from gateway.entries import RoutesFile, UpstreamEntry
from gateway.envoy_limits import Json
from gateway.envoy_routes import cluster_name
from gateway.envoy_tokens import keys_cluster, trusted
from gateway.names import LOOK_EVERY_S, is_address
from gateway.targets import TargetEntry

EXTENSIONS = "type.googleapis.com/envoy.extensions"
TRUSTED_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
NOBODY: Json = {"healthy_panic_threshold": {"value": 0}}  # when no target is well, none is asked


def clusters(settings: GatewaySettings, routes_file: RoutesFile) -> list[Json]:
    """One for each upstream and time to connect, which Envoy knows by cluster."""
    found: dict[str, Json] = {}
    for route in routes_file.table().routes:
        if route.upstream is not None and cluster_name(route) not in found:
            entry, name = routes_file.upstream(route.upstream), cluster_name(route)
            found[name] = {**_cluster(name, entry.places, settings, route.connect_s), **_failing(entry)}
            found[name]["circuit_breakers"]["thresholds"][0]["retry_budget"] = {
                "budget_percent": {"value": entry.retry_budget.percent},
                "min_retry_concurrency": ceil(entry.retry_budget.min_per_s),
            }
    return list(found.values())


def keys_clusters(settings: GatewaySettings, routes_file: RoutesFile) -> list[Json]:
    """Where the public keys of each issuer are."""
    issuers = trusted(settings, routes_file)
    return [_keys_cluster(keys_cluster(name), entry.jwks_url, settings) for name, entry in issuers.items()]


def _keys_cluster(name: str, jwks_url: str, settings: GatewaySettings) -> Json:
    url = urlsplit(jwks_url)
    cluster = _cluster(name, [TargetEntry.model_construct(url=jwks_url)], settings, connect_s=5)
    if url.scheme == "https":
        validation = {
            "trusted_ca": {"filename": TRUSTED_AUTHORITIES},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": url.hostname}}],
        }
        tls = {"sni": url.hostname, "common_tls_context": {"validation_context": validation}}
        kind = f"{EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext"
        cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": {"@type": kind, **tls}}
    return cluster


def _cluster(name: str, places: list[TargetEntry], settings: GatewaySettings, connect_s: float) -> Json:
    urls = [urlsplit(place.url) for place in places]
    most = settings.upstream_connections * len(places)
    protocol = {
        "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": f"{settings.upstream_keepalive_s:g}s"},
    }
    by_name = {} if all(is_address(url.hostname or "") for url in urls) else _BY_NAME
    endpoints = [_endpoint(url, place.weight) for url, place in zip(urls, places, strict=True)]
    return {
        "name": name,
        "type": "STATIC",
        **by_name,
        "connect_timeout": f"{connect_s:g}s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "circuit_breakers": {
            "thresholds": [{"max_connections": most, "max_pending_requests": most, "max_requests": most}]
        },
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
    }


_BY_NAME: Json = {
    "type": "STRICT_DNS",
    "dns_lookup_family": "V4_PREFERRED",
    "dns_refresh_rate": f"{LOOK_EVERY_S:g}s",
    "respect_dns_ttl": False,
}


def _endpoint(url: SplitResult, weight: int) -> Json:
    port = url.port or (443 if url.scheme == "https" else 80)
    endpoint = {
        "address": address(f"{url.hostname}:{port}"),
        "hostname": url.netloc,
        "health_check_config": {"hostname": url.netloc},
    }
    return {"endpoint": endpoint, "load_balancing_weight": weight}


def _failing(entry: UpstreamEntry) -> Json:
    """What is done when targets fail."""
    rendered: Json = {}
    if (checks := entry.checks) is not None:
        check = {
            "timeout": f"{checks.timeout_s:g}s",
            "interval": f"{checks.interval_s:g}s",
            "no_traffic_interval": f"{checks.interval_s:g}s",
            "healthy_threshold": checks.healthy,
            "unhealthy_threshold": checks.unhealthy,
            "reuse_connection": False,
            "http_health_check": {"path": checks.path},
        }
        rendered = {"health_checks": [check], "common_lb_config": NOBODY}
    if len(entry.places) > 1:
        return {**rendered, "outlier_detection": _ejection(entry), "common_lb_config": NOBODY}
    if entry.breaker is not None:
        return {**rendered, "outlier_detection": _breaker(entry), "common_lb_config": NOBODY}
    return rendered


def _ejection(entry: UpstreamEntry) -> Json:
    out = entry.ejection
    return {
        "consecutive_5xx": out.failures,
        "interval": "1s",
        "base_ejection_time": f"{out.base_s:g}s",
        "max_ejection_time": f"{max(out.max_s, out.base_s):g}s",
        "max_ejection_percent": out.max_percent,
        "enforcing_success_rate": 0,
    }


def _breaker(entry: UpstreamEntry) -> Json:
    """The only target of an upstream, left out when it mostly fails: the nearest that Envoy has."""
    breaker = entry.breaker
    assert breaker is not None  # noqa: S101 - asked by the caller
    return {
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        "enforcing_failure_percentage": 100,
        "failure_percentage_threshold": breaker.failures_percent,
        "failure_percentage_minimum_hosts": 1,
        "failure_percentage_request_volume": breaker.requests,
        "interval": f"{breaker.window_s:g}s",
        "base_ejection_time": f"{breaker.open_s:g}s",
        "max_ejection_time": f"{max(breaker.max_open_s, breaker.open_s):g}s",
        "max_ejection_percent": 100,
    }


def address(text: str) -> Any:
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}
