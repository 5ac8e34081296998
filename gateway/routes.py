"""Reads `routes.yaml`, or says every mistake in it with its place."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gateway.entries import RoutesFile
from gateway.grants import OWN
from gateway.phones import unknown
from gateway.values import NAME, address


class Mistakes(Exception):
    """What is wrong with a route table, one line for each mistake."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = sorted(set(lines), key=_line_number)
        super().__init__("\n".join(self.lines))


def _line_number(mistake: str) -> tuple[int, str]:
    found = re.match(r"line (\d+)", mistake)
    return int(found[1]) if found else 0, mistake


def read(path: Path, names: Mapping[str, str] | None = None) -> RoutesFile:
    """The file, checked. Raise Mistakes with every one of them."""
    return parse(text_of(path), names)


def text_of(path: Path) -> str:
    """What the file says. Raise Mistakes if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Mistakes([f"{path}: cannot be read: {error}"]) from error


def parse(text: str, names: Mapping[str, str] | None = None) -> RoutesFile:
    """The table, checked. `${NAMES}` in addresses are filled in from `names`, or left alone without it.

    Raise Mistakes with every one of them.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
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
    yield from _unknown_limits(routes_file, root)
    yield from _unclear_issuers(routes_file, root)
    starts = {entry.start for entry in routes_file.routes}
    for place, mistake in unknown(routes_file.maintenance, routes_file.clients, routes_file.upstreams, starts):
        yield _place(root, place) + mistake
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


def _unknown_limits(routes_file: RoutesFile, root: yaml.Node | None) -> Iterator[str]:
    named: list[tuple[tuple[int | str, ...], list[str]]] = [(("defaults", "limits"), routes_file.defaults.limits)]
    named += [(("routes", number, "limits"), entry.limits or []) for number, entry in enumerate(routes_file.routes)]
    for location, names in named:
        for name in names:
            if name not in routes_file.limits:
                yield _place(root, location) + f"{name!r} is not one of limits"


def _unclear_issuers(routes_file: RoutesFile, root: yaml.Node | None) -> Iterator[str]:
    known, said = {OWN, *routes_file.issuers}, [entry.issuer for entry in routes_file.issuers.values()]
    for name, entry in routes_file.issuers.items():
        if name == OWN or said.count(entry.issuer) > 1:
            yield _place(root, ("issuers", name)) + f"{OWN} is auth, and no two have one `issuer`"
    lists: list[tuple[tuple[str | int, ...], list[str]]] = [(("defaults", "issuers"), routes_file.defaults.issuers)]
    lists += [(("routes", number, "issuers"), entry.issuers or []) for number, entry in enumerate(routes_file.routes)]
    for place, names in lists:
        for number, name in enumerate(names):
            if name not in known:
                yield _place(root, (*place, number)) + f"{name!r} is not one of: {', '.join(sorted(known))}"


def _fill_in(
    routes_file: RoutesFile, names: Mapping[str, str], mistakes: list[str], root: yaml.Node | None
) -> RoutesFile:
    def filled(text: str, *place: str | int) -> str:
        wanted = NAME.fullmatch(text)
        url = text if wanted is None else names.get(wanted[1], "")
        try:
            return address(url)
        except ValueError as error:
            where = _place(root, ("upstreams", *place))
            mistakes.append(f"{where}{text} is {url!r}: {error}" if url else f"{where}{text} is not set")
            return text

    upstreams = {}
    for name, entry in routes_file.upstreams.items():
        url = None if entry.url is None else filled(entry.url, name, "url")
        targets = [
            target.model_copy(update={"url": filled(target.url, name, "targets", number, "url")})
            for number, target in enumerate(entry.targets)
        ]
        if len({target.url for target in targets}) < len(targets):
            mistakes.append(_place(root, ("upstreams", name, "targets")) + "two of them are at one address")
        upstreams[name] = entry.model_copy(update={"url": url, "targets": targets})
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
