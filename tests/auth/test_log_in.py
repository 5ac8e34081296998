"""POST /token?grant_type=password."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher

from tests.auth.conftest import PASSWORD, Make, Person, Service, at_once, claims_of


def test_the_right_password_opens_a_session(service: Service, alice: Person) -> None:
    reply = alice.log_in()
    assert reply.status == 200
    assert reply["token_type"] == "bearer"
    assert reply["expires_in"] == 600
    assert reply["expires_at"] == claims_of(reply["access_token"])["exp"]
    assert reply["user"]["email"] == "alice@example.com"
    assert reply["user"]["last_sign_in_at"] is not None
    assert reply.headers["Cache-Control"] == "no-store"
    event = service.events("session.created")[-1]
    assert (event.subject, event.data["user_id"]) == (alice.session_id, alice.user_id)


def test_the_access_token_says_who_where_and_how(service: Service, alice: Person) -> None:
    alice.log_in()
    claims = claims_of(alice.session["access_token"])
    assert claims["iss"] == "https://app.example.com/auth/v1"
    assert claims["aud"] == "gatehouse"
    assert claims["sub"] == alice.user_id
    assert (claims["role"], claims["aal"], claims["is_anonymous"]) == ("authenticated", "aal1", False)
    assert claims["amr"][0]["method"] == "password"
    assert claims["exp"] - claims["iat"] == 600
    assert claims["email"] == "alice@example.com"
    assert len(alice.session["access_token"]) < 1000


def test_every_log_in_is_a_session_of_its_own(alice: Person) -> None:
    first, second = alice.log_in(), alice.log_in()
    assert claims_of(first["access_token"])["sid"] != claims_of(second["access_token"])["sid"]
    assert first["refresh_token"] != second["refresh_token"]


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(service: Service, alice: Person) -> None:
    wrong = Person(service, alice.email, "wrong password").log_in()
    unknown = Person(service, "nobody@example.com", "wrong password").log_in()
    assert (wrong.status, wrong.code) == (400, "invalid_credentials")
    assert {**wrong.json, "request_id": ""} == {**unknown.json, "request_id": ""}
    assert wrong["msg"] == "Invalid login credentials" and wrong["error_code"] == "invalid_credentials"


def test_a_wrong_password_and_an_unknown_address_cost_the_same_work(service: Service, alice: Person) -> None:
    def seconds(person: Person) -> float:
        started = time.perf_counter()
        person.log_in()
        return time.perf_counter() - started

    nobody, wrong = (Person(service, email, "wrong password") for email in ("nobody@example.com", alice.email))
    nobody.log_in()  # the first one makes the hash of nobody
    pairs = [(seconds(nobody), seconds(wrong)) for _ in range(9)]  # in turns, for the machine may have other work
    assert statistics.median(unknown / known for unknown, known in pairs) > 0.5


def test_an_unconfirmed_address_is_told_only_to_who_knows_the_password(service: Service) -> None:
    service.person("alice").sign_up()
    reply = service.person("alice").log_in()
    assert (reply.status, reply.code) == (400, "email_not_confirmed")
    assert Person(service, "alice@example.com", "wrong password").log_in().code == "invalid_credentials"
    assert service.events("session.created") == []


def test_a_password_is_the_same_however_its_accents_are_composed(service: Service) -> None:
    alice = Person(service, "alice@example.com", "Stra\u00dfe caf\u00e9 au lait")
    alice.sign_up()
    alice.confirm()
    assert Person(service, alice.email, "Stra\u00dfe cafe\u0301 au lait").log_in().status == 200


@pytest.mark.usefixtures("real_costs")
def test_a_hash_with_other_parameters_is_replaced_at_the_log_in(service: Service, alice: Person) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    service.rows("UPDATE users SET password_hash = %(old)s", old=old)
    assert alice.log_in().status == 200
    new = service.rows("SELECT password_hash FROM users")[0]["password_hash"]
    assert "m=19456,t=2,p=1" in new
    assert alice.log_in().status == 200


def test_a_password_that_is_changed_during_the_log_in_does_not_open_a_session(service: Service, alice: Person) -> None:
    verify: Callable[..., bool] = service.parts.passwords.verify
    other = service.parts.passwords.hash("a new password")

    def verify_while_it_changes(*arguments: Any, **options: Any) -> bool:
        is_right = verify(*arguments, **options)
        service.rows("UPDATE users SET password_hash = %(other)s", other=other)
        return is_right

    service.parts.passwords.verify = verify_while_it_changes  # type: ignore[method-assign]
    assert alice.log_in().code == "invalid_credentials"
    assert len(service.events("session.created")) == 1


def test_what_a_grant_needs_is_named(service: Service) -> None:
    missing = service.post("/token?grant_type=password", {"email": "alice@example.com"})
    assert (missing.status, missing["errors"][0]["pointer"]) == (400, "#/password")
    assert service.post("/token?grant_type=refresh_token", {})["errors"][0]["pointer"] == "#/refresh_token"
    assert service.post("/token?grant_type=magic", {})["errors"][0]["parameter"] == "grant_type"
    assert service.post("/token", {})["errors"][0]["parameter"] == "grant_type"


def test_the_device_is_named_from_what_the_client_says(alice: Person) -> None:
    android = "Mozilla/5.0 (Linux; Android 15; Pixel 9 Build/AP4A) AppleWebKit/537.36"
    for headers in (
        {"User-Agent": android, "X-Forwarded-For": "2001:db8::7"},
        {"User-Agent": "Example/1 CFNetwork/1 Darwin/24", "X-Client-Info": "supabase-swift/2.5 platform=ios"},
        {"User-Agent": "Example/3.1 (iPhone; iOS 18.1)", "X-Forwarded-For": "203.0.113.9, 10.0.0.1"},
        {"User-Agent": "x" * 5000, "X-Forwarded-For": "fe80::1%eth0'; --"},
    ):
        assert alice.log_in(**headers).status == 200
    items = alice.get("/sessions")["items"]
    assert [(item["device_name"], item["ip"]) for item in reversed(items[:4])] == [
        ("Pixel 9", "2001:db8::7"),
        ("iPhone or iPad", "127.0.0.1"),
        ("iPhone", "203.0.113.9"),
        ("Unknown device", "127.0.0.1"),
    ]


@pytest.fixture
def strict(make_service: Make) -> Service:
    """Three tries in fifteen minutes."""
    return make_service(log_in_tries=3)


def test_guessing_from_one_place_is_slowed_down_and_the_owner_elsewhere_is_not(strict: Service) -> None:
    alice = strict.member("alice")
    guesses = [Person(strict, alice.email, f"guess {n}").log_in(**{"X-Forwarded-For": "203.0.113.9"}) for n in range(5)]
    assert [reply.status for reply in guesses] == [400, 400, 400, 429, 429]
    assert guesses[-1].code == "over_request_rate_limit"
    assert 0 < int(guesses[-1].headers["Retry-After"]) <= 900
    assert alice.log_in(**{"X-Forwarded-For": "203.0.113.9"}).status == 429
    assert alice.log_in(**{"X-Forwarded-For": "198.51.100.1"}).status == 200
    assert strict.member("bob").log_in(**{"X-Forwarded-For": "203.0.113.9"}).status == 200


def test_guesses_at_once_do_not_slip_through(strict: Service) -> None:
    replies = at_once(lambda n: Person(strict, "alice@example.com", f"guess {n}").log_in())
    assert sorted(reply.status for reply in replies) == [400] * 3 + [429] * 17


def test_an_unknown_address_is_slowed_down_just_the_same(strict: Service) -> None:
    statuses = [Person(strict, "nobody@example.com", "guess").log_in().status for _ in range(4)]
    assert statuses == [400, 400, 400, 429]


def test_the_tries_are_forgotten_with_the_right_password_or_after_the_window(strict: Service) -> None:
    alice = strict.member("alice")
    for _ in range(3):
        for _ in range(2):
            assert Person(strict, alice.email, "a slip").log_in().status == 400
        assert alice.log_in().status == 200
    for _ in range(4):
        Person(strict, alice.email, "a guess").log_in()
    assert alice.log_in().status == 429
    strict.rows("UPDATE throttles SET free_at = now(), forgotten_at = now()")
    assert alice.log_in().status == 200
