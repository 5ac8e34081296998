"""Which header fields may pass (RFC 9110 section 7.6): hop-by-hop, forged identity and ambiguous names do not."""

from functools import lru_cache

HOP_BY_HOP = frozenset(
    {b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer", b"upgrade"}
)
# Fields by which a client could claim an address, an identity, or another path or method than was checked.
FORGED = frozenset(
    {
        b"forwarded",
        b"remote-user",
        b"x-client-ip",
        b"x-http-method-override",
        b"x-original-url",
        b"x-real-ip",
        b"x-remote-user",
        b"x-rewrite-url",
    }
)
IDENTITY_PREFIXES = (b"x-user-", b"x-forwarded-", b"x-auth-", b"x-gatehouse-")
OWN = frozenset({b"server", b"x-request-id", b"strict-transport-security"})
CORS_PREFIX = b"access-control-"
MOST_NAMES = 2_048  # spellings of names remembered; more are judged again each time


def may_enter(name: bytes) -> bool:
    """True if a request field with this lower-case name goes on to the upstream.

    A name with an underscore does not: WSGI reads `X_User_Id` as `X-User-Id`.
    """
    return not (name in HOP_BY_HOP or name in FORGED or b"_" in name or name.startswith(IDENTITY_PREFIXES))


def may_leave(name: bytes) -> bool:
    """True if a response field with this lower-case name goes on to the client.

    The gateway alone answers for CORS, and for HSTS: a service does not know how the client came.
    """
    return not (name in HOP_BY_HOP or name in OWN or name.startswith(CORS_PREFIX))


@lru_cache(maxsize=256)
def named_in_connection(value: bytes) -> frozenset[bytes]:
    """The field names a Connection header declares hop-by-hop, in lower case."""
    options = frozenset(option.strip().lower() for option in value.split(b","))
    return options - {b"", b"close", b"keep-alive", b"upgrade"}


def asks_for_upgrade(value: bytes) -> bool:
    """True if a Connection header names Upgrade."""
    return b"upgrade" in [option.strip().lower() for option in value.split(b",")]


@lru_cache(maxsize=256)
def connection_says(value: bytes) -> bool | None:
    """False if a Connection header says close, True for keep-alive, None for neither."""
    options = {option.strip().lower() for option in value.split(b",")}
    if b"close" in options:
        return False
    return True if b"keep-alive" in options else None


def without(fields: list[bytes], names: frozenset[bytes]) -> list[bytes]:
    """Rendered `name: value` fields except those named."""
    return [field for field in fields if field.split(b":", 1)[0].lower() not in names]
