"""Guessing is slowed down by account and by place, more with each try, and never where the owner was before."""

from itertools import combinations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from services.auth import store
from shared.ids import new_id
from tests.auth.conftest import Make, Person, Reply, Service, at_once

HOME, CAFE, THIEF = "198.51.100.1", "192.0.2.77", "203.0.113.9"


def _try(service: Service, email: str, place: str, password: str = "a guess") -> Reply:  # noqa: S107
    return Person(service, email, password).log_in(**{"X-Forwarded-For": place})


def _own(person: Person, place: str) -> Reply:
    return person.log_in(**{"X-Forwarded-For": place})


def _pass_time(service: Service, seconds: float) -> None:
    """As if all tries had been made so long before."""
    service.rows(
        """
        UPDATE throttles SET counted_at = counted_at - make_interval(secs => %(s)s),
            free_at = free_at - make_interval(secs => %(s)s),
            forgotten_at = forgotten_at - make_interval(secs => %(s)s)
        """,
        s=seconds,
    )


@pytest.fixture
def service(make_service: Make) -> Service:
    """One try stays for 20 minutes at an account, for 12 with strangers, for 6 with a place."""
    return make_service(log_in_tries=3, log_in_tries_per_account=5, log_in_tries_per_place=10, log_in_window_s=3_600)


def test_many_places_at_one_account_slow_each_other_down(service: Service, alice: Person) -> None:
    statuses = [_try(service, alice.email, f"203.0.113.{n}").status for n in range(8)]
    assert statuses == [400] * 5 + [429] * 3
    refused = _try(service, alice.email, "203.0.113.200")
    assert refused.code == "over_request_rate_limit"
    assert 1 <= int(refused.headers["Retry-After"]) <= 24


def test_an_owner_who_logged_in_at_a_place_before_gets_in_there_whatever_strangers_do(
    service: Service, alice: Person
) -> None:
    assert _own(alice, HOME).status == 200
    for n in range(20):
        _try(service, alice.email, f"203.0.113.{n}")
    assert _own(alice, CAFE).status == 429, "there she is a stranger"
    assert _own(alice, HOME).status == 200
    assert _try(service, alice.email, HOME).status == 400, "a slip is judged there too"
    assert _own(alice, HOME).status == 200


def test_an_ipv6_network_is_one_place_and_its_owner_is_known_in_all_of_it(service: Service, alice: Person) -> None:
    assert _own(alice, "2001:db8:1:2::1").status == 200
    assert [_try(service, alice.email, f"2001:db8:bad:1::{n:x}").status for n in range(1, 5)] == [400] * 3 + [429]
    for n in range(5):
        _try(service, alice.email, f"2001:db8:bad:{n:x}::1")
    assert _own(alice, "2001:db8:1:3::1").status == 429
    assert _own(alice, "2001:db8:1:2:ffff::2").status == 200


def test_on_a_socket_that_takes_both_kinds_of_addresses_ipv4_is_not_one_place(service: Service, alice: Person) -> None:
    statuses = [_try(service, f"person{n}@example.com", f"::ffff:{THIEF}").status for n in range(11)]
    assert statuses == [400] * 10 + [429]
    assert _own(alice, f"::ffff:{CAFE}").status == 200
    assert CAFE in [item["ip"] for item in alice.get("/sessions")["items"]]


def test_a_link_in_a_mail_leads_in_while_strangers_guess_and_makes_the_place_known(
    service: Service, alice: Person
) -> None:
    for n in range(8):
        _try(service, alice.email, f"203.0.113.{n}")
    assert _own(alice, CAFE).status == 429
    service.post("/otp", {"email": alice.email})
    body = {"type": "magiclink", "token_hash": service.mail_to(alice.email)["token_hash"]}
    assert service.post("/verify", body, {"X-Forwarded-For": CAFE}).status == 200
    assert _own(alice, CAFE).status == 200


def test_one_password_at_many_accounts_is_slowed_down_for_its_place_alone(service: Service, alice: Person) -> None:
    statuses = [_try(service, f"person{n}@example.com", THIEF).status for n in range(12)]
    assert statuses == [400] * 10 + [429] * 2
    assert _own(alice, THIEF).status == 429
    assert _own(alice, CAFE).status == 200


def test_codes_of_many_people_are_guessed_no_faster_than_passwords(service: Service, alice: Person) -> None:
    def guess(n: int, place: str) -> Reply:
        body = {"type": "email", "email": f"person{n}@example.com", "token": "123456"}
        return service.post("/verify", body, {"X-Forwarded-For": place})

    assert [guess(n, THIEF).status for n in range(12)] == [403] * 10 + [429] * 2
    assert _try(service, alice.email, THIEF).status == 429, "passwords and codes count together"
    assert guess(0, CAFE).status == 403


def test_right_passwords_use_nothing_up(service: Service, alice: Person) -> None:
    bob = service.member("bob")
    service.rows("DELETE FROM throttles")  # the mails of the sign-ups
    for person in (alice, bob) * 8:
        assert _own(person, THIEF).status == 200
    assert service.rows("SELECT 1 FROM throttles") == []


def test_a_refused_try_counts_nowhere_so_one_stranger_alone_slows_nobody_elsewhere(
    service: Service, alice: Person
) -> None:
    for _ in range(30):
        _try(service, alice.email, THIEF)
    assert _own(alice, CAFE).status == 200


def test_of_twenty_tries_at_once_from_twenty_places_exactly_as_many_are_judged_as_may_be(
    service: Service, alice: Person
) -> None:
    replies = at_once(lambda n: _try(service, alice.email, f"203.0.113.{n}"))
    assert sorted(reply.status for reply in replies) == [400] * 5 + [429] * 15


def test_of_twenty_tries_at_once_at_twenty_accounts_exactly_as_many_are_judged_as_may_be(service: Service) -> None:
    replies = at_once(lambda n: _try(service, f"person{n}@example.com", THIEF))
    assert sorted(reply.status for reply in replies) == [400] * 10 + [429] * 10


def test_each_pause_is_longer_than_the_one_before_until_it_is_as_long_as_a_try_stays(
    service: Service, alice: Person
) -> None:
    for _ in range(3):
        assert _try(service, alice.email, THIEF).status == 400
    pauses = []
    for _ in range(9):
        pauses.append(int(_try(service, alice.email, THIEF).headers["Retry-After"]))
        _pass_time(service, pauses[-1])
        assert _try(service, alice.email, THIEF).status == 400, "after Retry-After it is judged"
    assert pauses == sorted(pauses)
    assert pauses[0] < 40 and pauses[2] > 2 * pauses[0] and 600 < pauses[-1] <= 1_200


def test_refresh_tokens_and_sessions_go_on_while_a_place_is_slowed_down(service: Service, alice: Person) -> None:
    for n in range(12):
        _try(service, f"person{n}@example.com", "127.0.0.1")
    assert alice.log_in().status == 429
    for _ in range(5):
        assert alice.refresh().status == 200
    assert alice.get("/user").status == 200


def test_the_password_of_an_open_session_is_not_guessed_faster_than_at_the_door(
    service: Service, alice: Person
) -> None:
    replies = [alice.change(password="a new password", current_password=f"guess {n}") for n in range(4)]
    assert [reply.code for reply in replies] == ["current_password_invalid"] * 3 + ["over_request_rate_limit"]


def test_what_is_forgotten_is_deleted(service: Service, alice: Person) -> None:
    service.rows("DELETE FROM throttles")
    _try(service, alice.email, THIEF)
    with service.db.transaction() as conn:
        assert store.delete_forgotten_tries(conn, limit=10) == 0
    _pass_time(service, 1_300)  # the longest that one try stays, and more
    with service.db.transaction() as conn:
        assert store.delete_forgotten_tries(conn, limit=10) == 3


class Window(RuleBasedStateMachine):
    """One bucket, and the model of it that the store's docstring writes down. Time passes by making rows older."""

    TRIES, STAY_S = 4, 800.0

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service, self.key = service, new_id().bytes
        self.now = self.level = self.free_at = 0.0
        self.judged: list[float] = []

    @rule()
    def a_try(self) -> None:
        bucket = store.Bucket("test", self.key, self.TRIES, self.TRIES * self.STAY_S)
        with self.service.db.transaction() as conn:
            (counted,) = store.count_tries(conn, [bucket], None, user_id=None, place=None)
        is_free = self.now >= self.free_at
        if abs(self.now - self.free_at) > 5:  # the statements themselves take a little time
            assert counted.is_judged == is_free, (self.level, self.free_at - self.now)
        if not counted.is_judged:
            assert abs(counted.left_s - (self.free_at - self.now)) < 5
            return
        self.judged.append(self.now)
        self.level += 1
        if self.level > self.TRIES - 1:
            self.free_at = self.now + self.STAY_S * 2 ** (min(self.level - self.TRIES, 5) - 5)

    @rule(seconds=st.sampled_from([1.0, 20.0, 40.0, 100.0, 400.0, 800.0, 4_000.0]))
    def time_passes(self, seconds: float) -> None:
        _pass_time(self.service, seconds)
        self.now += seconds
        self.level = max(0.0, self.level - seconds / self.STAY_S)

    @rule()
    def until_the_pause_is_over(self) -> None:
        if self.free_at > self.now:
            self.time_passes(self.free_at - self.now + 6)

    @invariant()
    def no_window_has_more_than_its_share(self) -> None:
        for first, last in combinations(range(len(self.judged)), 2):
            length_s = self.judged[last] - self.judged[first]
            assert last - first + 1 <= self.TRIES + 5 + length_s / self.STAY_S


def test_no_window_of_any_length_sees_more_tries_than_its_bound(service: Service) -> None:
    run_state_machine_as_test(
        lambda: Window(service),  # type: ignore[arg-type]
        settings=settings(
            max_examples=20,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
