"""Tries that are counted before they are judged, by what is tried and from where: many at once do not slip through."""

import hashlib

from flask import request

from services.auth import store
from services.auth.devices import device_of
from services.auth.parts import here
from shared.errors import TooManyRequests


def bucket_of(what: str) -> bytes:
    """What and place together: a stranger's tries elsewhere must not lock the owner out."""
    return hashlib.sha256(f"{what}\n{device_of(request).ip}".encode()).digest()


def count_try(what: str, *, limit: int) -> None:
    """Count a try from this place. Raise TooManyRequests(over_request_rate_limit) past `limit` in LOG_IN_WINDOW_S."""
    with here.db.transaction() as conn:
        tries = store.count_log_in_try(conn, bucket_of(what), window_s=here.settings.log_in_window_s)
    if tries.tries > limit:
        raise TooManyRequests(
            "Request rate limit reached", code="over_request_rate_limit", retry_after_s=max(tries.left_s, 1)
        )
