"""Browsers: each route's origins, answered at the edge; and what routes say about caching."""

import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.people import Person

SHOP, APP, EVIL = "https://shop.example", "https://app.example", "https://evil.example"


def preflight(gateway: GatewayProcess, path: str, origin: str, method: str = "PUT"):
    return gateway.ask("OPTIONS", path, headers={"Origin": origin, "Access-Control-Request-Method": method})


def test_a_browser_is_answered_at_the_edge_if_its_origin_is_allowed(gateway: GatewayProcess, alice: Person) -> None:
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
    preflight = gateway.ask("OPTIONS", "/data/v1/x", headers=asks)
    assert preflight.status == 204 and "PUT" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert gateway.ask("OPTIONS", "/data/v1/x", headers={**asks, "Origin": "https://evil.example"}).status == 405
    assert gateway.ask("OPTIONS", "/nothing", headers=asks).status == 404

    answer = gateway.ask("GET", "/data/v1/x", headers={**alice.headers, "Origin": "https://app.example"})
    assert answer.headers.get_all("Access-Control-Allow-Origin") == ["https://app.example"]
    assert answer.headers["Vary"] == "origin"
    refused = gateway.ask("GET", "/data/v1/x", headers={"Origin": "https://app.example"})
    assert refused.status == 401 and refused.headers["Access-Control-Allow-Origin"] == "https://app.example"
    other = gateway.ask("GET", "/data/v1/x", headers={**alice.headers, "Origin": "https://evil.example"})
    assert other.headers["Access-Control-Allow-Origin"] is None


def test_a_route_has_origins_of_its_own(gateway: GatewayProcess) -> None:
    assert preflight(gateway, "/shop/x", APP).status == 405
    asked = preflight(gateway, "/shop/x", SHOP)
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, SHOP)
    assert asked.headers["Access-Control-Allow-Credentials"] == "true"
    answer = gateway.ask("GET", "/shop/x", headers={"Origin": SHOP})
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP and answer.headers["Vary"] == "origin"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert gateway.ask("GET", "/shop/x", headers={"Origin": APP}).headers["Access-Control-Allow-Origin"] is None
    assert preflight(gateway, "/closed/x", APP).status == 405


def test_every_origin_may_be_allowed_but_then_without_credentials(gateway: GatewayProcess) -> None:
    asked = preflight(gateway, "/fonts/x", EVIL)
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert asked.headers["Access-Control-Max-Age"] == "60"
    assert "x-own" in asked.headers["Access-Control-Allow-Headers"]
    answer = gateway.ask("GET", "/fonts/x", headers={"Origin": EVIL})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Credentials"] is None


def test_a_preflight_is_answered_for_the_method_it_asks_for(gateway: GatewayProcess) -> None:
    assert preflight(gateway, "/both", EVIL, "PUT").status == 405
    asked = preflight(gateway, "/both", SHOP, "PUT")
    assert asked.headers["Access-Control-Allow-Methods"] == "POST, PUT"
    assert preflight(gateway, "/both", EVIL, "GET").headers["Access-Control-Allow-Methods"] == "GET, HEAD"


@pytest.mark.parametrize(("status", "said"), [("200 OK", ["public, max-age=60"]), ("404 Not Found", ["no-store"])])
def test_a_route_sets_how_long_its_answers_are_kept(
    gateway: GatewayProcess, upstream: Upstream, status: str, said: list[str]
) -> None:
    def answer(_request: Received, stream: Stream) -> None:
        stream.answer(b"x", status=status, fields="cache-Control: no-store\r\nX-Other: 1\r\n")

    path = upstream.on(f"/kept/{status[:3]}", answer)
    for _ in range(4):
        found = gateway.ask("GET", path)
        assert found.headers.get_all("Cache-Control") == said and found.headers["X-Other"] == "1"
