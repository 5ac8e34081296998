"""Prometheus exposition, right with one process or several (PROMETHEUS_MULTIPROC_DIR)."""

import os
import struct
import time
from functools import lru_cache

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds

REQUESTS = Counter("http_requests", "Requests answered", ["method", "route", "status"])
DURATION = Histogram(
    "http_request_duration_seconds",
    "From the first byte read to the answer handed over",
    ["method", "route"],
    buckets=BUCKETS,
)

TRIES = 5


@lru_cache(4096)
def _children(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), DURATION.labels(method, route)


def count_request(method: str, route: str, status: int, duration_s: float) -> None:
    """Note an answered request; its place in the metrics is looked up once."""
    requests, duration = _children(method, route, status)
    requests.inc()
    duration.observe(duration_s)


def expose() -> tuple[bytes, str]:
    """The metrics of all processes of this component, and their content type."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    for _ in range(TRIES - 1):
        try:
            return generate_latest(registry), CONTENT_TYPE_LATEST
        except struct.error:
            time.sleep(0.01)  # a process that starts this moment has made its file and not filled it yet
    return generate_latest(registry), CONTENT_TYPE_LATEST
