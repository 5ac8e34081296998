"""The OpenAPI 3.1 documents of several services as one: what a client can call through this gateway."""

import re
from collections.abc import Iterator
from typing import Any

from gateway.table import Table

METHODS = frozenset({"get", "head", "post", "put", "patch", "delete", "options", "trace"})
BEARER = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
_NAMED = re.compile(r"\{[^{}]*\}")
_COMPONENTS = "#/components/"


def merge(documents: dict[str, Any], table: Table, public_url: str) -> dict[str, Any]:
    """Paths side by side, those that the table leads to their service, with tags of the services' names.

    Components and operation ids become `<service>_<name>`, since two services may use one name; security schemes keep
    theirs, since one token serves all.
    """
    merged: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Gatehouse", "version": "1"},
        "servers": [{"url": public_url}],
        "tags": [{"name": name} for name in documents],
        "paths": {},
        "components": {"securitySchemes": dict(BEARER)},
    }
    for service, document in documents.items():
        for path, item in document.get("paths", {}).items():
            reached = dict(_reached(service, document, path, item, table))
            if METHODS & reached.keys():
                merged["paths"].setdefault(path, reached)
        for kind, components in document.get("components", {}).items():
            into = merged["components"].setdefault(kind, {})
            for name, component in components.items():
                into[name if kind == "securitySchemes" else f"{service}_{name}"] = _renamed(component, service)
    return merged


def _reached(
    service: str, document: dict[str, Any], path: str, item: dict[str, Any], table: Table
) -> Iterator[tuple[str, Any]]:
    """What of a path item can be called from outside, and what its operations share."""
    routes = table.match(_NAMED.sub("x", path).encode()) or {}
    for key, value in item.items():
        if key not in METHODS:
            yield key, _renamed(value, service)
            continue
        route = routes.get(key.upper().encode())
        if route is not None and route.upstream == service:
            yield key, _operation(service, document, value)


def _operation(service: str, document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {**_renamed(operation, service), "tags": [service]}
    if "operationId" in told:
        told["operationId"] = f"{service}_{told['operationId']}"
    if "security" not in told and "security" in document:
        told["security"] = document["security"]
    return told


def _renamed(node: Any, service: str) -> Any:
    """The node with every reference into the components pointing at the renamed ones."""
    if isinstance(node, list):
        return [_renamed(item, service) for item in node]
    if not isinstance(node, dict):
        return node
    renamed = {key: _renamed(value, service) for key, value in node.items()}
    if "$ref" in renamed:
        renamed["$ref"] = _reference(renamed["$ref"], service)
    discriminator = renamed.get("discriminator")
    if isinstance(discriminator, dict) and isinstance(discriminator.get("mapping"), dict):
        mapping = discriminator["mapping"]
        discriminator["mapping"] = {value: _reference(target, service) for value, target in mapping.items()}
    return renamed


def _reference(target: Any, service: str) -> Any:
    if not isinstance(target, str) or not target.startswith(_COMPONENTS):
        return target
    kind, name = target.removeprefix(_COMPONENTS).split("/", 1)
    return f"{_COMPONENTS}{kind}/{service}_{name}"
