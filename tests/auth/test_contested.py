"""An address that two people sign up with before anybody confirms it: whoever reads its mail decides, nobody else."""

import re

import pytest

from tests.auth.conftest import PASSWORD, Make, Person, Reply, Service, at_once

CHOSEN = "a password chosen on the page"
OF_MALLORY = "the password of mallory"


@pytest.fixture
def service(make_service: Make) -> Service:
    return make_service(mail_interval_s=0)


@pytest.fixture
def alice(service: Service) -> Person:
    """Not signed up yet."""
    return service.person("alice")


@pytest.fixture
def intruder(service: Service, alice: Person) -> Person:
    """Mallory, who signs up with the address of alice."""
    return Person(service, alice.email, OF_MALLORY)


def _press(service: Service, token_hash: str, **typed: str) -> Reply:
    page = service.get(f"/verify?type=signup&token_hash={token_hash}")
    assert ('name="password"' in page.text) == ("password" in typed)
    form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    return service.call("POST", "/verify/confirm", data={**form, **typed})


def _holds_only(service: Service, alice: Person, password: str) -> None:
    for tried in {PASSWORD, OF_MALLORY, CHOSEN}:
        reply = Person(service, alice.email, tried).log_in()
        assert (reply.status == 200) == (tried == password), tried


@pytest.mark.parametrize("is_mallory_first", [True, False])
@pytest.mark.parametrize("mail_interval_s", [0, 60])
def test_the_owners_click_activates_no_password_that_was_signed_up_with(
    make_service: Make, mail_interval_s: int, is_mallory_first: bool
) -> None:
    service = make_service(mail_interval_s=mail_interval_s)
    alice = service.person("alice")
    people = [alice, Person(service, alice.email, OF_MALLORY)]
    for person in reversed(people) if is_mallory_first else people:
        person.sign_up(data={"name": person.password})
    assert _press(service, service.mail_to(alice.email)["token_hash"], password=CHOSEN).status == 303
    _holds_only(service, alice, CHOSEN)
    assert Person(service, alice.email, CHOSEN).log_in()["user"]["user_metadata"] == {}
    assert len(service.events("user.registered")) == 1


def test_in_the_app_neither_code_nor_link_confirms_and_neither_is_used_up(
    service: Service, alice: Person, intruder: Person
) -> None:
    alice.sign_up()
    intruder.sign_up()
    link = service.mail_to(alice.email)["token_hash"]
    assert (alice.confirm().status, alice.confirm().code) == (403, "otp_expired")
    assert service.post("/verify", {"type": "signup", "token_hash": link}).code == "otp_expired"
    assert service.rows("SELECT 1 FROM sessions") == []
    assert _press(service, link, password=CHOSEN).status == 303


def test_a_mail_that_comes_again_activates_none_either(service: Service, alice: Person, intruder: Person) -> None:
    intruder.sign_up()
    alice.sign_up()
    service.rows("UPDATE one_time_tokens SET expires_at = now()")
    service.post("/resend", {"type": "signup", "email": alice.email})
    assert alice.confirm().code == "otp_expired"
    assert _press(service, service.mail_to(alice.email)["token_hash"], password=CHOSEN).status == 303
    _holds_only(service, alice, CHOSEN)


@pytest.mark.parametrize("typed", [{}, {"password": "short"}, {"password": "password1"}])
def test_without_a_password_that_will_do_the_page_asks_again(
    service: Service, alice: Person, intruder: Person, typed: dict[str, str]
) -> None:
    alice.sign_up()
    intruder.sign_up()
    link = service.mail_to(alice.email)["token_hash"]
    page = service.call("POST", "/verify/confirm", data={"type": "signup", "token_hash": link, **typed})
    assert 'name="password"' in page.text
    assert alice.log_in().code == "email_not_confirmed"
    assert _press(service, link, password=CHOSEN).status == 303


def test_the_page_sets_no_password_where_sign_ups_agree(service: Service, alice: Person) -> None:
    alice.sign_up()
    form = {"type": "signup", "token_hash": service.mail_to(alice.email)["token_hash"], "password": CHOSEN}
    assert service.call("POST", "/verify/confirm", data=form).status == 303
    _holds_only(service, alice, PASSWORD)


def test_a_sign_up_sent_again_with_the_same_password_is_no_contest(service: Service, alice: Person) -> None:
    ids = {alice.sign_up()["id"] for _ in range(3)}
    assert alice.confirm().status == 200
    assert ids == {alice.user_id}


def test_one_password_at_two_addresses_has_two_hashes(service: Service, alice: Person) -> None:
    alice.sign_up()
    service.person("bob").sign_up()
    assert len(service.rows("SELECT DISTINCT password_hash FROM users")) == 2


def test_of_sign_ups_at_once_with_different_passwords_none_counts(service: Service, alice: Person) -> None:
    alice.sign_up()
    service.rows("UPDATE one_time_tokens SET expires_at = now()")
    at_once(lambda n: Person(service, alice.email, f"{PASSWORD} {n}").sign_up(), 6)
    assert alice.confirm().code == "otp_expired"
    assert service.rows("SELECT is_contested FROM users") == [{"is_contested": True}]


def test_a_stranger_cannot_tell_whether_an_address_is_contested(
    service: Service, alice: Person, intruder: Person
) -> None:
    alice.sign_up()
    before = intruder.sign_up()
    after = intruder.sign_up()
    new = Person(service, "nobody@example.com", OF_MALLORY).sign_up()
    assert list(before.json) == list(after.json) == list(new.json)
    assert before["id"] == after["id"]
    contested, unknown = (
        service.post("/verify", {"type": "signup", "email": email, "token": "wrong"})
        for email in (alice.email, "unknown@example.com")
    )
    assert {**contested.json, "request_id": ""} == {**unknown.json, "request_id": ""}
