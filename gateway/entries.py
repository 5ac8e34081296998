"""The shape of `routes.yaml`: what may stand in it, and the routes it makes."""

import re
from collections.abc import Iterable
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway.table import Route, Table

NAME = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+|\{[a-z_]+\}")


def _path(value: str) -> str:
    if not value.startswith("/") or value != value.rstrip("/"):
        raise ValueError("begins with a slash and does not end with one")
    for segment in value.split("/")[1:]:
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise ValueError(f"segment {segment!r} is neither plain letters, digits and ._~- nor one {{name}}")
    return value


def address(value: str) -> str:
    if NAME.fullmatch(value):
        return value
    parts = urlsplit(value)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError("an upstream is http://host:port, nothing more")
    _ = parts.port
    return value


Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
METHODS: list[Method] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
PathTemplate = Annotated[str, AfterValidator(_path)]
Address = Annotated[str, AfterValidator(address)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Bytes = Annotated[int, Field(ge=0, le=2**40)]


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


class UpstreamEntry(_Strict):
    """Where a service is; `health` and `openapi` are its paths for `/status` and `/openapi.json`."""

    url: Address
    health: PathTemplate | None = None
    openapi: PathTemplate | None = None


class DefaultsEntry(_Strict):
    timeouts: TimeoutsEntry = TimeoutsEntry(connect_s=2, first_byte_s=30, idle_s=60)
    max_body_bytes: Bytes = 1_048_576


class RouteEntry(_Strict):
    """One `path` (with `{name}` segments) or one `prefix`, which also means everything below it."""

    path: PathTemplate | None = None
    prefix: PathTemplate | None = None
    methods: list[Method] = METHODS
    upstream: str
    upstream_path: PathTemplate | None = None
    access: Literal["public", "optional", "user"]
    scopes: ScopesEntry = ScopesEntry()
    timeouts: TimeoutsEntry = TimeoutsEntry()
    max_body_bytes: Bytes | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.path is None) == (self.prefix is None):
            raise ValueError("a route has either a path or a prefix")
        if self.upstream_path and (self.path is None or "{" in self.path + self.upstream_path):
            raise ValueError("upstream_path goes with a path without {names}")
        if (self.scopes.all or self.scopes.any) and self.access != "user":
            raise ValueError("scopes need access: user")
        if not self.methods:
            raise ValueError("methods is empty: leave it out to allow all")
        return self

    @property
    def template(self) -> str:
        return self.path or f"{self.prefix}/*"


class RoutesFile(_Strict):
    """The whole file."""

    upstreams: dict[Annotated[str, Field(pattern="^[a-z][a-z0-9-]*$")], UpstreamEntry]
    defaults: DefaultsEntry = DefaultsEntry()
    routes: list[RouteEntry]

    def table(self, own: Iterable[Route] = ()) -> Table:
        """What the data path reads; `own` are the gateway's own pages."""
        return Table([*(self._route(entry) for entry in self.routes), *own])

    def _route(self, entry: RouteEntry) -> Route:
        times = self.defaults.timeouts.model_dump(exclude_none=True) | entry.timeouts.model_dump(exclude_none=True)
        methods = {*entry.methods, *(["HEAD"] if "GET" in entry.methods else [])}
        limit = self.defaults.max_body_bytes if entry.max_body_bytes is None else entry.max_body_bytes
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
            **times,
        )
