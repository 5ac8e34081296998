"""POST /recover."""

import pytest

from tests.auth.conftest import Make, Person, Service, at_once

NEW = "a password chosen anew"


@pytest.fixture
def service(make_service: Make) -> Service:
    return make_service(mail_interval_s=0)


def test_the_code_lets_in_and_the_password_is_set_then(service: Service) -> None:
    alice = service.member("alice")
    other = Person(service, alice.email)
    other.log_in()
    assert service.post("/recover", {"email": alice.email}).json == {}
    assert alice.verify("recovery").status == 200
    assert alice.change(password=NEW).status == 200
    assert other.get("/user").code == "session_not_found"
    assert Person(service, alice.email, NEW).log_in().status == 200
    assert alice.log_in().code == "invalid_credentials"


def test_known_unknown_and_unconfirmed_addresses_get_one_answer(service: Service) -> None:
    alice = service.member("alice")
    waiting = service.person("waiting")
    waiting.sign_up()
    emails = (alice.email, waiting.email, "nobody@example.com")
    replies = [service.post("/recover", {"email": email}) for email in emails]
    assert [(reply.status, reply.json) for reply in replies] == [(200, {})] * 3
    assert service.mails_to("nobody@example.com") == []
    assert len(service.rows("SELECT 1 FROM users")) == 2


def test_whoever_signed_up_with_a_strangers_address_gains_nothing_when_its_owner_recovers(service: Service) -> None:
    mallory = Person(service, "alice@example.com", "the password of mallory")
    mallory.sign_up(data={"name": "Mallory"})
    alice = service.person("alice")
    service.post("/recover", {"email": alice.email})
    assert alice.verify("recovery")["user"]["user_metadata"] == {}
    assert mallory.log_in().code == "invalid_credentials"


def test_a_new_password_voids_the_recovery_mail(service: Service) -> None:
    alice = service.member("alice")
    service.post("/recover", {"email": alice.email})
    assert alice.change(password=NEW).status == 200
    assert alice.verify("recovery").code == "otp_expired"


def test_strangers_cannot_use_up_the_mails_that_a_person_needs(service: Service) -> None:
    alice = service.member("alice")
    for _ in range(14):
        service.post("/otp", {"email": alice.email})
    service.post("/recover", {"email": alice.email})
    assert alice.verify("recovery").status == 200


def test_where_no_app_can_be_led_to_the_page_itself_sets_the_password(make_service: Make) -> None:
    service = make_service(mail_interval_s=0, site_url="", redirect_urls="")
    alice = service.member("alice")
    service.post("/recover", {"email": alice.email})
    link = service.mail_to(alice.email)["link"]
    assert 'name="password"' in service.press(link, password="short").text
    assert "one of the first that anybody tries" in service.press(link, password="password1").text
    done = service.press(link, password=NEW)
    assert (done.status, "Your password is set" in done.text) == (200, True)
    assert alice.get("/user").code == "session_not_found"
    assert Person(service, alice.email, NEW).log_in().status == 200


@pytest.mark.parametrize("by", ["code", "link"])
def test_of_twenty_tries_at_once_one_wins(service: Service, by: str) -> None:
    alice = service.member("alice")
    service.post("/recover", {"email": alice.email})
    mail = service.mail_to(alice.email)
    body = {"email": alice.email, "token": mail["code"]} if by == "code" else {"token_hash": mail["token_hash"]}
    replies = at_once(lambda _: service.post("/verify", {"type": "recovery", **body}))
    assert sorted(reply.status for reply in replies) == [200] + [403] * 19
