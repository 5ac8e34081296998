"""The shape of `routes.yaml`: what may stand in it, and the routes it makes."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from gateway.breaker import BreakerEntry
from gateway.cache import CacheEntry, MemoryEntry, Policy
from gateway.compression import CompressEntry, Compression
from gateway.cors import ANY, Cors
from gateway.grants import OWN
from gateway.health import HealthEntry
from gateway.issuers import IssuerEntry
from gateway.limits import USER, Limit, LimitEntry
from gateway.outliers import EjectionEntry
from gateway.phones import AppsEntry, ClientsEntry, DeprecationEntry, MaintenanceEntry, conditions
from gateway.retries import BudgetEntry, Retries, RetriesEntry
from gateway.table import PUBLIC, Route, Table
from gateway.targets import TargetEntry
from gateway.values import Address, PathTemplate, Seconds

if TYPE_CHECKING:
    from gateway.upstreams import Upstream

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
METHODS: list[Method] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
Origin = Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9+.-]*://[a-z0-9.-]+(:[0-9]{1,5})?)$")]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
FieldValue = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]
Name = Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,39}$")]
Bytes = Annotated[int, Field(ge=0, le=2**40)]
Compress = StrictBool | CompressEntry
CACHED_IS_PUBLIC: dict[str, Any] = {
    "if": {"required": ["cache"], "properties": {"cache": {"type": "object"}}},
    "then": {"properties": {"access": {"const": "public"}}},
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeoutsEntry(_Strict):
    """`connect_s` to reach the upstream, `first_byte_s` for its head, `idle_s` between two pieces of a body."""

    connect_s: Seconds | None = None
    first_byte_s: Seconds | None = None
    idle_s: Seconds | None = None


class ScopesEntry(_Strict):
    """`all` must be in the token, and at least one of `any`."""

    all: list[str] = []
    any: list[str] = []


class CorsEntry(_Strict):
    """Which browsers may call, by the origin of the page. `headers` and `exposed` are beside those always allowed."""

    origins: list[Origin]
    credentials: bool = False
    headers: list[FieldName] = []
    exposed: list[FieldName] = []
    max_age_s: Annotated[int, Field(ge=0, le=86_400)] = 7_200

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.credentials and ANY in self.origins:
            raise ValueError("every origin (*) may not be allowed to send credentials")
        return self

    def cors(self) -> Cors:
        return Cors(**self.model_dump())


class UpstreamEntry(_Strict):
    """Where a service is: a `url`, or several `targets`. `openapi` is its path for `/openapi.json`.


    `health` is the path that `/status` asks; written as an object, targets that it finds unwell get no calls.
    `compress` holds for its routes that do not say themselves: some services' answers are full of secrets. Cookies go
    on to it only with `cookies`, or on routes whose `cors` lets browsers of other origins send them.
    """

    url: Address | None = None
    targets: list[TargetEntry] = []
    health: PathTemplate | HealthEntry | None = None
    openapi: PathTemplate | None = None
    compress: Compress | None = None
    cookies: bool = False
    breaker: BreakerEntry | None = None
    ejection: EjectionEntry = EjectionEntry()
    retry_budget: BudgetEntry = BudgetEntry()

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.url is None) != bool(self.targets):
            raise ValueError("an upstream has either a url or targets")
        urls = [target.url for target in self.targets]
        if len(set(urls)) < len(urls):
            raise ValueError("two targets have the same url")
        return self

    @property
    def places(self) -> list[TargetEntry]:
        """Its targets, the one that `url` is included."""
        return [TargetEntry(url=self.url)] if self.url is not None else self.targets

    @property
    def checks(self) -> HealthEntry | None:
        """What is asked of its targets again and again."""
        return self.health if isinstance(self.health, HealthEntry) else None

    @property
    def health_path(self) -> str | None:
        return self.health.path if isinstance(self.health, HealthEntry) else self.health


class DefaultsEntry(_Strict):
    timeouts: TimeoutsEntry = TimeoutsEntry(connect_s=2, first_byte_s=30, idle_s=60)
    max_body_bytes: Bytes = 1_048_576
    limits: list[str] = []
    cors: CorsEntry | None = None
    issuers: list[str] = [OWN]
    compress: Compress = True
    retries: RetriesEntry = RetriesEntry()
    breaker: BreakerEntry | None = None

    def cors_or(self, origins: Iterable[str]) -> Cors:
        """What holds for routes that say nothing; if the table does not either, the origins of the settings."""
        return self.cors.cors() if self.cors else Cors(origins)


class RouteEntry(_Strict):
    """One `path` (with `{name}` segments) or one `prefix`, which also means everything below it."""

    model_config = ConfigDict(json_schema_extra=CACHED_IS_PUBLIC)

    path: PathTemplate | None = None
    prefix: PathTemplate | None = None
    methods: list[Method] = METHODS
    upstream: str
    upstream_path: PathTemplate | None = None
    access: Literal["public", "optional", "user"]
    scopes: ScopesEntry = ScopesEntry()
    aal: Literal["aal1", "aal2"] = "aal1"
    issuers: list[str] | None = None
    timeouts: TimeoutsEntry = TimeoutsEntry()
    max_body_bytes: Bytes | None = None
    limits: list[str] | None = None
    cors: CorsEntry | None = None
    cache_control: FieldValue | None = None
    compress: Compress | None = None
    cache: CacheEntry | None = None
    upgrade: list[Literal["websocket"]] = []
    ends_with: Literal["session", "token"] = "session"
    deprecation: DeprecationEntry | None = None
    retries: RetriesEntry = RetriesEntry()

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.path is None) == (self.prefix is None):
            raise ValueError("a route has either a path or a prefix")
        if self.upstream_path and (self.path is None or "{" in self.path + self.upstream_path):
            raise ValueError("upstream_path goes with a path without {names}")
        if (self.scopes.all or self.scopes.any) and self.access != "user":
            raise ValueError("scopes need access: user")
        if self.issuers is not None and (not self.issuers or self.access == "public"):
            raise ValueError("issuers names at least one, and needs access: user or optional")
        if self.aal == "aal2" and self.access != "user":
            raise ValueError("aal2 needs access: user")
        if self.ends_with == "token" and self.access == "public":
            raise ValueError("ends_with: token needs access: user or optional")
        if self.cache is not None and (self.access != "public" or "GET" not in self.methods):
            raise ValueError("cache needs access: public, and GET among the methods")
        if self.upgrade and "GET" not in self.methods:
            raise ValueError("a web socket begins with a GET")
        if not self.methods:
            raise ValueError("methods is empty: leave it out to allow all")
        return self

    @property
    def start(self) -> str:
        """Its path or prefix."""
        return self.path or self.prefix or ""

    @property
    def template(self) -> str:
        return self.path or f"{self.prefix}/*"


class RoutesFile(_Strict):
    """The whole file."""

    upstreams: dict[Name, UpstreamEntry]
    limits: dict[Name, LimitEntry] = {}
    issuers: dict[Name, IssuerEntry] = {}
    defaults: DefaultsEntry = DefaultsEntry()
    clients: ClientsEntry | None = None
    maintenance: MaintenanceEntry | None = None
    apps: AppsEntry = AppsEntry()
    cache: MemoryEntry = MemoryEntry()
    routes: list[RouteEntry]

    def upstream(self, name: str) -> UpstreamEntry:
        """An upstream with what the defaults say of it."""
        entry = self.upstreams[name]
        return entry if entry.breaker is not None else entry.model_copy(update={"breaker": self.defaults.breaker})

    def table(self) -> Table:
        """What the data path reads, without the gateway's own pages."""
        return Table(self.routes_for({}))

    def routes_for(self, upstreams: "Mapping[str, Upstream]") -> list[Route]:
        """The routes, each with its place in `upstreams`; what can be made ready before a request comes, is."""
        limits = {name: entry.limit(name) for name, entry in self.limits.items()}
        return [self._route(entry, limits, upstreams.get(entry.upstream)) for entry in self.routes]

    def _limits(self, entry: RouteEntry, all_limits: Mapping[str, Limit]) -> list[Limit]:
        """Those it names, or the defaults; a default that counts forged tokens holds beside them, but for `[]`."""
        defaults = [all_limits[name] for name in self.defaults.limits]
        if not entry.limits:
            return defaults if entry.limits is None else []
        named = [all_limits[name] for name in entry.limits]
        return named + [limit for limit in defaults if limit.counts_forged and limit not in named]

    def _route(self, entry: RouteEntry, all_limits: Mapping[str, Limit], service: "Upstream | None") -> Route:
        times = self.defaults.timeouts.model_dump(exclude_none=True) | entry.timeouts.model_dump(exclude_none=True)
        methods = {*entry.methods, *(["HEAD"] if "GET" in entry.methods else [])}
        limit = self.defaults.max_body_bytes if entry.max_body_bytes is None else entry.max_body_bytes
        limits = self._limits(entry, all_limits)
        forged = [limit for limit in limits if limit.counts_forged]
        waiting = [limit for limit in limits if limit.by == USER and entry.access != PUBLIC]
        return Route(
            template=entry.template,
            methods=frozenset(method.encode() for method in methods),
            upstream=entry.upstream,
            access=entry.access,
            scopes_all=frozenset(entry.scopes.all),
            scopes_any=frozenset(entry.scopes.any),
            max_body_bytes=limit,
            upstream_path=entry.upstream_path.encode() if entry.upstream_path else None,
            is_prefix=entry.prefix is not None,
            may_upgrade="websocket" in entry.upgrade,
            ends_with_token=entry.ends_with == "token",
            service=service,
            conditions=conditions(entry.upstream, entry.start, self.maintenance, self.clients),
            adds=entry.deprecation.fields() if entry.deprecation else b"",
            issuers=frozenset(entry.issuers or self.defaults.issuers),
            takes_cookies=self._takes_cookies(entry),
            needs_aal2=entry.aal == "aal2",
            cors=entry.cors.cors() if entry.cors else None,
            cache_control=f"cache-control: {entry.cache_control}\r\n".encode() if entry.cache_control else b"",
            compression=self._compression(entry),
            cache=self._policy(entry),
            limits=tuple(limit for limit in limits if limit not in (*waiting, *forged)),
            user_limits=tuple(waiting),
            forged_limits=tuple(forged),
            retries=Retries.of(self.defaults.retries, entry.retries),
            **times,
        )

    def _takes_cookies(self, entry: RouteEntry) -> bool:
        upstream, cors = self.upstreams.get(entry.upstream), entry.cors or self.defaults.cors
        return bool((upstream and upstream.cookies) or (cors and cors.credentials))

    def _compression(self, entry: RouteEntry) -> Compression | None:
        """Where browsers send cookies, nothing is compressed unless the route itself says so."""
        upstream, cors = self.upstreams.get(entry.upstream), entry.cors or self.defaults.cors
        service = False if cors and cors.credentials else upstream.compress if upstream else None
        wanted = next((one for one in (entry.compress, service) if one is not None), self.defaults.compress)
        if not wanted or "no-transform" in (entry.cache_control or ""):
            return None
        return Compression() if wanted is True else wanted.compression()

    def _policy(self, entry: RouteEntry) -> Policy | None:
        if entry.cache is None or entry.upstream not in self.upstreams:
            return None
        where = " ".join(place.url for place in self.upstreams[entry.upstream].places)
        return entry.cache.policy(entry.template, entry.upstream, where)
