"""No spelling of a path reaches what another would not."""

import pytest

from tests.contracts.gateway.doors import Door, outcome
from tests.gateway.upstream import Upstream

REFUSED = [
    "/open//x",
    "/open/%2fx",
    "/open/%2Fx",
    "/open/%5cx",
    "/open/%00x",
    "/open/%0d%0ax",
    "/open/%7Fx",
    "/open/x#y",
]
LISTED = [
    "/open/../data/v1/x", "/open/%2e%2e/data/v1/x", "/open/./x", "/open/..;/x", "/open\\..\\x", "/open/%zz",
]  # fmt: skip


def ask(door: Door, target: str) -> str:
    with door.wire() as wire:
        return outcome(wire.ask(f"GET {target} HTTP/1.1\r\nHost: gateway.example\r\nConnection: close\r\n\r\n"))


@pytest.mark.parametrize("target", REFUSED)
def test_a_path_that_two_servers_may_read_differently_is_refused(door: Door, upstream: Upstream, target: str) -> None:
    before = len(upstream.requests)
    assert ask(door, target) == "400 malformed_request"
    assert len(upstream.requests) == before


@pytest.mark.parametrize("target", LISTED)
def test_paths_that_the_doors_treat_differently(door: Door, target: str) -> None:
    assert ask(door, target) == door.says(f"path `{target}`")


@pytest.mark.parametrize("target", ["/data/v1/%73ecret", "/d%61ta/v1/x", "/open/alice/%73ecret", "/open/%61/secret/"])
def test_needless_encoding_leads_to_the_same_route(door: Door, target: str) -> None:
    assert ask(door, target) == "401 token_missing"


def test_a_path_goes_on_as_it_was_judged(door: Door) -> None:
    answer = door.ask("GET", "/open/%61%7Eb/c%20d?q=%61")
    assert answer.json["target"] == "/open/a~b/c%20d?q=%61"


@pytest.mark.parametrize("target", ["http://evil.example/open/x", "*", "open/x"])
def test_a_target_that_is_no_path_reaches_nobody(door: Door, upstream: Upstream, target: str) -> None:
    before = len(upstream.requests)
    assert ask(door, target).split()[0] in ("400", "404")
    assert len(upstream.requests) == before
