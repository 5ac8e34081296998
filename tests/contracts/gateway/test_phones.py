"""Apps that live for years: closed and deprecated routes, apps too old, and the host's own apps."""

import pytest

from tests.contracts.gateway.doors import Door, outcome


def test_a_route_that_is_closed_for_maintenance(door: Door) -> None:
    answer = door.ask("GET", "/away/x")
    assert outcome(answer) == door.says("a closed route")
    assert answer.headers["Retry-After"] == "600"
    assert door.ask("GET", "/away/open").status == 200


def test_a_deprecated_route_says_so(door: Door) -> None:
    answer = door.ask("GET", "/old/x")
    assert answer.headers["Deprecation"] == "@1767225600"
    assert answer.headers["Sunset"] == "Thu, 31 Dec 2026 11:00:00 GMT"
    assert answer.headers["Link"] == '<https://docs.example/new>; rel="deprecation"'


def test_an_app_that_is_too_old(door: Door) -> None:
    app = {"X-App-Platform": "ios", "X-App-Version": "2.3.9"}
    assert outcome(door.ask("GET", "/open/x", headers=app)) == door.says("an app that is too old")


@pytest.mark.parametrize("name", ["assetlinks.json", "apple-app-site-association"])
def test_the_host_names_its_apps(door: Door, name: str) -> None:
    answer = door.ask("GET", f"/.well-known/{name}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert "com.example.app" in str(answer.json)
