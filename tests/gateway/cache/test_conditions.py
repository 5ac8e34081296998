"""A client's own copy is confirmed from memory, and its wishes about age are heard."""

from email.utils import formatdate

import pytest

from tests.gateway.cache.origin import FRESH, OLD, Origin, get, status_of
from tests.gateway.process import GatewayProcess


def test_a_clients_copy_is_confirmed_from_memory(gateway: GatewayProcess, origin: Origin) -> None:
    modified = formatdate(1_700_000_000, usegmt=True)
    origin.fields, origin.etag = FRESH + f"Last-Modified: {modified}\r\nContent-Type: text/plain\r\n", "5"
    get(gateway, origin.path)
    for condition in ({"If_None_Match": '"4", "5"'}, {"If_None_Match": 'W/"5"'}, {"If_Modified_Since": modified}):
        answer = get(gateway, origin.path, **condition)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", '"5"')
        assert answer.headers["Cache-Control"] == "max-age=60" and answer.headers["Content-Type"] is None
    assert get(gateway, origin.path, If_None_Match='"4"').body == b"1"
    assert get(gateway, origin.path, If_None_Match='"4"', If_Modified_Since=modified).body == b"1"
    assert origin.calls == 1


def test_what_is_no_longer_fresh_is_asked_for_with_its_tag_and_good_again_after_a_304(
    gateway: GatewayProcess, origin: Origin
) -> None:
    origin.etag, origin.fields = "5", FRESH + OLD + "X-Turn: 1\r\n"
    assert get(gateway, origin.path).body == b"1"
    origin.fields = FRESH + "X-Turn: 2\r\n"
    again = get(gateway, origin.path)
    assert (again.body, again.headers["X-Turn"]) == (b"1", "2") and status_of(again) == "fwd=stale; fwd-status=304"
    assert origin.asked[1].value("if-none-match") == '"5"'
    assert status_of(get(gateway, origin.path)).startswith("hit") and origin.calls == 2


def test_a_cookie_beside_a_304_is_given_to_nobody(gateway: GatewayProcess, origin: Origin) -> None:
    """It is one client's, and there is no telling whose: the answer was fetched for all."""
    origin.etag, origin.fields = "5", FRESH + OLD
    get(gateway, origin.path)
    origin.fields = FRESH + "Set-Cookie: session=secret\r\n"
    answers = [get(gateway, origin.path) for _ in range(3)]
    assert [answer.body for answer in answers] == [b"1"] * 3
    assert [answer.headers["Set-Cookie"] for answer in answers] == [None] * 3


def test_a_new_version_takes_the_place_of_the_old(gateway: GatewayProcess, origin: Origin) -> None:
    origin.etag, origin.fields = "5", FRESH + OLD
    get(gateway, origin.path)
    origin.etag, origin.fields = "6", FRESH
    assert [get(gateway, origin.path).body for _ in range(2)] == [b"2", b"2"]
    assert get(gateway, origin.path).headers["ETag"] == '"6"'


def test_a_new_answer_that_is_not_for_everybody_ends_what_was_kept(gateway: GatewayProcess, origin: Origin) -> None:
    origin.fields = FRESH + OLD + "ETag: x\r\n"
    get(gateway, origin.path)
    origin.fields = "Cache-Control: private\r\n"
    assert [get(gateway, origin.path).body for _ in range(2)] == [b"2", b"3"]


@pytest.mark.parametrize(
    "wish", [{"Cache_Control": "no-cache"}, {"Cache_Control": "max-age=0"}, {"Pragma": "no-cache"}]
)
def test_a_client_that_wants_it_anew_gets_it_anew_and_so_do_the_others(
    gateway: GatewayProcess, origin: Origin, wish: dict[str, str]
) -> None:
    get(gateway, origin.path)
    assert get(gateway, origin.path, **wish).body == b"2"
    assert get(gateway, origin.path).body == b"2"


def test_a_client_may_say_how_old_it_may_be(gateway: GatewayProcess, origin: Origin) -> None:
    origin.fields = FRESH + "Age: 40\r\n"
    get(gateway, origin.path)
    assert get(gateway, origin.path, Cache_Control="max-age=50, min-fresh=5").body == b"1"
    assert get(gateway, origin.path, Cache_Control="max-age=30").body == b"2"
    assert get(gateway, origin.path, Cache_Control="min-fresh=30").body == b"3"


def test_no_store_passes_by_and_only_if_cached_asks_nobody(gateway: GatewayProcess, origin: Origin) -> None:
    unknown = get(gateway, origin.path, Cache_Control="only-if-cached")
    assert (unknown.status, unknown.code, origin.calls) == (504, "not_cached", 0)
    assert get(gateway, origin.path, Cache_Control="no-store").body == b"1"
    assert get(gateway, origin.path).body == b"2"
    assert get(gateway, origin.path, Cache_Control="no-store").body == b"3"
    assert get(gateway, origin.path, Cache_Control="only-if-cached").body == b"2"
