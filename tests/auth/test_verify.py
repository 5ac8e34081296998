"""POST /verify."""

import pytest

from tests.auth.conftest import Person, Service, at_once


@pytest.fixture
def waiting(service: Service) -> Person:
    """Alice, who has signed up and got the mail."""
    alice = service.person("alice")
    alice.sign_up()
    return alice


def test_the_code_confirms_the_address_and_logs_in(service: Service, waiting: Person) -> None:
    reply = waiting.confirm()
    assert reply.status == 200
    assert reply["user"]["email_confirmed_at"] is not None
    assert reply["user"]["identities"][0]["identity_data"]["email_verified"] is True
    (event,) = service.events("user.updated")
    assert event.data["email_confirmed_at"] is not None
    assert service.events("session.created")[0].subject == waiting.session_id
    assert waiting.get("/user").status == 200


@pytest.mark.parametrize("kind", ["signup", "email"])
def test_the_hash_of_the_link_confirms_too(service: Service, waiting: Person, kind: str) -> None:
    secret = service.mail_to(waiting.email)["token_hash"]
    assert service.post("/verify", {"type": kind, "token_hash": secret}).status == 200


def test_link_and_code_are_one_secret_used_once(service: Service, waiting: Person) -> None:
    secret = service.mail_to(waiting.email)["token_hash"]
    assert waiting.confirm().status == 200
    again = waiting.confirm()
    assert (again.status, again.code) == (403, "otp_expired")
    assert service.post("/verify", {"type": "signup", "token_hash": secret}).code == "otp_expired"


def test_of_twenty_tries_with_one_link_at_once_one_wins(service: Service, waiting: Person) -> None:
    body = {"type": "signup", "token_hash": service.mail_to(waiting.email)["token_hash"]}
    statuses = sorted(reply.status for reply in at_once(lambda _: service.post("/verify", body)))
    assert statuses == [200] + [403] * 19
    assert len(service.rows("SELECT 1 FROM sessions")) == 1


def test_of_twenty_tries_with_one_code_at_once_one_wins(service: Service, waiting: Person) -> None:
    body = {"type": "signup", "email": waiting.email, "token": service.mail_to(waiting.email)["code"]}
    statuses = sorted(reply.status for reply in at_once(lambda _: service.post("/verify", body)))
    assert statuses == [200] + [403] * 19
    assert len(service.rows("SELECT 1 FROM sessions")) == 1


def test_five_wrong_guesses_void_the_code_but_not_the_link(service: Service, waiting: Person) -> None:
    mail = service.mail_to(waiting.email)
    wrong = "000000" if mail["code"] != "000000" else "000001"
    for _ in range(5):
        reply = service.post("/verify", {"type": "signup", "email": waiting.email, "token": wrong})
        assert (reply.status, reply.code) == (403, "otp_expired")
    assert waiting.confirm().code == "otp_expired"
    assert service.post("/verify", {"type": "signup", "token_hash": mail["token_hash"]}).status == 200


def test_twenty_guesses_at_once_count_as_five(service: Service, waiting: Person) -> None:
    code = int(service.mail_to(waiting.email)["code"])
    at_once(
        lambda n: service.post(
            "/verify", {"type": "signup", "email": waiting.email, "token": f"{(code + 1 + n) % 1_000_000:06d}"}
        )
    )
    assert service.rows("SELECT attempts FROM one_time_tokens") == [{"attempts": 5}]


def test_an_expired_secret_is_refused(service: Service, waiting: Person) -> None:
    service.rows("UPDATE one_time_tokens SET expires_at = now() - interval '1 second'")
    assert waiting.confirm().code == "otp_expired"
    secret = service.mail_to(waiting.email)["token_hash"]
    assert service.post("/verify", {"type": "signup", "token_hash": secret}).code == "otp_expired"


def test_the_code_of_one_person_does_not_confirm_another(service: Service, waiting: Person) -> None:
    mallory = service.person("mallory")
    mallory.sign_up()
    token = service.mail_to(mallory.email)["code"]
    if token != service.mail_to(waiting.email)["code"]:
        assert service.post("/verify", {"type": "signup", "email": waiting.email, "token": token}).status == 403


def test_an_unknown_address_gets_the_answer_of_a_wrong_code(service: Service, waiting: Person) -> None:
    wrong = service.post("/verify", {"type": "signup", "email": waiting.email, "token": "wrong"})
    unknown = service.post("/verify", {"type": "signup", "email": "nobody@example.com", "token": "wrong"})
    assert {**wrong.json, "request_id": ""} == {**unknown.json, "request_id": ""}


def test_what_is_missing_is_named(service: Service) -> None:
    assert service.post("/verify", {"type": "signup", "token": "1"})["errors"][0]["pointer"] == "#/email"
    assert service.post("/verify", {"type": "signup", "email": "a@example.com"})["errors"][0]["pointer"] == "#/token"
    assert service.post("/verify", {"token_hash": "x"})["errors"][0]["pointer"] == "#/type"


def test_a_secret_is_not_used_up_when_its_effect_fails(service: Service, waiting: Person) -> None:
    body = {"type": "signup", "email": waiting.email, "token": service.mail_to(waiting.email)["code"]}
    with service.without_outbox():
        assert service.post("/verify", body).status == 500
    assert service.post("/verify", body).status == 200
