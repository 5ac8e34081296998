"""Cross-origin calls from the browsers a deployment allows (Fetch standard); preflights are answered here."""

from collections.abc import Iterable

MAX_AGE_S = 7_200
ALLOWED_HEADERS = (
    b"authorization, content-type, apikey, x-client-info, x-supabase-api-version, idempotency-key, if-match, "
    b"if-none-match, last-event-id, traceparent, x-request-id"
)
EXPOSED_HEADERS = b"etag, location, retry-after, x-request-id, x-total-count, link"


class Cors:
    """The origins allowed. Credentials in cookies are not: tokens travel in a header."""

    def __init__(self, origins: frozenset[bytes]) -> None:
        self.origins = origins

    def allows(self, origin: bytes | None) -> bool:
        return origin in self.origins

    def headers(self, origin: bytes) -> bytes:
        """The fields of an answer to a request with this Origin; nothing for one that is not allowed."""
        if origin not in self.origins:
            return b"vary: origin\r\n" if self.origins else b""
        return (
            b"access-control-allow-origin: %b\r\naccess-control-expose-headers: %b\r\nvary: origin\r\n"
            % (origin, EXPOSED_HEADERS)
        )  # fmt: skip

    def preflight(self, methods: Iterable[str]) -> list[bytes]:
        """The fields of the answer to a preflight for a route with these methods, beside `headers`."""
        return [
            b"access-control-allow-methods: %b\r\n" % ", ".join(sorted(methods)).encode(),
            b"access-control-allow-headers: %b\r\n" % ALLOWED_HEADERS,
            b"access-control-max-age: %d\r\n" % MAX_AGE_S,
        ]
