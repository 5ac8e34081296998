"""What one worker process holds: the table, the upstreams, the tokens, the clients; and its clock."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from gateway import meters, pace, reloading
from gateway.accesslog import AccessLog
from gateway.cache import Cache
from gateway.client import ClientConnection
from gateway.config import GatewaySettings
from gateway.configuration import TableFile
from gateway.cors import Cors
from gateway.endings import Endings
from gateway.entries import RoutesFile, UpstreamEntry
from gateway.exchange import Exchange
from gateway.heads import KnownFields, KnownLines
from gateway.keeper import Keeper
from gateway.limiter import Limiter
from gateway.meters import Meters
from gateway.revocations import RevocationFeed, RevocationSet
from gateway.room import Room
from gateway.table import Route, Table
from gateway.tokens import Tokens
from gateway.uploads import Uploads
from gateway.upstreams import Upstream
from gateway.wsgi import Pages
from shared import trace
from shared.errors import Unavailable
from shared.tokens import Verifier

if TYPE_CHECKING:
    from gateway.tracing import Tracing

log = logging.getLogger(__name__)
TICK_S = 0.2


class Gate:
    """Made with the Flask app, opened by the worker on its event loop."""

    def __init__(
        self, settings: GatewaySettings, file: TableFile, own: Iterable[Route], operators: Iterable[Route]
    ) -> None:
        self.settings = settings
        self.trusted_hops = settings.trusted_hops
        self.file = file
        self.own_routes = tuple(own)
        self.operators_table = Table(operators)
        self.hsts = b"strict-transport-security: max-age=%d\r\n" % settings.hsts_max_age_s
        if not settings.hsts_max_age_s:
            self.hsts = b""
        self.revoked = RevocationSet()
        verifier = Verifier(settings.jwks_url, settings.issuer, settings.audience)
        self.tokens = Tokens(verifier, self.revoked, settings.token_cache_size)
        self.upstreams: dict[str, Upstream] = {}
        self.followers: list[Callable[[RoutesFile], None]] = []
        self.keeper = Keeper(self, Cache(0, 0))
        self._use(file.read_or_last_right())
        meters.TABLE_LOADED.set(time.time())
        self.feed = RevocationFeed(settings.amqp_url.get_secret_value(), self.revoked)
        self.limiter = _limiter(settings)
        self.known_fields = KnownFields(settings)
        self.known_lines = KnownLines()
        self.meters = Meters()
        self.access_log = AccessLog()
        self.logs_requests = settings.log_level in ("DEBUG", "INFO")
        self.clients: set[ClientConnection] = set()
        self.uploads = Uploads(settings.upstream_connections)
        self.arriving: set[asyncio.Task[None]] = set()  # connections that are not yet a client's
        self.room: Room
        self.tunnels: set[Exchange] = set()  # web sockets that are open
        self.endings = Endings(self)
        self.tracing: Tracing | None = None
        self.is_stopping = False
        self.clock = 0.0  # the time until which no deadline set now has passed: read often, moved on by `_tick`
        self.loop: asyncio.AbstractEventLoop
        self.pages: Pages
        self._tasks: set[asyncio.Task[Any]] = set()

    def _use(self, routes_file: RoutesFile) -> None:
        """Prepare the table whole, then put it in the place of the one in use. What did not change is kept."""
        upstreams = {}
        for name in routes_file.upstreams:
            entry, known = routes_file.upstream(name), self.upstreams.get(name)
            upstreams[name] = known if known is not None and known.entry == entry else self._upstream(name, entry)
        table = Table([*routes_file.routes_for(upstreams), *self.own_routes])
        for name, upstream in self.upstreams.items():
            successor = upstreams.get(name)
            if successor is upstream:
                continue
            if successor is not None:
                successor.inherit(upstream)
            upstream.retire()
            meters.forget_upstream(upstream)
        self.cors: Cors = routes_file.defaults.cors_or(self.settings.allowed_origins)
        self.tokens.trust(routes_file.issuers)
        self.keeper.adopt(table.routes, routes_file.cache)
        self.table: Table = table
        self.routes_file: RoutesFile = routes_file
        self.upstreams = upstreams

    def _upstream(self, name: str, entry: UpstreamEntry) -> Upstream:
        settings = self.settings
        return Upstream(name, entry, most=settings.upstream_connections, keepalive_s=settings.upstream_keepalive_s)

    def adopt(self, routes_file: RoutesFile) -> None:
        """From now on requests go by this table; those under way keep the one they began with."""
        self._use(routes_file)
        for upstream in self.upstreams.values():
            upstream.open(self.loop)
        self._keep_keys_fresh()
        for follower in self.followers:
            follower(routes_file)

    def _keep_keys_fresh(self) -> None:
        for verifier in self.tokens.unattended():
            self.later(self.tokens.keep_keys_fresh(verifier, self.settings.jwks_refresh_s))

    def open(self, loop: asyncio.AbstractEventLoop, pages: Pages) -> None:
        """Begin on the worker's loop."""
        self.loop = loop
        self.clock = loop.time() + TICK_S
        for upstream in self.upstreams.values():
            upstream.open(loop)
        self.pages = pages
        self.room = Room(self)
        self.access_log.start()
        self.tracing = _tracing()
        self._keep_keys_fresh()
        self.later(self.feed.follow())
        self.later(reloading.follow(self, self.file))
        self.later(self._tick())

    async def ready_to_accept(self) -> None:
        """Wait a little, so that a new worker knows what was revoked before it lets anyone in.

        Without the broker it serves all the same, and `/readyz` says that it is not ready.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.revocations_wait_s):
                await self.feed.was_caught_up.wait()

    def check_caught_up(self) -> None:
        """Raise Unavailable until this worker has read what was revoked before it started."""
        if not self.feed.was_caught_up.is_set():
            raise Unavailable("The sessions revoked earlier are not known yet.")

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run in the background, for as long as the worker lives."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._after)

    def _after(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.report(error)

    def report(self, error: BaseException) -> None:
        """Log a mistake of ours that one request has met."""
        log.error("failed", exc_info=error)

    def record(self, exchange: Exchange) -> None:
        """Log and count an exchange that is over."""
        seconds = time.perf_counter() - exchange.started_at
        call, answered_at = exchange.call, exchange.answered_at
        upstream_seconds = max(0.0, answered_at - call.sent_at) if answered_at and call is not None else 0.0
        meter = self.meters.record(exchange, seconds, upstream_seconds)
        is_probe = exchange.route.upstream is None and exchange.status < 400  # those would drown the rest
        if self.tracing is not None and not is_probe:
            self.tracing.record(exchange, seconds)
        if self.logs_requests and not is_probe:
            self.access_log.add(exchange, meter.log_fields, seconds, upstream_seconds)

    async def _tick(self) -> None:
        """Deadlines, idle connections, logs and metrics, a few times a second."""
        count = 0
        while True:
            await asyncio.sleep(TICK_S)
            count += 1
            try:
                self._pass_deadlines()
                self.endings.end_revoked()
                self.access_log.flush()
                if count % 10 == 0:
                    self._hold_to_pace()
                if count % 3 == 0:
                    self.flush_meters()
                if count % 5 == 0:
                    self.endings.end_expired()
                if count % 50 == 0:
                    self.revoked.purge()
                if count % 3000 == 0:
                    self.known_fields.grow_old()
            except Exception as error:
                self.report(error)

    def _pass_deadlines(self) -> None:
        now = self.loop.time()
        self.clock = now + TICK_S
        for client in [client for client in self.clients if client.deadline < now]:
            client.deadline_passed()
        self.keeper.pass_deadlines(now)
        for upstream in self.upstreams.values():
            upstream.tick(now)

    def _hold_to_pace(self) -> None:
        now, rate = self.loop.time(), self.settings.min_body_bytes_per_s
        for client in [client for client in self.clients if client.exchange is not None] if rate else ():
            pace.look(client, now, rate)

    def flush_meters(self) -> None:
        """Hand the numbers to prometheus_client."""
        self.meters.flush()
        self.limiter.flush_meters()
        self.keeper.flush_meters()
        meters.CONNECTIONS.set(len(self.clients))
        self.meters.count_tunnels(self.tunnels)
        meters.CACHED_TOKENS.set(len(self.tokens))
        meters.VERIFIED_TOKENS.inc(self.tokens.verified)
        self.tokens.verified = 0
        meters.DROPPED_LINES.inc(self.access_log.lost)
        self.access_log.lost = 0
        meters.REVOKED_SESSIONS.set(len(self.revoked))
        meters.CAUGHT_UP.set(self.feed.is_caught_up)
        for upstream in self.upstreams.values():
            meters.show_upstream(upstream, self.loop.time())

    async def drain(self, linger_s: float, grace_s: float) -> None:
        """Answer what is in flight, then end; idle connections get `linger_s` for a request that is on its way."""
        self.is_stopping = True
        end = self.loop.time() + grace_s
        linger_end = min(end, self.loop.time() + linger_s)
        while (now := self.loop.time()) < end and (self.clients or (self.arriving and now < linger_end)):
            if now >= linger_end:
                for client in list(self.clients):
                    client.stop()
            await asyncio.sleep(0.05)
        for client in list(self.clients):
            client.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await self.limiter.close()
        if self.tracing is not None:
            await self.tracing.close()
        self.flush_meters()
        self.access_log.stop()


def _tracing() -> "Tracing | None":
    if not trace.are_sent():
        return None
    from gateway.tracing import Tracing  # OpenTelemetry is not loaded where no traces are sent

    return Tracing()


def _limiter(settings: GatewaySettings) -> Limiter:
    if settings.redis_url is None:
        return Limiter(settings, 1 / settings.web_workers)
    from gateway.shared_limits import SharedLimiter  # the client is not loaded where it is not used

    return SharedLimiter(settings, settings.redis_url.get_secret_value())
