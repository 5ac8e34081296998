"""Paths: one spelling, or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.paths import normalise
from shared.errors import BadRequest
from tests.gateway.process import GatewayProcess
from tests.support.people import Person

REFUSED = [
    "/open/../data/v1/x",
    "/open/..",
    "/open/.",
    "/open/./x",
    "/open/%2e%2e/data/v1/x",
    "/open/%2E%2E/data/v1/x",
    "/open/.%2e/data/v1/x",
    "/open/..;/data/v1/x",
    "/open/..;a=b/data/v1/x",
    "/open/%2f../data",
    "/open%2Fsecret",
    "/open/%5c..%5cdata",
    "/open\\..\\data",
    "//open/x",
    "/open//x",
    "/open/%00",
    "/open/%0d%0aX-User-Id:1",
    "/open/%7f",
    "/open/%zz",
    "/open/%4",
    "/open/x#fragment",
    "/open/\xe9",
    "/open/%c0%ae%c0%ae%2fdata",
]


@pytest.mark.parametrize("path", REFUSED)
def test_an_ambiguous_path_reaches_no_service(gateway: GatewayProcess, path: str) -> None:
    with gateway.wire() as wire:
        answer = wire.ask(f"GET {path} HTTP/1.1\r\nHost: gateway.example\r\n\r\n")
        assert (answer.status, answer.code) == (400, "malformed_request")


def test_needless_encoding_does_not_lead_to_another_route(gateway: GatewayProcess, alice: Person) -> None:
    """`/open/{owner}/secret` asks for a token, `/open/*` does not."""
    for path in ("/open/alice/secret", "/open/alice/%73ecret", "/open/alice/secret/", "/%6fpen/alice/secret"):
        assert gateway.ask("GET", path).status == 401, path
    answer = gateway.ask("GET", "/open/alice/%73ecret?a=%2e%2e/%2f", headers=alice.headers)
    assert answer.json["target"] == "/open/alice/secret?a=%2e%2e/%2f"


def test_an_encoded_character_that_needs_it_is_passed_on_as_it_came(gateway: GatewayProcess) -> None:
    assert gateway.ask("GET", "/open/a%20b%C3%A9%252e").json["target"] == "/open/a%20b%C3%A9%252e"


@given(st.text("/.%2eE5cCfF;a~\\-", min_size=1, max_size=24))
def test_no_spelling_survives_that_climbs_out_of_its_prefix(tail: str) -> None:
    try:
        path = normalise(b"/open/" + tail.encode())
    except BadRequest:
        return
    assert path.startswith(b"/open/")
    decoded = path.lower().replace(b"%2e", b".").replace(b"%2f", b"/").replace(b"%5c", b"/").replace(b"\\", b"/")
    assert not {segment.split(b";")[0] for segment in decoded.split(b"/")} & {b".", b".."}
    assert b"//" not in decoded
    assert normalise(path) == path
