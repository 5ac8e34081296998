"""What a shared cache may keep and for how long, and if a client's copy is still good (RFC 9111, RFC 5861). No I/O."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import inf

KEPT_STATUSES = frozenset({200, 203, 301, 308, 404, 410})
MOST_WISH_BYTES = 512
LONGEST_S = 365 * 86_400.0
_DIRECTIVE = re.compile(
    rb"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:=[ \t]*(\"(?:[^\"\\]|\\.)*\"|[^\",]*))?[ \t]*(?:,|$)"
)
_WEAK = b"W/"

Fields = Mapping[bytes, bytes]
Directives = dict[bytes, bytes]


def by_name(fields: Iterable[bytes]) -> dict[bytes, bytes]:
    """Rendered fields by their lower-case names; the lines of one name are joined by commas."""
    found: dict[bytes, bytes] = {}
    for field in fields:
        name, _, value = field.partition(b":")
        name, value = name.lower(), value.strip()
        found[name] = found[name] + b", " + value if name in found else value
    return found


def directives(value: bytes) -> Directives:
    """A Cache-Control's directives in lower case, without quotes; of one that stands twice the first."""
    found: Directives = {}
    position = 0
    while position < len(value):
        match = _DIRECTIVE.match(value, position)
        if match is None:  # not a directive: go on behind the next comma
            position = value.find(b",", position) + 1 or len(value)
            continue
        found.setdefault(match[1].lower(), (match[2] or b"").strip().strip(b'"'))
        position = match.end()
    return found


def seconds(value: bytes | None) -> float | None:
    """A delta-seconds; 0 for one that cannot be read, None for none."""
    if value is None:
        return None
    return min(float(value), LONGEST_S) if value.isdigit() and len(value) < 20 else 0.0


def http_date(value: bytes | None) -> float | None:
    """Unix time of an HTTP-date; None for none, or for one that cannot be read."""
    try:
        return parsedate_to_datetime(value.decode("latin-1")).timestamp() if value else None
    except (ValueError, TypeError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for answers that say nothing themselves."""

    max_age_s: float = 0.0
    stale_s: float = 0.0
    stale_if_error_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a kept answer may be given: while fresh; then while it is asked for anew; then while that fails."""

    lifetime_s: float
    stale_s: float
    stale_if_error_s: float

    def is_worth_keeping(self, has_validator: bool) -> bool:
        return self.lifetime_s > 0 or self.stale_s > 0 or self.stale_if_error_s > 0 or has_validator


def terms(status: int, fields: Fields, defaults: Defaults, now: float) -> Terms | None:
    """The terms on which a shared cache keeps an answer to a GET; None if it must not (RFC 9111, section 3)."""
    if status not in KEPT_STATUSES or b"set-cookie" in fields or b"content-range" in fields:
        return None
    if b"*" in _names(fields.get(b"vary")):
        return None
    says = directives(fields.get(b"cache-control", b""))
    if b"no-store" in says or b"private" in says:
        return None
    lifetime_s = _lifetime(says, fields, defaults if status == 200 else Defaults(), now)
    if b"no-cache" in says:  # with or without names of fields: asked for anew every time
        lifetime_s = 0.0
    if b"must-revalidate" in says or b"proxy-revalidate" in says or b"no-cache" in says:
        return Terms(lifetime_s, 0.0, 0.0)
    # `s-maxage` forbids what is stale (section 4.2.4) unless the same answer allows it in so many words.
    if b"s-maxage" in says or status != 200:
        defaults = Defaults()
    stale_s = seconds(says.get(b"stale-while-revalidate"))
    stale_if_error_s = seconds(says.get(b"stale-if-error"))
    return Terms(
        lifetime_s,
        defaults.stale_s if stale_s is None else stale_s,
        defaults.stale_if_error_s if stale_if_error_s is None else stale_if_error_s,
    )


def _lifetime(says: Directives, fields: Fields, defaults: Defaults, now: float) -> float:
    """The freshness lifetime (section 4.2.1); no heuristics, an answer that does not say has that of the table."""
    for name in (b"s-maxage", b"max-age"):
        if name in says:
            return seconds(says[name]) or 0.0
    if b"expires" in fields:
        expires = http_date(fields[b"expires"])
        date = http_date(fields.get(b"date"))
        return 0.0 if expires is None else min(max(0.0, expires - (now if date is None else date)), LONGEST_S)
    return defaults.max_age_s


def initial_age(fields: Fields, now: float, delay_s: float) -> float:
    """How old an answer is as it arrives, `delay_s` after it was asked for (section 4.2.3)."""
    date = http_date(fields.get(b"date"))
    apparent = 0.0 if date is None else max(0.0, now - date)
    return min(max(apparent, (seconds(fields.get(b"age", b"").split(b",")[0] or None) or 0.0) + delay_s), LONGEST_S)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request's Cache-Control asks of a cache."""

    is_refused: bool = False  # no-store: neither from the cache nor into it
    only_if_cached: bool = False
    most_age_s: float = inf
    least_fresh_s: float = 0.0

    def accepts(self, age_s: float, lifetime_s: float) -> bool:
        return age_s <= self.most_age_s and lifetime_s - age_s >= self.least_fresh_s


NO_WISH = Wish()


def wish(cache_control: bytes | None, pragma: bytes | None) -> Wish:
    """What a request asks (section 5.2.1); `no-cache` is for one no older than itself. `max-stale` is not heard."""
    if cache_control is not None and len(cache_control) > MOST_WISH_BYTES:
        return NO_WISH
    if cache_control is None:
        return Wish(most_age_s=-1.0) if pragma is not None and b"no-cache" in pragma.lower() else NO_WISH
    says = directives(cache_control)
    most_age_s = seconds(says.get(b"max-age"))
    return Wish(
        is_refused=b"no-store" in says,
        only_if_cached=b"only-if-cached" in says,
        most_age_s=-1.0 if b"no-cache" in says or most_age_s == 0 else inf if most_age_s is None else most_age_s,
        least_fresh_s=seconds(says.get(b"min-fresh")) or 0.0,
    )


def vary(fields: Fields) -> tuple[bytes, ...]:
    """The names in Vary, in lower case and in order."""
    return tuple(sorted(_names(fields.get(b"vary"))))


def _names(value: bytes | None) -> frozenset[bytes]:
    return frozenset(name.strip().lower() for name in value.split(b",")) - {b""} if value else frozenset()


def is_not_modified(if_none_match: bytes | None, if_modified_since: bytes | None, fields: Fields) -> bool:
    """True if the client's copy is the stored answer (RFC 9110, section 13.2.2)."""
    etag = fields.get(b"etag")
    if if_none_match is not None:
        return if_none_match.strip() == b"*" or (etag is not None and is_named(if_none_match, etag))
    if if_modified_since is None:
        return False
    since, modified = http_date(if_modified_since), http_date(fields.get(b"last-modified"))
    return since is not None and modified is not None and modified <= since


_TAG = re.compile(rb'(?:W/)?"[^"]*"')


def is_named(condition: bytes, etag: bytes) -> bool:
    """True if the ETag is in the list, compared weakly (RFC 9110, section 8.8.3.2)."""
    return etag.removeprefix(_WEAK) in {tag.removeprefix(_WEAK) for tag in _TAG.findall(condition)}
