"""The route table as the data path reads it: segments in a tree, the most specific route wins."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING

from gateway.grants import OWN
from gateway.limits import Limit
from gateway.paths import normalise
from gateway.retries import NO_RETRIES, Retries

if TYPE_CHECKING:
    from gateway.cache import Policy
    from gateway.compression import Compression
    from gateway.conditions import Conditions
    from gateway.cors import Cors
    from gateway.upstreams import Upstream


MOST_PATHS = 1_024
PUBLIC, OPTIONAL, USER = "public", "optional", "user"


@dataclass(slots=True, eq=False)
class Route:
    """One line of the table. `template` names it in logs and metrics; without `upstream` it is a page of our own."""

    template: str
    methods: frozenset[bytes]
    upstream: str | None
    access: str = USER
    scopes_all: frozenset[str] = frozenset()
    scopes_any: frozenset[str] = frozenset()
    connect_s: float = 2.0
    first_byte_s: float = 30.0
    idle_s: float = 60.0
    max_body_bytes: int = 1_048_576
    upstream_path: bytes | None = None
    is_prefix: bool = False
    may_upgrade: bool = False  # to a web socket
    ends_with_token: bool = False  # what is open then, too
    service: "Upstream | None" = None  # where `upstream` is
    takes_cookies: bool = False
    needs_aal2: bool = False
    issuers: frozenset[str] = frozenset({OWN})
    cors: "Cors | None" = None  # without, the table's
    conditions: "Conditions | None" = None
    adds: bytes = b""  # fields of every answer
    compression: "Compression | None" = None
    cache: "Policy | None" = None
    cache_control: bytes = b""  # the field in answers that are no errors, whatever the upstream says
    limits: tuple[Limit, ...] = ()  # counted before the token is looked at
    user_limits: tuple[Limit, ...] = ()  # counted when the user is known
    compressed_from: float = inf  # bytes
    forged_limits: tuple[Limit, ...] = ()  # counted when the token turns out to be nobody's
    retries: Retries = NO_RETRIES
    log_fields: bytes = b""
    is_guarded: bool = False
    is_marked: bool = False
    try_s: float | None = None  # for the head of an answer that may be asked for again

    def __post_init__(self) -> None:
        self.log_fields = f'"route":"{self.template}","upstream":"{self.upstream or ""}"'.encode()
        self.is_guarded = bool(self.scopes_all or self.scopes_any or self.needs_aal2 or OWN not in self.issuers)
        self.is_marked = bool(self.adds or self.cache_control or self.cache)
        if self.compression is not None:
            self.compressed_from = self.compression.min_bytes
        self.try_s = self.retries.per_try_s

    def admits(self, scopes: frozenset[str]) -> bool:
        """True if a token with these scopes may pass."""
        if self.scopes_all and not self.scopes_all <= scopes:
            return False
        return not self.scopes_any or not self.scopes_any.isdisjoint(scopes)


Methods = dict[bytes, Route]


@dataclass(slots=True)
class _Node:
    """One segment. `exact` ends here, `prefix` goes on below, `variable` is a `{name}` segment."""

    children: dict[bytes, "_Node"] = field(default_factory=dict)
    variable: "_Node | None" = None
    exact: Methods = field(default_factory=dict)
    prefix: Methods = field(default_factory=dict)


class Table:
    """All routes. What no route names does not exist."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        self._fixed: dict[bytes, Methods] = {}
        self.find = lru_cache(MOST_PATHS)(self._find)  # by the path as the client wrote it
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        path = route.template.removesuffix("/*").encode()
        for segment in path.split(b"/")[1:]:
            if segment.startswith(b"{"):
                node.variable = node = node.variable or _Node()
            elif segment:
                node = node.children.setdefault(segment, _Node())
        methods = node.prefix if route.is_prefix else node.exact
        methods.update(dict.fromkeys(route.methods, route))
        if not route.is_prefix and b"{" not in path:
            self._fixed[path] = methods

    def place(self, method: bytes, target: bytes) -> tuple[Route | None, bytes, Methods]:
        """Where a request leads, its target as the service gets it, and what else is there; nothing is without a route.

        Raise BadRequest(malformed_request) for an ambiguous path.
        """
        path, mark, query = target.partition(b"?")
        path, methods = self.find(path)
        route = methods.get(method) if methods else None
        if route is None:
            return None, b"", methods or {}
        return route, (route.upstream_path or path) + mark + query, methods or {}

    def _find(self, raw_path: bytes) -> tuple[bytes, Methods | None]:
        """The path normalised, and its routes; raise BadRequest(malformed_request) for an ambiguous one."""
        path = normalise(raw_path)
        return path, self.match(path)

    def match(self, path: bytes) -> Methods | None:
        """The routes of a normalised path by method; None if there is no route. One slash at the end does not count."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed
        segments = path.split(b"/")
        if not segments[-1]:
            segments.pop()
        node, found = self._root, None
        for depth in range(1, len(segments)):
            if node.variable is not None:
                return _descend(node, segments, depth) or found
            found = node.prefix or found
            below = node.children.get(segments[depth])
            if below is None:
                return found
            node = below
        return node.exact or node.prefix or found


def _descend(node: _Node, segments: list[bytes], depth: int) -> Methods | None:
    """A literal segment before a variable one, the longest prefix last; an empty segment matches no variable."""
    if depth == len(segments):
        return node.exact or node.prefix or None
    segment = segments[depth]
    for below in (node.children.get(segment), node.variable if segment else None):
        if below is not None:
            found = _descend(below, segments, depth + 1)
            if found is not None:
                return found
    return node.prefix or None
