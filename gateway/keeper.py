"""The response cache at work (RFC 9111): what is answered from memory, what is fetched once for all who ask for it."""

import time
from collections import Counter
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from gateway import failures, meters
from gateway.cache import Cache, Entry, Key, MemoryEntry, Policy
from gateway.fetch import Fetch, FlightId, request_for
from gateway.forwarding import origin
from gateway.freshness import NO_WISH, Fields, Wish, by_name, terms, wish
from gateway.kept import freshened, made_of, reader, send, terms_of
from gateway.problems import GatewayTimeout
from shared.errors import Problem

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.gate import Gate
    from gateway.table import Route

MOST_FETCHES = 64  # at once: each may hold as much as an entry may
_ASKED_FOR_ONE_ALONE = frozenset({b"range", b"if-range", b"if-match", b"if-unmodified-since"})


class Keeper:
    """Of one worker."""

    def __init__(self, gate: "Gate", cache: Cache) -> None:
        self.gate = gate
        self.cache = cache
        self.fetches: set[Fetch] = set()
        self.counts: Counter[tuple[str, str]] = Counter()  # by route and outcome, since the last flush
        self._flights: dict[FlightId, Fetch] = {}  # those that one may join
        self._policies: frozenset[Policy] = frozenset()

    # A request.

    def take(self, exchange: "Exchange") -> bool:
        """True if the request is answered from here, now or later; else the service is to be asked as if I were not."""
        request, policy = exchange.request, exchange.route.cache
        if policy is None or request.method not in (b"GET", b"HEAD"):
            return False
        named = by_name(request.fields)
        wants = wish(named.get(b"cache-control"), named.get(b"pragma"))
        if wants.is_refused or _is_for_one_alone(exchange, named):
            self.count(exchange, "bypass", b"fwd=bypass")
            return False
        key = Key(policy, origin(exchange), exchange.target)
        entry = self.cache.get(key, reader(named, policy))
        if entry is not None and self._serve_kept(exchange, entry, wants, named):
            return True
        if wants.only_if_cached:
            raise GatewayTimeout("This is not in the cache, and nobody else was to be asked.", code="not_cached")
        now = self.gate.loop.time()
        if entry is None and (request.method == b"HEAD" or self.cache.is_refused(key, now)):
            self.count(exchange, "bypass", b"fwd=bypass")
            return False
        fetch = self._fetch(exchange, key, named, entry)
        if fetch is not None and entry is not None and wants != NO_WISH:
            fetch.insisting.add(exchange)
        return fetch is not None

    def _serve_kept(self, exchange: "Exchange", entry: Entry, wants: Wish, named: Fields) -> bool:
        age_s = entry.age(self.gate.loop.time())
        if wants.accepts(age_s, entry.terms.lifetime_s):
            self.serve(exchange, entry, "hit", b"hit")
            return True
        if wants == NO_WISH and age_s < entry.terms.lifetime_s + entry.terms.stale_s:
            self._refresh(exchange, entry, named)
            self.serve(exchange, entry, "stale", b"hit")
            return True
        return False

    def _fetch(self, exchange: "Exchange", key: Key, named: Fields, entry: Entry | None) -> Fetch | None:
        """The call that the exchange waits for now; None if there are too many already."""
        flight = _flight(key, named)
        fetch = self._flights.get(flight)
        if fetch is not None:
            fetch.join(exchange, key.policy.wait_s)
            return fetch
        if len(self.fetches) >= MOST_FETCHES:
            self.count(exchange, "bypass", b"fwd=bypass; detail=busy")
            return None
        fetch = self._begin(exchange, flight, named, entry)
        fetch.join(exchange, inf)
        self.gate.loop.call_soon(fetch.begin)
        return fetch

    def _refresh(self, exchange: "Exchange", entry: Entry, named: Fields) -> None:
        flight = _flight(entry.key, named)
        if flight not in self._flights and len(self.fetches) < MOST_FETCHES:
            fetch = self._begin(exchange, flight, named, entry)
            fetch.is_refresh = True
            self.gate.loop.call_soon(fetch.begin)

    def _begin(self, exchange: "Exchange", flight: FlightId, named: Fields, entry: Entry | None) -> Fetch:
        request = request_for(exchange, named, flight[0].policy.request_fields, entry)
        fetch = Fetch(self, exchange, flight, request, entry)
        self._flights[flight] = fetch
        self.fetches.add(fetch)
        return fetch

    def give_up(self, exchange: "Exchange", fetch: Fetch) -> None:
        """An exchange has waited long enough for somebody else's call: it makes its own."""
        fetch.leave(exchange)
        self.let_go(exchange)

    def let_go(self, exchange: "Exchange") -> None:
        """An exchange goes on by itself."""
        exchange.fetch = None
        self.count(exchange, "miss", b"fwd=miss")
        try:
            exchange.call_service()
            exchange.flush_request()
        except Problem as problem:
            exchange.refuse(problem)

    # Its answer.

    def serve(self, exchange: "Exchange", entry: Entry, outcome: str, how: bytes) -> None:
        """Answer with what is kept."""
        ttl_s = entry.terms.lifetime_s - entry.age(self.gate.loop.time())
        self.count(exchange, outcome, how + b"; ttl=%d" % int(ttl_s) if how == b"hit" else how)
        send(exchange, entry, self.cache)

    def count(self, exchange: "Exchange", outcome: str, how: bytes) -> None:
        """Count and log what came of a request, and tell the client (RFC 9211)."""
        exchange.cache_status = b"cache-status: gatehouse; %b\r\n" % how
        exchange.log_more = b',"cache":"%b"' % outcome.encode()
        self.counts[exchange.route.template, outcome] += 1

    # What comes of a fetch.

    def wants(self, fetch: Fetch) -> bool:
        """True if the answer whose head has come is to be kept, or makes one that is kept good again."""
        if fetch.status == 304 and fetch.stale is not None:
            return True
        if fetch.status >= 500 and self._is_good_in_need(fetch):
            return True
        if terms_of(fetch) is not None and (fetch.length or 0) <= self.cache.most_entry_bytes:
            return True
        if fetch.status < 500:
            self.refuse(fetch.key)
        return False

    def landed(self, fetch: Fetch) -> None:
        """The answer is there, whole."""
        if fetch.stale is not None and fetch.status >= 500:
            self._serve_in_need(fetch, fetch.stale, None)
        elif fetch.stale is not None and fetch.status == 304:
            entry = freshened(fetch, fetch.stale)
            self._keep(fetch, entry)
            self._serve_all(fetch, entry, "revalidated", b"fwd=stale; fwd-status=304")
        else:
            entry = made_of(fetch)
            is_kept = self._keep(fetch, entry)
            how = (b"fwd=uri-miss" if fetch.stale is None else b"fwd=stale") + (b"; stored" if is_kept else b"")
            self._serve_all(fetch, entry, "miss", how)

    def _keep(self, fetch: Fetch, entry: Entry) -> bool:
        """Unless a write, or another table, has come in between."""
        policy = fetch.key.policy
        if terms(entry.status, entry.named, policy.defaults, time.time()) is None:
            self.cache.drop(fetch.key)
            return False
        return not fetch.is_outdated and policy in self._policies and self.cache.put(entry)

    def _serve_all(self, fetch: Fetch, entry: Entry, outcome: str, how: bytes) -> None:
        for number, exchange in enumerate(fetch.dismissed()):
            if number:
                self.serve(exchange, entry, "collapsed", how.removesuffix(b"; stored") + b"; collapsed")
            else:
                self.serve(exchange, entry, outcome, how)

    def _serve_in_need(self, fetch: Fetch, stale: Entry, problem: Problem | None) -> None:
        """What was kept does, but not for those who would have had it without asking the service, and wanted more."""
        for exchange in fetch.dismissed():
            if exchange not in fetch.insisting:
                self.serve(exchange, stale, "stale_on_error", b"hit; detail=error")
            elif problem is None:
                self.let_go(exchange)
            else:
                exchange.refuse(problem)

    def failed(self, fetch: Fetch, problem: Problem) -> None:
        """The service cannot be asked: what is kept does, if it may; else all who wait hear of it."""
        if fetch.stale is not None and self._is_good_in_need(fetch):
            self._serve_in_need(fetch, fetch.stale, problem)
            return
        for exchange in fetch.dismissed():
            self.count(exchange, "miss", b"fwd=miss")
            exchange.refuse(problem)

    def _is_good_in_need(self, fetch: Fetch) -> bool:
        entry = fetch.stale
        if entry is None or fetch.is_outdated:
            return False
        beyond_s = max(entry.terms.stale_s, entry.terms.stale_if_error_s)
        return entry.age(self.gate.loop.time()) < entry.terms.lifetime_s + beyond_s

    def refuse(self, key: Key) -> None:
        """The answers of this address are not kept: for a while nobody waits for one."""
        self.cache.refuse(key, self.gate.loop.time())
        self.cache.drop(key)

    def forget(self, fetch: Fetch) -> None:
        self.fetches.discard(fetch)
        if self._flights.get(fetch.flight_id) is fetch:
            del self._flights[fetch.flight_id]

    # What else happens.

    def written(self, exchange: "Exchange") -> None:
        """A service has accepted a write: what is kept of its path is no longer true, nor what is on its way."""
        if not self._policies:
            return
        place = exchange.route.upstream or "", exchange.target.partition(b"?")[0]
        self.cache.invalidate(place)
        for flight, fetch in list(self._flights.items()):
            if fetch.key.place == place:
                fetch.is_outdated = True
                del self._flights[flight]

    def adopt(self, routes: "Iterable[Route]", memory: MemoryEntry) -> None:
        """A new table: what it caches as the old one did stays."""
        self._policies = frozenset(route.cache for route in routes if route.cache is not None)
        self.cache.keep_only(self._policies)
        self.cache.resize(memory.max_bytes, memory.max_entry_bytes)

    def flush_meters(self) -> None:
        """Hand the numbers to prometheus_client."""
        counts, self.counts = self.counts, Counter()
        for (template, outcome), count in counts.items():
            meters.CACHE_REQUESTS.labels(template, outcome).inc(count)
        meters.CACHE_EVICTED.inc(self.cache.evicted)
        self.cache.evicted = 0
        meters.CACHE_BYTES.set(self.cache.bytes)
        meters.CACHE_ENTRIES.set(len(self.cache))

    def pass_deadlines(self, now: float) -> None:
        for fetch in [fetch for fetch in self.fetches if fetch.client.deadline < now]:
            fetch.client.deadline = inf
            failures.deadline_passed(fetch)


def _is_for_one_alone(exchange: "Exchange", named: Fields) -> bool:
    """True for a request whose answer may be this client's own, or a part of one."""
    request = exchange.request
    is_signed = request.authorization is not None or request.cookie is not None
    is_odd = request.has_body or request.wants_websocket
    return is_signed or is_odd or not _ASKED_FOR_ONE_ALONE.isdisjoint(named)


def _flight(key: Key, named: Fields) -> FlightId:
    """Those who ask for the same with the same fields wait for the same answer."""
    return key, tuple(named.get(name, b"") for name in sorted(key.policy.request_fields))
