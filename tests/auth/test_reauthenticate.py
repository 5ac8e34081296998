"""GET /reauthenticate, and the nonce that a new password may need."""

import pytest

from tests.auth.conftest import Make, Person, Service, at_once

NEW = "a new password"


@pytest.fixture
def service(make_service: Make) -> Service:
    return make_service(password_reauthentication=True)


@pytest.fixture
def alice(service: Service) -> Person:
    """Somebody whose session is two days old."""
    alice = service.member("alice")
    service.rows("UPDATE sessions SET created_at = now() - interval '2 days'")
    return alice


def test_an_old_session_needs_the_nonce_that_was_mailed(service: Service, alice: Person) -> None:
    needed = alice.change(password=NEW)
    assert (needed.status, needed.code) == (400, "reauthentication_needed")
    assert alice.get("/reauthenticate").json == {}
    wrong = alice.change(password=NEW, nonce="wrong")
    assert (wrong.status, wrong.code) == (422, "reauthentication_not_valid")
    assert alice.change(password=NEW, nonce=service.mail_to(alice.email)["code"]).status == 200
    assert Person(service, alice.email, NEW).log_in().status == 200


def test_the_current_password_does_too_and_so_does_a_session_of_today(service: Service, alice: Person) -> None:
    assert alice.change(password=NEW, current_password=alice.password).status == 200
    again = Person(service, alice.email, NEW)
    again.log_in()
    assert again.change(password="a third password").status == 200


def test_the_nonce_of_one_person_is_none_of_another(service: Service, alice: Person) -> None:
    mallory = service.member("mallory")
    service.rows("UPDATE sessions SET created_at = now() - interval '2 days'")
    mallory.get("/reauthenticate")
    alice.get("/reauthenticate")
    nonce = service.mail_to(mallory.email)["code"]
    if nonce != service.mail_to(alice.email)["code"]:
        assert alice.change(password=NEW, nonce=nonce).code == "reauthentication_not_valid"


def test_the_nonce_is_no_way_in(service: Service, alice: Person) -> None:
    alice.get("/reauthenticate")
    for type in ("email", "signup", "magiclink", "recovery", "email_change"):
        assert alice.verify(type).code == "otp_expired"


def test_one_mail_an_interval(service: Service, alice: Person) -> None:
    assert alice.get("/reauthenticate").status == 200
    assert (alice.get("/reauthenticate").status, alice.get("/reauthenticate").code) == (
        429,
        "over_email_send_rate_limit",
    )


def test_of_twenty_with_one_nonce_at_once_one_wins(service: Service, alice: Person) -> None:
    alice.get("/reauthenticate")
    nonce = service.mail_to(alice.email)["code"]
    replies = at_once(lambda n: alice.change(password=f"{NEW} {n}", nonce=nonce))
    assert sorted(reply.status for reply in replies) == [200] + [422] * 19
    assert {reply.code for reply in replies if reply.status == 422} == {"reauthentication_not_valid"}


def test_without_the_setting_no_nonce_is_asked_for(make_service: Make) -> None:
    service = make_service()
    alice = service.member("alice")
    service.rows("UPDATE sessions SET created_at = now() - interval '2 days'")
    assert alice.change(password=NEW).status == 200
