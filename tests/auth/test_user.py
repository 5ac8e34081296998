"""GET and PUT /user."""

import threading
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.auth.conftest import Make, Person, Reply, Service, at_once, claims_of


def _change(person: Person, **members: Any) -> Reply:
    return person.service.call("PUT", "/user", body=members, headers=person.headers)


def test_the_caller_sees_their_own_account(alice: Person, mallory: Person) -> None:
    assert alice.get("/user")["email"] == "alice@example.com"
    assert mallory.get("/user")["email"] == "mallory@example.com"
    assert alice.get("/user")["aud"] == "authenticated"


def test_metadata_is_merged_and_null_removes_a_name(alice: Person) -> None:
    assert _change(alice, data={"name": "Alice", "deep": {"kept": None}}).status == 200
    reply = _change(alice, data={"name": None, "theme": "dark"})
    assert reply["user_metadata"] == {"deep": {"kept": None}, "theme": "dark"}
    assert alice.get("/user")["user_metadata"] == {"deep": {"kept": None}, "theme": "dark"}


def test_metadata_has_a_bound_that_merging_does_not_get_round(alice: Person) -> None:
    assert _change(alice, data={"a": "x" * 16_384})["errors"][0]["pointer"] == "#/data"
    assert _change(alice, data={"a": "x" * 9000}).status == 200
    reply = _change(alice, data={"b": "x" * 9000})
    assert (reply.status, reply.code) == (422, "metadata_too_large")
    assert list(alice.get("/user")["user_metadata"]) == ["a"]


def test_nobody_gives_themselves_a_role(alice: Person) -> None:
    reply = _change(alice, data={"x": 1}, app_metadata={"role": "admin"}, role="service", email_confirmed_at=None)
    assert reply.status == 200
    assert (reply["role"], "role" in reply["app_metadata"]) == ("authenticated", False)
    alice.refresh()
    assert claims_of(alice.session["access_token"])["role"] == "authenticated"


def test_a_new_password_counts_and_ends_every_other_session(service: Service, alice: Person) -> None:
    other = Person(service, alice.email)
    other.log_in()
    assert _change(alice, password="a new password").status == 200
    assert alice.get("/user").status == 200
    assert other.get("/user").code == "session_not_found"
    assert other.refresh().code == "session_not_found"
    (event,) = service.events("session.revoked")
    assert (event.subject, event.data["reason"]) == (other.session_id, "password_changed")
    assert alice.log_in().code == "invalid_credentials"
    assert Person(service, alice.email, "a new password").log_in().status == 200


def test_a_new_password_ends_this_session_too_if_asked(service: Service, alice: Person) -> None:
    other = Person(service, alice.email)
    other.log_in()
    assert _change(alice, password="a new password", end_this_session=True).status == 200
    assert alice.refresh().code == other.refresh().code == "session_not_found"
    assert {event.data["reason"] for event in service.events("session.revoked")} == {"password_changed"}
    assert Person(service, alice.email, "a new password").log_in().status == 200


def test_a_weak_or_unchanged_password_is_refused(alice: Person) -> None:
    weak, same = _change(alice, password="short"), _change(alice, password=alice.password)
    assert (weak.status, weak.code) == (422, "weak_password")
    assert (same.status, same.code) == (422, "same_password")


def test_the_address_may_be_repeated(alice: Person) -> None:
    reply = _change(alice, email="ALICE@example.com", data={"a": 1})
    assert (reply.status, reply["new_email"]) == (200, None)


def test_the_current_password_must_be_right_if_it_is_sent(alice: Person) -> None:
    wrong = _change(alice, password="a new password", current_password="not this one")
    assert (wrong.status, wrong.code) == (400, "current_password_invalid")
    assert _change(alice, password="a new password", current_password=alice.password).status == 200


def test_a_session_that_ends_while_the_password_is_hashed_changes_nothing(service: Service, alice: Person) -> None:
    hash = service.parts.passwords.hash

    def hash_while_it_ends(password: str) -> str:
        service.rows("UPDATE sessions SET ended_at = now()")
        return hash(password)

    service.parts.passwords.hash = hash_while_it_ends  # type: ignore[method-assign]
    assert _change(alice, password="a new password").code == "session_not_found"
    assert alice.log_in().status == 200


def test_of_two_sessions_that_change_the_password_at_once_one_wins_and_the_other_ends(
    service: Service, alice: Person
) -> None:
    phones = [Person(service, alice.email) for _ in range(2)]
    hash, together = service.parts.passwords.hash, threading.Barrier(2)

    def hash_together(password: str) -> str:
        made = hash(password)
        together.wait(10)
        return made

    for turn in range(8):
        for phone in phones:
            phone.password = alice.password
            assert phone.log_in().status == 200
        service.parts.passwords.hash = hash_together  # type: ignore[method-assign]
        replies = at_once(lambda n, turn=turn: _change(phones[n], password=f"password {turn}-{n}"), 2)  # type: ignore[misc]
        service.parts.passwords.hash = hash  # type: ignore[method-assign]
        assert sorted(reply.status for reply in replies) == [200, 401]
        winner = [reply.status for reply in replies].index(200)
        assert [phone.get("/user").status == 200 for phone in phones] == [n == winner for n in range(2)]
        alice.password = f"password {turn}-{winner}"
        assert alice.log_in().status == 200


def test_no_token_no_user(service: Service) -> None:
    reply = service.get("/user")
    assert (reply.status, reply.code) == (401, "token_missing")
    assert reply.headers["WWW-Authenticate"] == "Bearer"


def _forge(alice: Person, key: Any, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {**claims_of(alice.session["access_token"]), **changes}
    kid = jwt.get_unverified_header(alice.session["access_token"])["kid"]
    return jwt.encode(claims, key, "ES256", headers={"kid": kid, **(headers or {})})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "https://evil.example/auth/v1"}, "token_issuer"),
        ({"aud": "another"}, "token_audience"),
        ({"exp": int(time.time()) - 60}, "token_expired"),
        ({"sub": "1' OR '1'='1"}, "token_malformed"),
    ],
)
def test_a_token_signed_by_us_for_something_else_is_refused(
    service: Service, alice: Person, changes: dict[str, Any], code: str
) -> None:
    token = _forge(alice, service.parts.keys.signing_key().private_key, **changes)
    reply = service.get("/user", {"Authorization": f"Bearer {token}"})
    assert (reply.status, reply.code) == (401, code)


def test_a_token_of_another_issuer_is_refused(make_service: Make, service: Service, alice: Person) -> None:
    other = make_service().member("alice")
    reply = service.get("/user", other.headers)
    assert (reply.status, reply.code) == (401, "token_unknown_key")
    forged = _forge(alice, ec.generate_private_key(ec.SECP256R1()))
    assert service.get("/user", {"Authorization": f"Bearer {forged}"}).code == "token_signature"
    unsigned = jwt.encode(claims_of(alice.session["access_token"]), "", "none")
    assert service.get("/user", {"Authorization": f"Bearer {unsigned}"}).code == "token_algorithm"


def test_the_session_of_one_with_the_id_of_another_is_nobody(service: Service, alice: Person, mallory: Person) -> None:
    token = _forge(alice, service.parts.keys.signing_key().private_key, sid=mallory.session_id)
    assert service.get("/user", {"Authorization": f"Bearer {token}"}).code == "session_not_found"


def test_a_service_is_not_a_person(service: Service, alice: Person) -> None:
    token = _forge(alice, service.parts.keys.signing_key().private_key, sid=None, role="service")
    assert service.get("/user", {"Authorization": f"Bearer {token}"}).code == "session_not_found"
