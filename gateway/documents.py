"""What the gateway tells about the services behind it: their health, their OpenAPI documents, the public keys."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import requests

from gateway.entries import RoutesFile, UpstreamEntry
from gateway.openapi import merge
from gateway.table import Table
from shared.errors import Unavailable

HEALTH_TIMEOUT_S = 2.0
HEALTH_FRESH_S = 1.0
DOCUMENT_TIMEOUT_S = 3.0
DOCUMENT_FRESH_S = 30.0
JWKS_FRESH_S = 60.0


class Cached:
    """A value made at most once in `fresh_s`; the last good one stays when making it fails."""

    def __init__(self, make: Callable[[], Any], fresh_s: float) -> None:
        self._make = make
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._value: Any = None
        self._made_at = float("-inf")

    def get(self) -> Any:
        """The value, or None if it could never be made."""
        with self._lock:
            if time.monotonic() - self._made_at >= self._fresh_s:
                self._made_at = time.monotonic()
                try:
                    self._value = self._make()
                except (requests.RequestException, ValueError, KeyError, TypeError):
                    self._made_at -= self._fresh_s * 0.9
            return self._value


def _fetch(url: str) -> Any:
    response = requests.get(url, timeout=DOCUMENT_TIMEOUT_S, allow_redirects=False)
    response.raise_for_status()
    return response.json()


class Documents:
    """Fetches in threads; nothing here is on the data path."""

    def __init__(self, routes_file: RoutesFile, jwks_url: str) -> None:
        self._upstreams: dict[str, UpstreamEntry] = {}
        self._openapi: dict[str, Cached] = {}
        self.adopt(routes_file)
        self._jwks = Cached(partial(_fetch, jwks_url), JWKS_FRESH_S)
        self._health = Cached(self._ask_all, HEALTH_FRESH_S)

    def adopt(self, routes_file: RoutesFile) -> None:
        """Tell of the upstreams of this table from now on; what is known of those that did not change stays."""
        known, self._upstreams = self._upstreams, routes_file.upstreams
        self._openapi = {
            name: self._openapi[name]
            if known.get(name) == entry
            else Cached(partial(_fetch, f"{entry.places[0].url}{entry.openapi}"), DOCUMENT_FRESH_S)
            for name, entry in routes_file.upstreams.items()
            if entry.openapi
        }

    def status(self) -> dict[str, Any]:
        """Every service's health; one that is down makes this `degraded`, not the gateway unready."""
        services: dict[str, Any] = self._health.get()
        is_well = all(service["is_ready"] for service in services.values())
        return {"status": "ok" if is_well else "degraded", "services": services}

    def _ask_all(self) -> dict[str, Any]:
        asked = [
            (name, f"{place.url}{entry.health_path}")
            for name, entry in self._upstreams.items()
            for place in entry.places
            if entry.health_path
        ]
        found: dict[str, list[dict[str, Any]]] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(asked))) as threads:
            for (name, _), answer in zip(asked, threads.map(_ask, [url for _, url in asked]), strict=True):
                found.setdefault(name, []).append(answer)
        return {name: _best(answers) for name, answers in found.items()}

    def openapi(self, table: Table, public_url: str) -> dict[str, Any]:
        """One OpenAPI 3.1 document of all services; a service that is down keeps the document it had last."""
        cached = self._openapi
        with ThreadPoolExecutor(max_workers=max(1, len(cached))) as threads:
            found = dict(zip(cached, threads.map(Cached.get, cached.values()), strict=True))
        known = {name: document for name, document in found.items() if document is not None}
        return merge(known, table, public_url)

    def jwks(self) -> dict[str, Any]:
        """The issuer's public keys, also while it is down."""
        keys = self._jwks.get()
        if keys is None:
            raise Unavailable("The public keys cannot be fetched now.")
        return dict(keys)


def _best(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """A service is ready if one of its targets is; of several it is said how many are."""
    ready = [answer for answer in answers if answer["is_ready"]]
    best = (ready or answers)[0]
    return best if len(answers) == 1 else {**best, "targets": len(answers), "targets_ready": len(ready)}


def _ask(url: str) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        status = requests.get(url, timeout=HEALTH_TIMEOUT_S, allow_redirects=False).status_code
        detail = "ready" if status == 200 else f"answered {status}"
    except requests.Timeout:
        status, detail = 0, "did not answer in time"
    except requests.RequestException:
        status, detail = 0, "cannot be reached"
    duration_ms = round((time.perf_counter() - started) * 1000, 1)
    return {"is_ready": status == 200, "detail": detail, "duration_ms": duration_ms}
