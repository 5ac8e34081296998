"""Whose request it is: the client's address behind our own proxies, and what counts as one client."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.request import Request

UNKNOWN = b"unknown"
MOST_REMEMBERED = 8_192


def chain(request: "Request", peer: bytes, trusted_hops: int) -> list[bytes]:
    """The client's address as the first of our own proxies saw it, then those of the proxies between, `peer` last.

    Each proxy adds to the right of X-Forwarded-For whom it was asked by; what is left of ours anyone may have written.
    If it has fewer entries than proxies should have added, the request did not come through all of them: only the
    peer is certain.
    """
    if not trusted_hops or request.forwarded_for is None:
        return [peer]
    entries = request.forwarded_for.split(b",")
    if len(entries) < trusted_hops:
        return [peer]
    return [*map(plain, entries[-trusted_hops:]), peer]


def client(request: "Request", peer: bytes, trusted_hops: int) -> bytes:
    """The client's address; `unknown` if our own proxy has handed on something that is none."""
    return chain(request, peer, trusted_hops)[0]


@lru_cache(MOST_REMEMBERED)
def plain(entry: bytes) -> bytes:
    """An entry of X-Forwarded-For as an address without port, brackets or zone; `unknown` if it is none."""
    text = entry.strip().decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return _unmapped(text).encode()
    except ValueError:
        return UNKNOWN


@lru_cache(MOST_REMEMBERED)
def group(address: bytes) -> bytes:
    """What a limit by address counts as one client: an IPv4 address, or a /64, of which a client has all."""
    try:
        found = ip_address(_unmapped(address.decode()))
    except ValueError:
        return address
    return found.packed[:8] if found.version == 6 else found.packed


def _unmapped(text: str) -> str:
    """`::ffff:192.0.2.1` is 192.0.2.1 on a socket that takes both."""
    found = ip_address(text.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)
