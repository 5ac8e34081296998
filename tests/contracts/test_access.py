"""Who may call is declared at every route of every service; what is open to all is listed here, to be seen."""

from collections.abc import Callable

import pytest
from flask import Flask
from werkzeug.routing import Rule

from shared.app import OWN_ROUTES
from shared.routing import Access
from tests.contracts.components import COMPONENTS, GATEWAY, Component

SERVICES = [component for component in COMPONENTS if component != GATEWAY]
# The OAuth provider, its pages, and the one address that RFC 8414 puts in front of its path.
OTHER_PREFIXES = {"auth": ["/auth/oauth/", "/.well-known/oauth-authorization-server/auth/oauth"]}
each_service = pytest.mark.parametrize("component", SERVICES, ids=lambda component: component.name)


def declared(app: Flask) -> dict[str, Access | None]:
    """The access of each route that is not shared.app's own."""
    return {
        f"{method} {rule.rule}": getattr(app.view_functions[rule.endpoint], "access", None)
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in OWN_ROUTES
        for method in _methods(rule)
    }


def _methods(rule: Rule) -> set[str]:
    return (rule.methods or set()) - {"HEAD", "OPTIONS"}


@each_service
def test_every_route_says_who_may_call_it(component: Component, app_of: Callable[[Component], Flask]) -> None:
    routes = declared(app_of(component))
    assert routes, "there are routes"
    assert [route for route, access in routes.items() if not isinstance(access, Access)] == []
    assert {access.kind for access in routes.values() if access} <= {"public", "user", "service"}


@each_service
def test_every_path_lies_below_the_services_own_prefix(
    component: Component, app_of: Callable[[Component], Flask]
) -> None:
    assert [
        route
        for route in declared(app_of(component))
        if not route.split(" ")[1].startswith((f"/{component.name}/v1/", *OTHER_PREFIXES.get(component.name, ())))
    ] == []


@each_service
def test_every_route_that_is_not_public_refuses_a_caller_without_a_token(
    component: Component, app_of: Callable[[Component], Flask]
) -> None:
    app = app_of(component)
    client = app.test_client()
    for route, access in declared(app).items():
        method, path = route.split(" ")
        if access and access.kind != "public":
            answer = client.open(path.replace("<", "").replace(">", ""), method=method)
            assert (answer.status_code, answer.get_json()["code"]) == (401, "token_missing"), route


def test_only_auth_has_routes_that_are_open_to_all(app_of: Callable[[Component], Flask]) -> None:
    """Signing up, logging in, links in mails, keys: whoever opens another one changes this test."""
    public = {
        component.name
        for component in SERVICES
        if any(access and access.kind == "public" for access in declared(app_of(component)).values())
    }
    assert public <= {"auth"}
