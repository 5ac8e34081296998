"""Which content coding a client wants (RFC 9110, section 12.5.3), and an ETag for each coding (section 8.8.3)."""

import re
from functools import lru_cache

ZSTD, BR, GZIP = b"zstd", b"br", b"gzip"
CODINGS = (ZSTD, BR, GZIP)  # the one a client likes as much as another: best first, by what it costs and saves
MOST_REMEMBERED, MOST_BYTES = 512, 256  # no client that means it says more
_ALIASES = {b"x-gzip": GZIP}
_IDENTITY, _ANY = b"identity", b"*"
_WEIGHT = re.compile(rb"[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*")
_OURS = re.compile(rb';(?:zstd|br|gzip)"')


def choose(accept_encoding: bytes | None) -> bytes | None:
    """The coding of ours that the client likes best; None if it would rather have the bytes as they are.

    Without the field a client takes anything, but it does not say that it can read it: it gets the bytes as they are.
    """
    return None if accept_encoding is None or len(accept_encoding) > MOST_BYTES else _best(accept_encoding)


@lru_cache(MOST_REMEMBERED)
def _best(accept_encoding: bytes) -> bytes | None:
    weights = _weights(accept_encoding)
    others = weights.get(_ANY, 0)
    liked = {coding: weights.get(coding, others) for coding in CODINGS}
    best = max(CODINGS, key=lambda coding: liked[coding])  # of equals the first
    return best if 0 < liked[best] >= weights.get(_IDENTITY, 0) else None


def _weights(field: bytes) -> dict[bytes, int]:
    """Thousandths by coding; one with a weight that cannot be read is not wanted."""
    weights: dict[bytes, int] = {}
    for item in field.lower().split(b","):
        name, semicolon, parameter = item.partition(b";")
        name = name.strip(b" \t")
        if not name:
            continue
        found = _WEIGHT.fullmatch(parameter) if semicolon else None
        weight = 0 if semicolon and found is None else round(float(found[1]) * 1000) if found else 1000
        name = _ALIASES.get(name, name)
        weights[name] = max(weight, weights.get(name, 0))
    return weights


def tag_of(etag: bytes, coding: bytes) -> bytes:
    """The ETag of the same answer in this coding.

    A strong one names the very bytes, so that each coding needs its own; making it weak instead would do for
    `If-None-Match`, but `If-Match` compares strongly, and a client could never again write what it has read.
    A weak one names what they mean, which is the same.
    """
    return etag if etag[:2] == b"W/" or etag[-1:] != b'"' else b'%b;%b"' % (etag[:-1], coding)


def tags_upstream(condition: bytes) -> bytes:
    """The tags of `If-Match` or `If-None-Match` as the service knows them."""
    return _OURS.sub(b'"', condition)


def tag_sent(condition: bytes, etag: bytes) -> bytes:
    """The ETag for a 304 whose service says `etag`: the one in the condition that the client has its copy under."""
    for coding in CODINGS:
        ours = tag_of(etag, coding)
        if ours != etag and ours in condition:
            return ours
    return etag
