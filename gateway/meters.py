"""Prometheus metrics: plain numbers on the hot path, handed to prometheus_client twice a second."""

from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from gateway.breaker import STATES
from gateway.table import Route
from shared.metrics import BUCKETS, DURATION, REQUESTS

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.upstreams import Upstream

KNOWN_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
UPSTREAM_DURATION = Histogram(
    "gateway_upstream_duration_seconds",
    "From the request written to the first byte of the upstream's response",
    ["upstream"],
    buckets=BUCKETS,
)
BYTES = Counter("gateway_body_bytes", "Body bytes passed on", ["direction"])
CONNECTIONS = Gauge("gateway_client_connections", "Open client connections", multiprocess_mode="livesum")
TUNNELS = Gauge("gateway_open_tunnels", "Open web sockets", ["route"], multiprocess_mode="livesum")
UPSTREAM_CONNECTIONS = Gauge(
    "gateway_upstream_connections",
    "Connections to an upstream, and requests waiting for one",
    ["upstream", "state"],
    multiprocess_mode="livesum",
)
CACHED_TOKENS = Gauge("gateway_cached_tokens", "Verified tokens in memory", multiprocess_mode="livesum")
VERIFIED_TOKENS = Counter("gateway_verified_tokens", "Tokens whose signature was checked, not found in the cache")
REVOKED_SESSIONS = Gauge("gateway_revoked_sessions", "Sessions whose tokens are refused", multiprocess_mode="livemax")
CAUGHT_UP = Gauge(
    "gateway_revocations_caught_up", "1 if every worker follows the revocations", multiprocess_mode="livemin"
)
TABLE_RELOADS = Counter(
    "gateway_table_reloads", "Changed route tables a worker has found, and what came of it", ["outcome"]
)
TABLE_LOADED = Gauge(
    "gateway_table_loaded_timestamp",
    "When the route table in use was loaded, in Unix time; the oldest of all workers",
    multiprocess_mode="livemin",
)
RATE_LIMITED = Counter(
    "gateway_rate_limited", "Requests a limit has refused, or in shadow mode would", ["limit", "mode"]
)
UNCOUNTED = Counter(
    "gateway_uncounted_requests", "Requests let through or refused because Redis did not count them", ["decision"]
)
ROOM_MADE = Counter(
    "gateway_room_made", "Idle connections closed, and pauses made, because a worker had all it takes", ["outcome"]
)
HANDSHAKE_FAILURES = Counter("gateway_tls_handshake_failures", "TLS handshakes that came to nothing", ["reason"])
TLS_RELOADS = Counter(
    "gateway_tls_reloads", "Changed certificates a worker has found, and what came of it", ["outcome"]
)
CERTIFICATE_EXPIRES = Gauge(
    "gateway_tls_certificate_expires_timestamp",
    "When the certificate in use expires, in Unix time; the first of all workers",
    ["file"],
    multiprocess_mode="livemin",
)
LIMIT_BUCKETS = Gauge("gateway_limit_buckets", "Buckets of a limit in memory", ["limit"], multiprocess_mode="livesum")
COMPRESSED_BYTES = Counter(
    "gateway_compressed_bytes", "Bytes of bodies before they were compressed (in) and after (out)", ["coding", "side"]
)
CACHE_REQUESTS = Counter("gateway_cache_requests", "Requests of routes with a cache", ["route", "outcome"])
CACHE_BYTES = Gauge("gateway_cache_bytes", "What the answers kept take", multiprocess_mode="livesum")
CACHE_ENTRIES = Gauge("gateway_cache_entries", "Answers kept", multiprocess_mode="livesum")
CACHE_EVICTED = Counter("gateway_cache_evicted", "Answers that had to make room for others")
TARGETS = Gauge(
    "gateway_upstream_targets",
    "Addresses of a target, by what each worker thinks of them",
    ["upstream", "target", "state"],
    multiprocess_mode="livesum",
)
BREAKERS = Gauge(
    "gateway_upstream_breakers",
    "Workers whose breaker is in this state",
    ["upstream", "state"],
    multiprocess_mode="livesum",
)
EJECTIONS = Counter("gateway_upstream_ejections", "Times a failing target was left out", ["upstream", "target"])
RETRIES = Counter("gateway_retries", "Calls that were to be made again, by what came of it", ["upstream", "outcome"])
DROPPED_LINES = Counter("gateway_access_log_dropped_lines", "Access log lines lost to a slow reader")


def show_upstream(upstream: "Upstream", now: float) -> None:
    """Its connections, targets and breaker as they are."""
    for state, count in upstream.connections().items():
        UPSTREAM_CONNECTIONS.labels(upstream.name, state).set(count)
    for (target, state), count in upstream.states(now).items():
        TARGETS.labels(upstream.name, target, state).set(count)
    if upstream.breaker is not None:
        for state in STATES:
            BREAKERS.labels(upstream.name, state).set(upstream.breaker.state == state)


def forget_upstream(upstream: "Upstream") -> None:
    """The route table names it no longer; a series cannot be removed when several workers share it."""
    for state in upstream.connections():
        UPSTREAM_CONNECTIONS.labels(upstream.name, state).set(0)
    for target, state in upstream.states(0):
        TARGETS.labels(upstream.name, target, state).set(0)
    for state in STATES if upstream.breaker is not None else ():
        BREAKERS.labels(upstream.name, state).set(0)


class Meter:
    """What one route, method and status has seen since the last flush: counts in buckets, and sums.

    `log_fields` is how the access log names the three.
    """

    __slots__ = ("durations", "log_fields", "requests", "seconds", "upstream_durations", "upstream_seconds")

    def __init__(self, route: Route, method: bytes, status: int) -> None:
        self.log_fields = b'"method":"%b",%b,"status":%d' % (method, route.log_fields, status)
        self.requests = 0
        self.durations = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0
        self.upstream_durations = [0] * (len(BUCKETS) + 1)
        self.upstream_seconds = 0.0


class Meters:
    """What one worker counts. Labels are route templates, known methods and status codes: bounded whatever comes."""

    def __init__(self) -> None:
        self._meters: dict[tuple[Route, bytes, int], Meter] = {}
        self.bytes_in = 0
        self.bytes_out = 0
        self._tunnel_routes: set[str] = set()
        self._compressed: dict[bytes, tuple[int, int]] = {}

    def compressed(self, coding: bytes, before: int, after: int) -> None:
        """Count a piece of a body that has been compressed."""
        known = self._compressed.get(coding, (0, 0))
        self._compressed[coding] = known[0] + before, known[1] + after

    def record(self, exchange: "Exchange", seconds: float, upstream_seconds: float) -> Meter:
        """Count one exchange that is over; with others of its kind, which is returned."""
        request = exchange.request
        key = (exchange.route, request.method, exchange.status)
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = Meter(*key)
        meter.requests += 1
        meter.seconds += seconds
        meter.durations[bisect_left(BUCKETS, seconds)] += 1
        if upstream_seconds:
            meter.upstream_seconds += upstream_seconds
            meter.upstream_durations[bisect_left(BUCKETS, upstream_seconds)] += 1
        self.bytes_in += request.body_bytes
        self.bytes_out += exchange.bytes_out
        return meter

    def flush(self) -> None:
        """Hand over what was counted since the last time."""
        metered, self._meters = self._meters, {}
        for (route, raw_method, status), meter in metered.items():
            method = raw_method.decode() if raw_method in KNOWN_METHODS else "OTHER"
            REQUESTS.labels(method, route.template, status).inc(meter.requests)
            _add(DURATION.labels(method, route.template), meter.durations, meter.seconds)
            if meter.upstream_seconds:
                _add(UPSTREAM_DURATION.labels(route.upstream), meter.upstream_durations, meter.upstream_seconds)
        BYTES.labels("in").inc(self.bytes_in)
        BYTES.labels("out").inc(self.bytes_out)
        self.bytes_in = self.bytes_out = 0
        compressed, self._compressed = self._compressed, {}
        for coding, sizes in compressed.items():
            for side, size in zip(("in", "out"), sizes, strict=True):
                COMPRESSED_BYTES.labels(coding.decode(), side).inc(size)

    def count_tunnels(self, exchanges: Iterable["Exchange"]) -> None:
        """Set how many web sockets are open, by route; those of earlier times stay at 0."""
        counts = Counted(exchange.route.template for exchange in exchanges)
        self._tunnel_routes |= counts.keys()
        for route in self._tunnel_routes:
            TUNNELS.labels(route).set(counts[route])


def _add(child: Histogram, counts: list[int], total: float) -> None:
    """Add whole buckets at once: the public `observe` takes one value and costs more than a request may."""
    for bucket, count in zip(child._buckets, counts, strict=True):
        if count:
            bucket.inc(count)
    child._sum.inc(total)
