"""What a limit of the table counts, and what a client hears when it is reached."""

from tests.contracts.gateway.doors import Door, outcome
from tests.support.people import Person


def test_routes_that_name_one_limit_share_it_and_it_counts_before_the_token(door: Door) -> None:
    assert [door.ask("GET", path).status for path in ("/limited/1", "/limited/2", "/limited-too/x")] == [200, 200, 401]
    refused = door.ask("GET", "/limited/3")
    assert outcome(refused) == "429 rate_limited"
    assert int(refused.headers["Retry-After"]) >= 1
    assert (refused.headers["Retry-After"] == "1") is (door.says("`Retry-After` of a 429") == "1")
    assert ("named" if "violated-policies" in refused.json else "not named") == door.says("the limit in a 429")
    assert ("told" if refused.headers["RateLimit"] else "not told") == door.says("what is left of a limit")


def test_each_user_has_a_bucket(door: Door, alice: Person, mallory: Person) -> None:
    for _ in range(2):
        assert door.ask("GET", "/own/x", headers=alice.headers).status == 200
    assert outcome(door.ask("GET", "/own/x", headers=alice.headers)) == "429 rate_limited"
    assert door.ask("GET", "/own/x", headers=mallory.headers).status == 200


def test_each_key_has_a_bucket(door: Door) -> None:
    assert door.ask("GET", "/keyed/x", headers={"X-Api-Key": "one"}).status == 200
    assert door.ask("GET", "/keyed/x", headers={"X-Api-Key": "two"}).status == 200
    assert outcome(door.ask("GET", "/keyed/x", headers={"X-Api-Key": "one"})) == "429 rate_limited"


def test_a_request_without_a_key(door: Door) -> None:
    assert door.ask("GET", "/keyed/y").status == 200
    assert outcome(door.ask("GET", "/keyed/y")) == door.says("a limit by key, without a key")


def test_forged_tokens_are_counted_and_good_ones_pass(door: Door, alice: Person) -> None:
    forged = {"Authorization": alice.headers["Authorization"][:-8] + "AAAAAAAA"}
    assert door.ask("GET", "/forged/x", headers=forged).status == 401
    answer = door.ask("GET", "/forged/x", headers=forged)
    assert outcome(answer) == door.says("many forged tokens from one address")
    assert door.ask("GET", "/forged/x", headers=alice.headers).status == 200


def test_a_limit_that_is_only_watched_refuses_nobody(door: Door) -> None:
    assert [door.ask("GET", "/watched/x").status for _ in range(3)] == [200] * 3
