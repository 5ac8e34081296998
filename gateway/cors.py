"""Cross-origin calls from browsers: the origins a route allows (Fetch standard); preflights are answered here."""

from collections.abc import Iterable

MAX_AGE_S = 7_200
ALLOWED_HEADERS = (
    "authorization",
    "content-type",
    "apikey",
    "x-client-info",
    "x-supabase-api-version",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "traceparent",
    "x-request-id",
)
EXPOSED_HEADERS = (
    "etag",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "x-request-id",
    "x-total-count",
    "link",
    "deprecation",
    "sunset",
)
ANY = "*"


class Cors:
    """The origins allowed, and the fields each is answered with, rendered once.

    Without `credentials` (cookies) browsers send tokens only in a header; with them, `*` is no origin.
    """

    def __init__(
        self,
        origins: Iterable[str],
        *,
        credentials: bool = False,
        headers: Iterable[str] = (),
        exposed: Iterable[str] = (),
        max_age_s: int = MAX_AGE_S,
    ) -> None:
        origins = frozenset(origins)
        ending = f"access-control-expose-headers: {', '.join((*EXPOSED_HEADERS, *exposed))}\r\n"
        if credentials:
            ending += "access-control-allow-credentials: true\r\n"
        self._fields = {
            origin.encode(): f"access-control-allow-origin: {origin}\r\n{ending}vary: origin\r\n".encode()
            for origin in origins - {ANY}
        }
        self._others = b"vary: origin\r\n" if origins else b""
        self.is_for_all = ANY in origins
        if self.is_for_all:
            self._others = f"access-control-allow-origin: *\r\n{ending}".encode()
        self._preflight = [
            f"access-control-allow-headers: {', '.join((*ALLOWED_HEADERS, *headers))}\r\n".encode(),
            b"access-control-max-age: %d\r\n" % max_age_s,
        ]

    def allows(self, origin: bytes | None) -> bool:
        return origin in self._fields or (self.is_for_all and origin is not None)

    def headers(self, origin: bytes) -> bytes:
        """The fields of an answer to a request with this Origin; for one that is not allowed, none but Vary."""
        return self._fields.get(origin, self._others)

    def preflight(self, methods: Iterable[bytes]) -> list[bytes]:
        """The fields of the answer to a preflight for routes with these methods, beside `headers`."""
        return [b"access-control-allow-methods: %b\r\n" % b", ".join(sorted(methods)), *self._preflight]
