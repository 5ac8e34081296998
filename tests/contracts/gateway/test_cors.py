"""Browsers of the origins that are allowed, and of no other."""

import pytest

from tests.contracts.gateway.doors import ORIGIN, Door, outcome
from tests.support.people import Person

PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


def test_a_preflight_is_answered_at_the_door(door: Door) -> None:
    answer = door.ask("OPTIONS", "/auth/v1/signup", headers={"Origin": ORIGIN, **PREFLIGHT})
    assert str(answer.status) == door.says("status of a preflight")
    assert answer.headers.get_all("Access-Control-Allow-Origin") == [ORIGIN]
    assert answer.headers["Access-Control-Allow-Methods"] == "POST"
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert answer.headers["Access-Control-Allow-Credentials"] is None


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://app.example.evil.example"])
def test_a_preflight_of_another_origin_is_not(door: Door, origin: str) -> None:
    answer = door.ask("OPTIONS", "/auth/v1/signup", headers={"Origin": origin, **PREFLIGHT})
    assert outcome(answer) == "405 method_not_allowed"
    assert answer.headers["Access-Control-Allow-Origin"] is None


def test_answers_and_refusals_can_be_read_by_the_page(door: Door, alice: Person) -> None:
    answer = door.ask("GET", "/data/v1/x", headers={**alice.headers, "Origin": ORIGIN})
    assert answer.headers.get_all("Access-Control-Allow-Origin") == [ORIGIN]
    assert "x-request-id" in answer.headers["Access-Control-Expose-Headers"]
    assert "origin" in answer.headers["Vary"]
    refused = door.ask("GET", "/data/v1/x", headers={"Origin": ORIGIN})
    assert refused.status == 401 and refused.headers["Access-Control-Allow-Origin"] == ORIGIN
    other = door.ask("GET", "/data/v1/x", headers={**alice.headers, "Origin": "https://evil.example"})
    assert other.status == 200 and other.headers["Access-Control-Allow-Origin"] is None


def test_a_place_that_does_not_exist(door: Door) -> None:
    answer = door.ask("GET", "/nothing", headers={"Origin": ORIGIN})
    readable = answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert ("can be read" if readable else "cannot be read") == door.says("a 404 from another origin")


@pytest.mark.parametrize(
    ("path", "origin", "method", "allowed"),
    [
        ("/shop/x", "https://shop.example", "GET", "https://shop.example"),
        ("/shop/x", ORIGIN, "GET", None),
        ("/fonts/x", "https://anyone.example", "GET", "*"),
        ("/closed/x", ORIGIN, "GET", None),
        ("/both", "https://anyone.example", "GET", "*"),
        ("/both", "https://shop.example", "PUT", "https://shop.example"),
        ("/both", "https://anyone.example", "PUT", None),
    ],
)
def test_a_route_may_have_its_own_origins(door: Door, path: str, origin: str, method: str, allowed: str | None) -> None:
    asks = {"Origin": origin, "Access-Control-Request-Method": method}
    answer = door.ask("OPTIONS", path, headers=asks)
    assert (answer.status < 300) is (allowed is not None)
    given = answer.headers["Access-Control-Allow-Origin"]
    assert given == allowed or (allowed == "*" and given == door.says("the origin where `*` is allowed").format(origin))
    if allowed == "https://shop.example" and path == "/shop/x":
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    if path == "/both" and method == "PUT" and allowed:
        assert answer.headers["Access-Control-Allow-Methods"].replace(" ", "") == "POST,PUT"
    if path == "/fonts/x":
        assert answer.headers["Access-Control-Max-Age"] == "60"
        assert "x-own" in answer.headers["Access-Control-Allow-Headers"]


def test_a_preflight_for_a_method_that_no_route_has(door: Door) -> None:
    asks = {"Origin": ORIGIN, "Access-Control-Request-Method": "DELETE"}
    answer = door.ask("OPTIONS", "/auth/v1/signup", headers=asks)
    assert outcome(answer) == door.says("a preflight for a method that no route has")
    assert "DELETE" not in (answer.headers["Access-Control-Allow-Methods"] or "")
