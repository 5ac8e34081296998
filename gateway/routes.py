"""`routes.yaml`: its shape, and every mistake in it with its place."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.table import Route, Table

_NAME = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+|\{[a-z_]+\}")


class Mistakes(Exception):
    """What is wrong with a route table, one line for each mistake."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = sorted(set(lines), key=_line_number)
        super().__init__("\n".join(self.lines))


def _line_number(mistake: str) -> tuple[int, str]:
    found = re.match(r"line (\d+)", mistake)
    return int(found[1]) if found else 0, mistake


def _path(value: str) -> str:
    if not value.startswith("/") or value != value.rstrip("/"):
        raise ValueError("begins with a slash and does not end with one")
    for segment in value.split("/")[1:]:
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise ValueError(f"segment {segment!r} is neither plain letters, digits and ._~- nor one {{name}}")
    return value


def _address(value: str) -> str:
    if _NAME.fullmatch(value):
        return value
    parts = urlsplit(value)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError("an upstream is http://host:port, nothing more")
    _ = parts.port
    return value


Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
METHODS: list[Method] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
PathTemplate = Annotated[str, AfterValidator(_path)]
Address = Annotated[str, AfterValidator(_address)]
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


def read(path: Path, names: Mapping[str, str] | None = None) -> RoutesFile:
    """The file, checked. `${NAMES}` in addresses are filled in from `names`, or left alone without it.

    Raise Mistakes with every one of them.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise Mistakes([f"{path}: cannot be read: {error}"]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise Mistakes([f"line {mark.line + 1 if mark else 1}: {getattr(error, 'problem', error)}"]) from error
    mistakes = list(_repeated_keys(root))
    try:
        routes_file = RoutesFile.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        mistakes += [_place(root, e["loc"]) + e["msg"].removeprefix("Value error, ") for e in found]
        raise Mistakes(mistakes) from error
    mistakes += _contradictions(routes_file, root)
    if names is not None:
        routes_file = _fill_in(routes_file, names, mistakes, root)
    if mistakes:
        raise Mistakes(mistakes)
    return routes_file


def _contradictions(routes_file: RoutesFile, root: yaml.Node | None) -> Iterator[str]:
    seen: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(routes_file.routes):
        if entry.upstream not in routes_file.upstreams:
            known = ", ".join(sorted(routes_file.upstreams))
            yield _place(root, ("routes", number, "upstream")) + f"{entry.upstream!r} is not one of: {known}"
        for method in entry.methods:
            key = re.sub(r"\{[a-z_]+\}", "{}", entry.template), method
            if key in seen:
                twice = f"{method} {entry.template} is routed twice (routes[{seen[key]}])"
                yield _place(root, ("routes", number)) + twice
            seen.setdefault(key, number)


def _fill_in(
    routes_file: RoutesFile, names: Mapping[str, str], mistakes: list[str], root: yaml.Node | None
) -> RoutesFile:
    upstreams = {}
    for name, entry in routes_file.upstreams.items():
        wanted = _NAME.fullmatch(entry.url)
        url = entry.url if wanted is None else names.get(wanted[1], "")
        try:
            upstreams[name] = entry.model_copy(update={"url": _address(url)})
        except ValueError as error:
            place = _place(root, ("upstreams", name, "url"))
            mistakes.append(f"{place}{entry.url} is {url!r}: {error}" if url else f"{place}{entry.url} is not set")
    return routes_file.model_copy(update={"upstreams": upstreams})


def _place(root: yaml.Node | None, location: tuple[int | str, ...]) -> str:
    """`line 12: routes[3].access: ` for a location in the document."""
    node, line = root, 1
    for part in location:
        below = _below(node, part)
        if below is None:
            break
        line, node = below
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    return f"line {line}: {name}: " if name else f"line {line}: "


def _below(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None


def _repeated_keys(node: yaml.Node | None) -> Iterator[str]:
    """YAML readers take the last of two equal keys; here that is a mistake."""
    if isinstance(node, yaml.MappingNode):
        seen: set[Any] = set()
        for key, value in node.value:
            if key.value in seen:
                yield f"line {key.start_mark.line + 1}: {key.value}: appears twice"
            seen.add(key.value)
            yield from _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item)
