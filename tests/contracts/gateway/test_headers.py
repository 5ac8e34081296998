"""What of a head goes on, and what the door adds."""

import pytest

from tests.contracts.gateway.doors import Door
from tests.support.people import Person

NOT_PASSED = [
    "X-User-Id", "X-User-Role", "X_User_Id", "X-Auth-User", "X-Gatehouse-User", "X-Remote-User", "Remote-User",
    "X-Real-IP", "X-Client-IP", "Forwarded", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override",
    "X-Forwarded-User", "X-Forwarded-Prefix", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "TE",
    "x-envoy-retry-on", "x-envoy-upstream-rq-timeout-ms", "x-envoy-original-path",
]  # fmt: skip


def arrived(door: Door, headers: dict[str, str], path: str = "/open/x") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in door.ask("GET", path, headers=headers).json["fields"]:
        found.setdefault(name.lower(), []).append(value)
    return found


@pytest.mark.parametrize("name", NOT_PASSED)
def test_a_field_that_claims_what_only_the_door_may_say_does_not_pass(door: Door, name: str) -> None:
    if name.startswith("x-envoy-"):
        passes = door.says("`x-envoy-*` from a client") == "passes"
        assert (name in arrived(door, {name: "5xx"})) is passes
        return
    found = arrived(door, {name: "mallory"})
    assert name.lower() not in found and name.lower().replace("_", "-") not in found
    assert "mallory" not in str(found)


def test_a_field_named_in_connection_does_not_pass(door: Door) -> None:
    found = arrived(door, {"Connection": "close, x-secret", "X-Secret": "1", "X-Kept": "2"})
    assert found["x-kept"] == ["2"]
    assert "x-secret" not in found


def test_addresses_are_the_doors_own_word(door: Door) -> None:
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    found = arrived(door, forged)
    assert len(found["x-forwarded-for"]) == 1 and "," not in found["x-forwarded-for"][0]
    assert "6.6.6.6" not in str(found) and "evil" not in str(found)
    assert found["x-forwarded-proto"] == ["http"]
    assert found["x-forwarded-host"] == ["gateway.example"]
    assert found["host"] != ["gateway.example"]


def test_the_token_goes_on_and_so_does_every_plain_field(door: Door, alice: Person) -> None:
    headers = {**alice.headers, "Accept-Language": "de", "If-None-Match": '"1"', "Idempotency-Key": "k"}
    found = arrived(door, headers, "/data/v1/x")
    assert {name: found[name.lower()] for name in headers} == {name: [value] for name, value in headers.items()}


def test_a_request_has_an_id_that_the_client_hears_too(door: Door) -> None:
    answer = door.ask("GET", "/open/x")
    given = [value for name, value in answer.json["fields"] if name.lower() == "x-request-id"]
    assert answer.headers.get_all("X-Request-Id") == given and len(given[0]) >= 32
    answer = door.ask("GET", "/open/x", headers={"X-Request-Id": "client-made-1"})
    assert answer.headers["X-Request-Id"] == "client-made-1"
    assert door.ask("GET", "/nothing", headers={"X-Request-Id": "client-made-2"}).json["request_id"] == "client-made-2"


def test_an_id_that_is_no_id(door: Door) -> None:
    answer = door.ask("GET", "/open/x", headers={"X-Request-Id": "a b"})
    kept = answer.headers["X-Request-Id"] == "a b"
    assert ("kept" if kept else "replaced") == door.says("a request id with other characters")


def test_a_trace(door: Door) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    (sent,) = arrived(door, {"traceparent": trace})["traceparent"]
    assert sent.split("-")[1] == trace.split("-")[1]
    assert ("passed on" if sent == trace else "continued") == door.says("a `traceparent`")
    begun = "traceparent" in arrived(door, {})
    assert ("begun" if begun else "none") == door.says("no `traceparent`")
