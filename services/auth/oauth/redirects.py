"""Where an answer may go: which places a client may register, and which a request may name (RFC 8252, RFC 9700 4.1).

A place is compared character by character. Only the port of a loopback address is the app's to choose.
"""

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from services.auth.places import FORBIDDEN_SCHEMES, MAX_LENGTH, UNCLEAR, is_plain_host

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")  # reverse domain, as RFC 8252, section 7.1, wants it
UNSAFE = re.compile(r"[\"<>^`{|}*]")


def require_registrable(uri: str) -> str:
    """The place itself. Raise ValueError unless it can be read in one way only, and is one that an app can own."""
    if len(uri) > MAX_LENGTH or UNCLEAR.search(uri) or UNSAFE.search(uri) or "#" in uri:
        raise ValueError("is not a plain URI without a fragment")
    parts = urlsplit(uri)
    if "@" in parts.netloc:
        raise ValueError("names a user")
    if parts.scheme == "https" and is_plain_host(parts.hostname or ""):
        _ = parts.port  # raises ValueError for one that is no number
        return uri
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        _ = parts.port
        return uri
    if parts.scheme in {"http", "https"} | FORBIDDEN_SCHEMES or not SCHEME.fullmatch(uri.partition(":")[0]):
        raise ValueError("is neither https, nor http on loopback, nor a scheme of an app's own like com.example.app")
    return uri


def is_among(registered: Iterable[str], asked: str) -> bool:
    """True if a request may name this place."""
    return any(place == asked or _is_same_loopback(place, asked) for place in registered)


def is_assured(uri: str) -> bool:
    """True if only one app can get what is sent there: any other app may register a scheme, or listen on loopback."""
    return urlsplit(uri).scheme == "https"


def _is_same_loopback(registered: str, asked: str) -> bool:
    if not (registered.startswith("http://") and asked.startswith("http://")):
        return False
    if len(asked) > MAX_LENGTH or UNCLEAR.search(asked) or UNSAFE.search(asked):
        return False
    try:
        own, other = _portless(urlsplit(registered)), _portless(urlsplit(asked))
    except ValueError:
        return False
    return own == other and own[0] in LOOPBACK


def _portless(parts: SplitResult) -> tuple[str | None, str, str, str, bool]:
    _ = parts.port
    return parts.hostname, parts.path, parts.query, parts.fragment, "@" in parts.netloc
