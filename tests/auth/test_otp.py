"""POST /otp and POST /magiclink."""

import pytest

from tests.auth.conftest import Make, Person, Service, at_once, claims_of

PATHS = pytest.mark.parametrize("path", ["/otp", "/magiclink"])


@pytest.fixture
def service(make_service: Make) -> Service:
    return make_service(mail_interval_s=0)


@PATHS
def test_the_code_logs_a_known_person_in(service: Service, path: str) -> None:
    alice = service.member("alice")
    assert service.post(path, {"email": alice.email}).json == {}
    reply = alice.verify("email")
    assert reply.status == 200
    assert claims_of(reply["access_token"])["amr"][0]["method"] == "otp"
    assert alice.log_in().status == 200, "the password is what it was"
    assert len(service.events("user.registered")) == 1


@PATHS
@pytest.mark.parametrize("type", ["email", "magiclink", "signup"])
def test_an_unknown_address_becomes_a_user_when_its_mail_is_answered(service: Service, path: str, type: str) -> None:
    bob = service.person("bob")
    assert service.post(path, {"email": bob.email, "data": {"name": "Bob"}}).status == 200
    assert service.events("user.updated") == []
    reply = bob.verify(type)
    assert reply["user"]["email_confirmed_at"] is not None
    assert reply["user"]["user_metadata"] == {"name": "Bob"}
    assert [event.data["email"] for event in service.events("user.updated")] == [bob.email]
    assert bob.log_in().code == "invalid_credentials", "there is no password yet"
    assert bob.change(password="a first password").status == 200
    assert Person(service, bob.email, "a first password").log_in().status == 200


def test_the_hash_of_the_link_logs_in(service: Service) -> None:
    alice = service.member("alice")
    service.post("/otp", {"email": alice.email})
    link = service.mail_to(alice.email)
    assert link["type"] == "magiclink"
    assert alice.verify("magiclink", token_hash=link["token_hash"]).status == 200
    assert alice.verify("magiclink", token_hash=link["token_hash"]).code == "otp_expired"


def test_known_and_unknown_addresses_get_one_answer_and_without_create_user_no_user_is_made(service: Service) -> None:
    alice = service.member("alice")
    waiting = service.person("waiting")
    waiting.sign_up()
    before = len(service.rows("SELECT 1 FROM users"))
    emails = (alice.email, waiting.email, "nobody@example.com")
    replies = [service.post("/otp", {"email": email, "create_user": False}) for email in emails]
    assert [(reply.status, reply.json) for reply in replies] == [(200, {})] * 3
    assert len(service.rows("SELECT 1 FROM users")) == before
    assert service.mails_to("nobody@example.com") == []


def test_a_person_who_signed_up_and_answers_a_magic_link_keeps_no_password_that_may_be_somebody_elses(
    service: Service,
) -> None:
    mallory = Person(service, "alice@example.com", "the password of mallory")
    mallory.sign_up(data={"name": "Mallory"})
    alice = service.person("alice")
    service.post("/otp", {"email": alice.email, "data": {"name": "Alice"}})
    assert alice.verify("email")["user"]["user_metadata"] == {"name": "Alice"}
    assert mallory.log_in().code == "invalid_credentials"
    signup = next(mail for mail in service.mails_to(alice.email) if mail["template"] == "confirm_signup")
    assert (
        service.post("/verify", {"type": "signup", "email": alice.email, "token": signup["params"]["code"]}).status
        == 403
    )


def test_of_twenty_tries_with_one_code_at_once_one_wins(service: Service) -> None:
    alice = service.member("alice")
    service.post("/otp", {"email": alice.email})
    body = {"type": "email", "email": alice.email, "token": service.mail_to(alice.email)["code"]}
    assert sorted(reply.status for reply in at_once(lambda _: service.post("/verify", body))) == [200] + [403] * 19


def test_of_twenty_tries_with_one_link_at_once_one_wins(service: Service) -> None:
    alice = service.member("alice")
    service.post("/otp", {"email": alice.email})
    link = service.mail_to(alice.email)["link"]
    assert sorted(reply.status for reply in at_once(lambda _: service.press(link))) == [303] + [403] * 19


def test_twenty_at_once_for_an_unknown_address_make_one_user(service: Service) -> None:
    assert {reply.status for reply in at_once(lambda _: service.post("/otp", {"email": "new@example.com"}))} == {200}
    assert len(service.rows("SELECT 1 FROM users")) == 1
    assert Person(service, "new@example.com").verify("email").status == 200


def test_a_new_mail_voids_the_older_one_and_one_goes_an_interval(make_service: Make) -> None:
    service = make_service()
    alice = service.member("alice")
    for _ in range(3):
        service.post("/otp", {"email": alice.email})
    assert [mail["template"] for mail in service.mails_to(alice.email)] == ["confirm_signup", "magic_link"]
    stale = service.mail_to(alice.email)["token_hash"]
    service.rows("UPDATE one_time_tokens SET created_at = now() - interval '61 seconds'")
    service.post("/otp", {"email": alice.email})
    assert alice.verify("magiclink", token_hash=stale).code == "otp_expired"
    assert alice.verify("magiclink").status == 200


def test_a_code_of_one_kind_is_of_no_use_for_another(service: Service) -> None:
    alice = service.member("alice")
    service.post("/otp", {"email": alice.email})
    code, link = service.mail_to(alice.email)["code"], service.mail_to(alice.email)["token_hash"]
    for type in ("recovery", "email_change", "invite"):
        assert alice.verify(type, token=code).code == "otp_expired"
        assert alice.verify(type, token_hash=link).code == "otp_expired"
    assert alice.verify("magiclink").status == 200
