"""Answers kept in one worker's memory: bounded in bytes, the ones not asked for longest leave first. No I/O."""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.freshness import Defaults, Fields, Terms, vary
from gateway.headers import may_enter

MOST_VARIANTS = 16  # of one address, by what `Vary` names
MOST_REFUSED = 4_096
REFUSED_S = 10.0  # for so long nobody waits for somebody else's answer that could not be kept
OVERHEAD_BYTES = 1_500  # what an entry takes beside its body and its fields


@dataclass(frozen=True, slots=True)
class Policy:
    """A route's `cache`. Two tables whose routes have equal policies share what is kept."""

    template: str
    upstream: str
    url: str
    defaults: Defaults
    wait_s: float
    request_fields: frozenset[bytes]  # of a client's, those that the service gets to see

    @property
    def said(self) -> str:
        """`30+60/600`: seconds fresh, then stale while fetched anew, or while that fails."""
        defaults = self.defaults
        return f"{defaults.max_age_s:g}+{defaults.stale_s:g}/{defaults.stale_if_error_s:g}"


class Key(NamedTuple):
    """What makes two requests the same, beside what `Vary` names."""

    policy: Policy
    origin: bytes  # host and scheme, as the service is told of them
    target: bytes

    @property
    def place(self) -> tuple[str, bytes]:
        """What a write is held against: the path at the service, whatever the query."""
        return self.policy.upstream, self.target.partition(b"?")[0]


@dataclass(slots=True, eq=False)
class Entry:
    """One answer. `fields` are its head's lines as they go on to clients, without its length."""

    key: Key
    variant: tuple[bytes, ...]  # the values of what its Vary names
    status: int
    fields: list[bytes]
    named: Fields  # the same, by name
    body: bytes
    terms: Terms
    stored_at: float
    age_s: float  # when it was stored
    packed: dict[bytes, bytes] = attribute(default_factory=dict)  # the body by coding, each made when first asked for

    def age(self, now: float) -> float:
        return self.age_s + now - self.stored_at

    @property
    def size(self) -> int:
        key = len(self.key.target) + len(self.key.origin) + sum(map(len, self.variant))
        body = len(self.body) + sum(map(len, self.packed.values()))
        return OVERHEAD_BYTES + key + body + 2 * sum(map(len, self.fields))


_OF_ONE_CLIENT = frozenset({"authorization", "cookie", "range", "origin", "x-request-id", "traceparent", "host"})


def _tells_apart(name: str) -> str:
    lower = name.lower()
    if not re.fullmatch("[a-z0-9-]+", lower) or lower in _OF_ONE_CLIENT or not may_enter(lower.encode()):
        raise ValueError(f"{name} is not a field that may tell answers for everybody apart")
    return name


Seconds = Annotated[float, Field(ge=0, le=31_536_000)]


class CacheEntry(BaseModel):
    """A route's `cache`. The first three hold for answers that do not say themselves; `request_fields` tell them apart.

    Of a client's fields the service sees no others: what it does not see can neither be in an answer for everybody
    nor have to be in the key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_age_s: Seconds = 0
    stale_s: Seconds = 0
    stale_if_error_s: Seconds = 0
    wait_s: Annotated[float, Field(gt=0, le=60)] = 5
    request_fields: list[Annotated[str, AfterValidator(_tells_apart)]] = ["accept", "accept-language"]

    def policy(self, template: str, upstream: str, url: str) -> Policy:
        defaults = Defaults(self.max_age_s, self.stale_s, self.stale_if_error_s)
        names = frozenset(name.lower().encode() for name in self.request_fields)
        return Policy(template, upstream, url, defaults, self.wait_s, names)


class MemoryEntry(BaseModel):
    """`cache` of the whole table: how much each worker keeps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_bytes: Annotated[int, Field(ge=0, le=2**40)] = 33_554_432
    max_entry_bytes: Annotated[int, Field(ge=0, le=2**30)] = 1_048_576


class Cache:
    """What one worker keeps. All of it may be lost at any time: it is memory, and a worker's own."""

    def __init__(self, most_bytes: int, most_entry_bytes: int) -> None:
        self.most_bytes, self.most_entry_bytes = most_bytes, most_entry_bytes
        self.bytes = 0
        self.evicted = 0  # and not yet counted in the metrics
        self._entries: OrderedDict[tuple[Key, tuple[bytes, ...]], int] = OrderedDict()  # sizes, oldest use first
        self._by_key: dict[Key, dict[tuple[bytes, ...], Entry]] = {}
        self._by_place: dict[tuple[str, bytes], set[Key]] = {}
        self._refused: OrderedDict[Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, request: Callable[[bytes], bytes]) -> Entry | None:
        """The answer kept for a request with these fields; `request(name)` is the value of one, empty if absent."""
        variants = self._by_key.get(key)
        if variants is None:
            return None
        names = vary(next(iter(variants.values())).named)
        entry = variants.get(tuple(map(request, names)))
        if entry is not None:
            self._entries.move_to_end((key, entry.variant))
        return entry

    def has_variants(self, key: Key) -> bool:
        return key in self._by_key

    def put(self, entry: Entry) -> bool:
        """Keep an answer, in place of the one before. False if it is too large."""
        variants = self._by_key.get(entry.key)
        if variants and vary(next(iter(variants.values())).named) != vary(entry.named):
            self.drop(entry.key)  # values of other fields are not comparable
            variants = None
        if variants is not None:
            self._remove(entry.key, entry.variant)
            if len(variants) >= MOST_VARIANTS:
                self._remove(entry.key, next(iter(variants)))
        if entry.size > self.most_entry_bytes + OVERHEAD_BYTES or entry.size > self.most_bytes:
            return False
        self._by_key.setdefault(entry.key, {})[entry.variant] = entry
        self._by_place.setdefault(entry.key.place, set()).add(entry.key)
        self._entries[entry.key, entry.variant] = entry.size
        self.bytes += entry.size
        self._make_room()
        return True

    def grown(self, entry: Entry) -> None:
        """An entry has been given its body in one more coding."""
        before = self._entries.get((entry.key, entry.variant))
        if before is not None and self._by_key[entry.key][entry.variant] is entry:
            self._entries[entry.key, entry.variant] = entry.size
            self.bytes += entry.size - before
            self._make_room()

    def drop(self, key: Key) -> None:
        """Forget an address, all variants of it."""
        for variant in list(self._by_key.get(key, ())):
            self._remove(key, variant)

    def invalidate(self, place: tuple[str, bytes]) -> None:
        """Forget what is kept of a path that has been written to (RFC 9111, section 4.4)."""
        for key in list(self._by_place.get(place, ())):
            self.drop(key)

    def keep_only(self, policies: Iterable[Policy]) -> None:
        """Forget what was kept under a policy that is no longer in the table."""
        kept = frozenset(policies)
        for key in [key for key in self._by_key if key.policy not in kept]:
            self.drop(key)

    def refuse(self, key: Key, now: float) -> None:
        """Remember that this address's answers cannot be kept."""
        self._refused[key] = now + REFUSED_S
        self._refused.move_to_end(key)
        if len(self._refused) > MOST_REFUSED:
            self._refused.popitem(last=False)

    def is_refused(self, key: Key, now: float) -> bool:
        return self._refused.get(key, now) > now

    def resize(self, most_bytes: int, most_entry_bytes: int) -> None:
        self.most_bytes, self.most_entry_bytes = most_bytes, most_entry_bytes
        self._make_room()

    def _make_room(self) -> None:
        while self.bytes > self.most_bytes and self._entries:
            key, variant = next(iter(self._entries))
            self._remove(key, variant)
            self.evicted += 1

    def _remove(self, key: Key, variant: tuple[bytes, ...]) -> None:
        size = self._entries.pop((key, variant), None)
        if size is None:
            return
        self.bytes -= size
        variants = self._by_key[key]
        del variants[variant]
        if not variants:
            del self._by_key[key]
            keys = self._by_place[key.place]
            keys.discard(key)
            if not keys:
                del self._by_place[key.place]
