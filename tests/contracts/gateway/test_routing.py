"""Deny by default: what the table names is reached, and nothing else is."""

import pytest

from tests.contracts.gateway.doors import Door, outcome
from tests.gateway.upstream import Upstream
from tests.support.people import Person


@pytest.mark.parametrize("path", ["/", "/nothing", "/dat", "/data", "/data/v2/x", "/docsx", "/auth/v1x", "/admin"])
def test_what_no_route_names_does_not_exist(door: Door, path: str) -> None:
    assert outcome(door.ask("GET", path)) == "404 not_found"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
def test_a_wrong_method_is_told_the_right_ones(door: Door, method: str) -> None:
    answer = door.ask(method, "/auth/v1/signup")
    assert outcome(answer) == "405 method_not_allowed"
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/open", 200),
        ("/open/", 200),
        ("/open/a/b", 200),
        ("/open/alice/secret", 401),
        ("/open/alice/secret/", 401),
        ("/open/alice/secret/more", 200),
        ("/openx", 404),
        ("/renamed", 200),
        ("/renamed/", 200),
        ("/renamed/x", 404),
    ],
)
def test_the_most_specific_route_wins(door: Door, path: str, status: int) -> None:
    assert door.ask("GET", path).status == status


def test_method_path_query_and_body_arrive_as_they_were_sent(door: Door, alice: Person) -> None:
    answer = door.ask("PATCH", "/data/v1/a/b~c;d?x=1&y=%2F", body=b"12345", headers=alice.headers)
    assert answer.status == 200
    assert (answer.json["method"], answer.json["target"]) == ("PATCH", "/data/v1/a/b~c;d?x=1&y=%2F")
    assert answer.json["body_bytes"] == 5


def test_a_route_may_have_another_path_upstream(door: Door) -> None:
    assert door.ask("GET", "/renamed?x=1").json["target"] == "/open/elsewhere?x=1"


def test_an_answer_is_passed_on_as_it_is(door: Door, upstream: Upstream) -> None:
    fields = 'ETag: "1"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Type: text/x\r\n'
    path = upstream.on("/open/teapot", lambda _request, stream: stream.answer(b"short", status="418 T", fields=fields))
    answer = door.ask("GET", path)
    assert (answer.status, answer.body, answer.headers["ETag"]) == (418, b"short", '"1"')
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers["Server"] is None
    not_found = upstream.on("/open/none", lambda _request, stream: stream.answer(b"mine", status="404 Not Found"))
    assert door.ask("GET", not_found).body == b"mine"


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/.well-known/jwks.json"])
def test_a_probe_and_the_public_keys_are_answered_at_the_door(door: Door, upstream: Upstream, path: str) -> None:
    before = len(upstream.requests)
    assert door.ask("GET", path).status == 200
    assert len(upstream.requests) == before


def test_cookies_go_to_services_that_take_them_and_to_no_other(door: Door) -> None:
    sent = "a=1; __Host-b=2"
    for method, path, passed in (
        ("GET", "/open/a", []),
        ("POST", "/auth/v1/signup", [sent]),
        ("GET", "/shop/a", [sent]),
    ):
        answer = door.ask(method, path, headers={"Cookie": sent})
        assert [value for name, value in answer.json["fields"] if name.lower() == "cookie"] == passed, path


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/status", "/metrics"])
def test_pages(door: Door, path: str) -> None:
    assert outcome(door.ask("GET", path)) == door.says(f"page {path}")


def test_a_body_larger_than_its_route_takes_is_refused(door: Door) -> None:
    assert door.ask("POST", "/small", body=b"x" * 1000).status == 200
    assert outcome(door.ask("POST", "/small", body=b"x" * 1001)) == "413 payload_too_large"
    chunked = "POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with door.wire() as wire:
        answer = wire.ask(chunked.encode() + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", "POST")
    assert outcome(answer) == "413 payload_too_large"


def test_a_route_may_say_how_long_its_answers_are_kept(door: Door, upstream: Upstream) -> None:
    fields = "Cache-Control: no-cache\r\n"
    path = upstream.on("/kept/x", lambda _request, stream: stream.answer(b"x", fields=fields))
    assert door.ask("GET", path).headers.get_all("Cache-Control") == ["public, max-age=60"]
    wrong = upstream.on("/kept/none", lambda _request, stream: stream.answer(b"", status="404 No", fields=fields))
    assert door.ask("GET", wrong).headers["Cache-Control"] == door.says("`cache_control` and an error of the service")
