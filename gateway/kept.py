"""How an answer becomes an entry of the cache, and an entry an answer again (RFC 9111, sections 3 and 4)."""

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING

from gateway.cache import Cache, Entry, Policy
from gateway.codings import tags_upstream
from gateway.compression import pack
from gateway.freshness import Fields, Terms, by_name, initial_age, is_not_modified, terms, vary

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.fetch import Fetch

_NOT_KEPT = frozenset({b"content-length", b"age"})
_OF_A_304 = frozenset({b"cache-control", b"content-location", b"date", b"etag", b"expires", b"last-modified", b"vary"})


def terms_of(fetch: "Fetch") -> Terms | None:
    """On what terms an answer whose head has come is kept; None if it must not be, or need not."""
    named = by_name(fetch.fields)
    found = terms(fetch.status, named, fetch.key.policy.defaults, time.time())
    has_validator = b"etag" in named or b"last-modified" in named
    return found if found is not None and found.is_worth_keeping(has_validator) else None


def made_of(fetch: "Fetch") -> Entry:
    """The entry for an answer that is there, whole."""
    lines = [field for field in fetch.fields if _name(field) not in _NOT_KEPT]
    return _entry(fetch, lines, fetch.status, b"".join(fetch.pieces))


def freshened(fetch: "Fetch", stale: Entry) -> Entry:
    """What was kept, with the fields of the 304 in place of its own (section 3.2): those that are for everybody."""
    newer = [field for field in fetch.fields if not field.lower().startswith((b"content-", b"age:", b"set-cookie"))]
    names = by_name(newer).keys()
    return _entry(
        fetch, [*(line for line in stale.fields if _name(line) not in names), *newer], stale.status, stale.body
    )


def _entry(fetch: "Fetch", lines: list[bytes], status: int, body: bytes) -> Entry:
    now, wall, policy = fetch.gate.loop.time(), time.time(), fetch.key.policy
    if not any(_name(line) == b"date" for line in lines):  # RFC 9110, section 6.6.1
        lines = [*lines, b"date: %b\r\n" % formatdate(wall, usegmt=True).encode()]
    named = by_name(lines)
    variant = tuple(map(reader(by_name(fetch.request.fields), policy), vary(named)))
    age_s = initial_age(by_name(fetch.fields), wall, now - fetch.asked_at)
    found = terms(status, named, policy.defaults, wall)
    return Entry(fetch.key, variant, status, lines, named, body, found or Terms(0, 0, 0), now, age_s)


def reader(named: Fields, policy: Policy) -> Callable[[bytes], bytes]:
    """A request's fields as the service gets to see them."""
    return lambda name: named.get(name, b"") if name in policy.request_fields else b""


def send(exchange: "Exchange", entry: Entry, cache: Cache) -> None:
    """Answer with an entry: the client's own condition and coding are looked at here."""
    request = exchange.request
    age = b"age: %d\r\n" % int(entry.age(exchange.gate.loop.time()))
    condition = None if request.if_none_match is None else tags_upstream(request.if_none_match)
    since = by_name(request.fields).get(b"if-modified-since")
    if entry.status == 200 and is_not_modified(condition, since, entry.named):
        fields = [field for field in entry.fields if _name(field) in _OF_A_304]
        exchange.response_head(304, [*fields, age], None, True)
        exchange.response_complete()
        return
    length, is_head = len(entry.body), request.method == b"HEAD"
    fields = [*entry.fields, age, b"content-length: %d\r\n" % length]
    exchange.response_head(entry.status, fields, length, is_head)
    if exchange.encoder is not None:
        exchange.encoder.whole(exchange, entry.body, _packed(entry, exchange.encoder.coding, cache))
    elif not is_head:
        exchange.add_body(entry.body)
    exchange.response_complete()


def _packed(entry: Entry, coding: bytes, cache: Cache) -> bytes:
    packed = entry.packed.get(coding)
    if packed is None:
        packed = entry.packed[coding] = pack(coding, entry.body)
        cache.grown(entry)
    return packed


def _name(field: bytes) -> bytes:
    return field.partition(b":")[0].lower()
