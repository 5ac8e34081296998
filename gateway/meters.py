"""Prometheus metrics: plain numbers on the hot path, handed to prometheus_client twice a second."""

from bisect import bisect_left

from prometheus_client import Counter, Gauge, Histogram

from shared.metrics import DURATION, REQUESTS

UPSTREAM_DURATION = Histogram(
    "gateway_upstream_duration_seconds",
    "From the request written to the first byte of the upstream's response",
    ["upstream"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
BYTES = Counter("gateway_body_bytes", "Body bytes passed on", ["direction"])
CONNECTIONS = Gauge("gateway_client_connections", "Open client connections", multiprocess_mode="livesum")
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
DROPPED_LINES = Counter("gateway_access_log_dropped_lines", "Access log lines lost to a slow reader")


class Series:
    """One histogram's observations since the last flush."""

    __slots__ = ("_bounds", "_child", "_counts", "_sum")

    def __init__(self, child: Histogram) -> None:
        self._child = child
        self._bounds: list[float] = child._upper_bounds[:-1]
        self._counts = [0] * len(child._upper_bounds)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def flush(self) -> None:
        """Add whole buckets at once: the public `observe` takes one value and costs more than a request may."""
        for bucket, count in zip(self._child._buckets, self._counts, strict=True):
            if count:
                bucket.inc(count)
        if self._sum:
            self._child._sum.inc(self._sum)
        self._counts = [0] * len(self._counts)
        self._sum = 0.0


class Meters:
    """What one worker counts. Labels are route templates, known methods and status codes: bounded whatever comes."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], int] = {}
        self._durations: dict[tuple[str, str], Series] = {}
        self._upstreams: dict[str, Series] = {}
        self.bytes_in = 0
        self.bytes_out = 0

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        key = (method, route, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        series = self._durations.get((method, route))
        if series is None:
            series = self._durations[method, route] = Series(DURATION.labels(method, route))
        series.observe(seconds)

    def upstream(self, name: str, seconds: float) -> None:
        """Count one upstream's time to its first byte."""
        series = self._upstreams.get(name)
        if series is None:
            series = self._upstreams[name] = Series(UPSTREAM_DURATION.labels(name))
        series.observe(seconds)

    def flush(self) -> None:
        """Hand over what was counted since the last time."""
        requests, self._requests = self._requests, {}
        for (method, route, status), count in requests.items():
            REQUESTS.labels(method, route, status).inc(count)
        for series in (*self._durations.values(), *self._upstreams.values()):
            series.flush()
        BYTES.labels("in").inc(self.bytes_in)
        BYTES.labels("out").inc(self.bytes_out)
        self.bytes_in = self.bytes_out = 0
