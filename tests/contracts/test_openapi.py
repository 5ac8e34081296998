"""The description that each service serves is valid OpenAPI 3.1 and says of every route what a client must know."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway import routes
from gateway.config import ROUTES_FILE
from gateway.openapi import merge
from tests.contracts.components import COMPONENTS, GATEWAY, Component
from tests.contracts.test_access import declared, each_service


@pytest.fixture
def document(component: Component, app_of: Callable[[Component], Flask]) -> dict[str, Any]:
    answer = app_of(component).test_client().get("/openapi.json")
    assert answer.status_code == 200
    served: dict[str, Any] = answer.get_json()
    return served


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }


@each_service
def test_it_is_valid_openapi_3_1(component: Component, document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    errors = [f"{list(error.path)}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]
    assert errors == []


@each_service
def test_it_names_every_route_and_the_token_that_it_demands_and_no_other_route(
    component: Component, document: dict[str, Any], app_of: Callable[[Component], Flask]
) -> None:
    routes = {
        re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", route): access is not None and access.kind != "public"
        for route, access in declared(app_of(component)).items()
    }
    assert {route: bool(operation.get("security")) for route, operation in operations(document).items()} == routes


@each_service
def test_every_operation_has_a_name_of_its_own_a_summary_a_success_and_its_problems(
    component: Component, document: dict[str, Any]
) -> None:
    found = operations(document)
    names = [operation["operationId"] for operation in found.values()]
    assert len(set(names)) == len(names)
    for route, operation in found.items():
        assert operation.get("summary"), f"{route}: the handler's docstring is its summary"
        assert any(status[0] in "23" for status in operation["responses"]), route
        for status in ("4XX", "5XX"):
            content = operation["responses"][status]["content"]
            assert list(content) == [_kind_of_error(route, status)], route


def _kind_of_error(route: str, status: str) -> str:
    """Clients of OAuth read errors in the form of RFC 6749."""
    is_protocol = re.search(r"/auth/oauth(/(token|revoke|introspect|userinfo|\.well-known/.*))?$", route)
    return "application/json" if is_protocol and status == "4XX" else "application/problem+json"


@each_service
def test_every_field_that_a_client_sends_or_reads_has_a_type(component: Component, document: dict[str, Any]) -> None:
    schemas: dict[str, Any] = document["components"]["schemas"]
    assert "ProblemDocument" in schemas
    for name, schema in schemas.items():
        for field, described in schema.get("properties", {}).items():
            keys = {"type", "$ref", "anyOf", "allOf", "oneOf", "enum", "const"} & described.keys()
            assert keys or described.get("description"), (
                f"{name}.{field} says neither what it is nor why it may be anything"
            )


def test_the_gateway_makes_one_valid_document_of_all_of_them(app_of: Callable[[Component], Flask]) -> None:
    documents = {
        component.name: app_of(component).test_client().get("/openapi.json").get_json()
        for component in COMPONENTS
        if component != GATEWAY
    }
    merged = merge(documents, routes.read(ROUTES_FILE).table(), "https://api.example.org")
    assert [error.message for error in OpenAPIV31SpecValidator(merged).iter_errors()] == []
    names = [operation["operationId"] for operation in operations(merged).values()]
    assert len(set(names)) == len(names)
    reachable = {
        route for document in documents.values() for route in operations(document) if re.search(r"/v1/|/oauth", route)
    }
    assert operations(merged).keys() == reachable
    demanded = {
        scheme for operation in operations(merged).values() for by in operation.get("security", []) for scheme in by
    }
    assert demanded <= merged["components"]["securitySchemes"].keys()
