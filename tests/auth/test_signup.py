"""POST /signup."""

import time
from typing import Any
from uuid import UUID

import pytest

from tests.auth.conftest import PASSWORD, Make, Person, Reply, Service, at_once, claims_of


def test_a_new_user_gets_an_event_and_a_mail_but_no_session(service: Service) -> None:
    reply = service.person("alice").sign_up(data={"name": "Alice"})
    assert reply.status == 200
    assert reply["email"] == "alice@example.com"
    assert reply["email_confirmed_at"] is None
    assert reply["confirmation_sent_at"] is not None
    assert reply["user_metadata"] == {"name": "Alice"}
    assert reply["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert reply["identities"][0]["identity_data"]["email_verified"] is False
    assert "access_token" not in reply.json
    assert [event.type for event in service.events()] == ["user.registered", "message.requested"]
    assert service.events("user.registered")[0].subject == reply["id"]


def test_the_mail_holds_a_code_and_a_link_to_the_public_address(service: Service) -> None:
    service.person("alice").sign_up(data={"name": "Alice"})
    (mail,) = service.mails_to("alice@example.com")
    assert mail["template"] == "confirm_signup"
    assert mail["channels"] == ["email"]
    assert mail["params"]["name"] == "Alice"
    assert mail["params"]["link"].startswith("https://app.example.com/auth/v1/verify?token_hash=")
    assert len(mail["params"]["code"]) == 6 and mail["params"]["code"].isdigit()


def test_the_mail_is_in_the_language_the_request_asks_for(service: Service) -> None:
    body = {"email": "alice@example.com", "password": PASSWORD}
    service.post("/signup", body, {"Accept-Language": "pt-BR,pt;q=0.9,en;q=0.5"})
    service.post("/signup", {**body, "email": "mallory@example.com"}, {"Accept-Language": "x'; DROP TABLE users--"})
    mail = service.mails_to("alice@example.com")[0]
    assert (mail["locale"], mail["languages"]) == ("pt-BR", ["pt-BR", "pt", "en"])
    service.post("/signup", {**body, "email": "bob@example.com", "data": {"locale": "ja"}}, {"Accept-Language": "de"})
    assert service.mails_to("mallory@example.com")[0]["locale"] is None
    mail = service.mails_to("bob@example.com")[0]
    assert (mail["locale"], mail["languages"]) == ("ja", ["de"])
    assert [event.data["locale"] for event in service.events("user.registered")] == ["pt-BR", None, "ja"]


@pytest.mark.parametrize(
    ("asked", "languages"),
    [
        ("en;q=0.5, de-CH, fr;q=0.8, *;q=0.1", ["de-CH", "fr", "en"]),
        ("it;q=0, ja;q=0.3, zh-Hant-TW;q=0.9, zh-Hant-TW;q=0.2", ["zh-Hant-TW", "ja"]),
        ("klingonese-of-the-south, en\tGB, ../../etc/passwd, de", ["de"]),
        (", ".join(f"a{chr(97 + n)}" for n in range(26)), [f"a{chr(97 + n)}" for n in range(10)]),
        ("*", []),
    ],
)
def test_all_languages_of_the_request_go_along_best_first(service: Service, asked: str, languages: list[str]) -> None:
    service.post("/signup", {"email": "alice@example.com", "password": PASSWORD}, {"Accept-Language": asked})
    mail = service.mails_to("alice@example.com")[0]
    assert (mail["locale"], mail["languages"]) == (next(iter(languages), None), languages)


@pytest.mark.parametrize("said", ["de\n", "de\r\nBcc: x", "", "../de", 7, ["de"]])
def test_a_language_of_ones_own_that_is_none_counts_for_nothing(service: Service, said: Any) -> None:
    body = {"email": "alice@example.com", "password": PASSWORD, "data": {"locale": said}}
    assert service.post("/signup", body, {"Accept-Language": "fr"}).status == 200
    assert service.mails_to("alice@example.com")[0]["locale"] == "fr"


@pytest.mark.parametrize(
    "name", ["go to http://evil.example", "evil.example has a prize", "x" * 65, "a\nb", ["list"], {"a": 1}]
)
def test_a_name_that_could_be_a_message_is_kept_out_of_the_mail(service: Service, name: Any) -> None:
    service.person("alice").sign_up(data={"name": name})
    assert service.mail_to("alice@example.com")["name"] == ""


@pytest.mark.usefixtures("real_costs")
def test_nothing_of_the_password_the_code_or_the_link_is_readable_in_the_tables(service: Service) -> None:
    service.person("alice").sign_up()
    mail = service.mail_to("alice@example.com")
    stored = str(service.rows("SELECT * FROM users, one_time_tokens"))
    assert service.rows("SELECT password_hash FROM users")[0]["password_hash"].startswith(
        "$argon2id$v=19$m=19456,t=2,p=1$"
    )
    for secret in (PASSWORD, mail["token_hash"], f"'{mail['code']}'"):
        assert secret not in stored


def test_the_address_is_one_whatever_its_case(service: Service) -> None:
    alice = Person(service, "Alice@EXAMPLE.com")
    assert alice.sign_up()["email"] == "alice@example.com"
    alice.email = "alice@example.com"
    assert alice.confirm().status == 200
    assert Person(service, "aLICE@example.COM").log_in().status == 200


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shape(member) for name, member in value.items()}
    return [_shape(item) for item in value] if isinstance(value, list) else type(value)


def test_an_address_that_is_taken_gets_the_same_looking_answer(service: Service) -> None:
    alice = service.member("alice")
    new = service.person("bob").sign_up(data={"name": "B"})
    taken = service.post("/signup", {"email": alice.email, "password": "another password", "data": {"name": "B"}})
    again = service.post("/signup", {"email": alice.email, "password": "another password", "data": {"name": "B"}})
    assert taken.status == new.status
    assert list(taken.json) == list(new.json)
    assert _shape(taken.json) == _shape(new.json)
    assert taken["created_at"] == taken["updated_at"] and new["created_at"] == new["updated_at"]
    assert taken["id"] == again["id"]  # as it would be for two tries at a new address
    assert taken["id"] != new["id"]
    unlike = {"Content-Length", "X-Request-Id"}
    assert {n: v for n, v in taken.headers if n not in unlike} == {n: v for n, v in new.headers if n not in unlike}
    assert len(service.rows("SELECT 1 FROM users")) == 2


def test_who_signs_up_again_as_the_answer_was_lost_is_told_the_same_id(service: Service) -> None:
    alice = service.person("alice")
    first, second = alice.sign_up(), alice.sign_up()
    assert _shape(first.json) == _shape(second.json)
    assert first["id"] == second["id"]
    alice.confirm()
    assert alice.user_id == first["id"]
    assert service.events("user.registered")[0].subject == first["id"]


def test_the_id_is_new_after_ten_minutes_and_elsewhere(make_service: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    service, other = make_service(), make_service()
    ids = [where.person("alice").sign_up()["id"] for where in (service, other)]
    later = time.time() + 600
    monkeypatch.setattr(time, "time", lambda: later)
    ids.append(service.person("alice").sign_up()["id"])
    assert len(set(ids)) == 3
    assert {UUID(id).version for id in ids} == {7}


def test_an_id_that_is_taken_is_not_given_twice(service: Service) -> None:
    alice = service.member("alice")
    service.rows("UPDATE users SET email = 'renamed@example.com'")
    other = service.member("alice")
    assert other.user_id != alice.user_id
    assert {row["email"] for row in service.rows("SELECT email FROM users")} == {alice.email, "renamed@example.com"}


def test_signing_up_with_a_taken_address_leaves_the_owner_as_they_were_and_tells_them(make_service: Make) -> None:
    service = make_service(mail_interval_s=0)
    alice = service.member("alice")
    Person(service, alice.email, "the password of mallory").sign_up(data={"name": "Mallory"})
    assert service.mails_to(alice.email)[-1]["template"] == "account_exists"
    assert alice.log_in()["user"]["user_metadata"] == {}
    assert Person(service, alice.email, "the password of mallory").log_in().code == "invalid_credentials"


def test_an_earlier_sign_up_whose_mail_has_expired_leaves_no_password_behind(make_service: Make) -> None:
    service = make_service(mail_interval_s=0)
    Person(service, "alice@example.com", "the password of mallory").sign_up()
    service.rows("UPDATE one_time_tokens SET expires_at = now()")
    alice = service.person("alice")
    alice.sign_up()
    assert alice.confirm().status == 200
    assert alice.log_in().status == 200
    assert Person(service, alice.email, "the password of mallory").log_in().code == "invalid_credentials"
    assert len(service.events("user.registered")) == 1


def test_within_the_mail_interval_a_second_sign_up_changes_nothing_and_sends_nothing(service: Service) -> None:
    alice = service.person("alice")
    alice.sign_up()
    alice.sign_up(data={"name": "Alice"})
    assert len(service.mails_to(alice.email)) == 1
    assert alice.confirm()["user"]["user_metadata"] == {}
    assert alice.log_in().status == 200


def test_of_twenty_sign_ups_with_one_address_at_once_one_creates_the_user(service: Service) -> None:
    replies = at_once(lambda _: service.person("alice").sign_up())
    assert {reply.status for reply in replies} == {200}
    assert len(service.rows("SELECT 1 FROM users")) == 1
    assert len(service.events("user.registered")) == 1
    assert len(service.mails_to("alice@example.com")) == 1


@pytest.mark.parametrize("password", ["1234567", "x"])
def test_a_short_password_is_refused(service: Service, password: str) -> None:
    reply = Person(service, "alice@example.com", password).sign_up()
    assert (reply.status, reply.code) == (422, "weak_password")
    assert reply["errors"][0]["pointer"] == "#/password"
    assert service.rows("SELECT 1 FROM users") == []


def test_where_addresses_need_no_confirmation_a_session_comes_at_once(make_service: Make) -> None:
    service = make_service(autoconfirm=True)
    alice = service.person("alice")
    reply = alice.sign_up()
    assert claims_of(reply["access_token"])["sub"] == reply["user"]["id"]
    assert reply["user"]["email_confirmed_at"] is not None
    assert [event.type for event in service.events()] == [
        "user.registered",
        "user.updated",
        "message.requested",
        "session.created",
    ]
    assert service.mails_to(alice.email)[0]["template"] == "welcome"
    assert alice.get("/user").status == 200


def test_where_addresses_need_no_confirmation_a_taken_one_is_refused(make_service: Make) -> None:
    service = make_service(autoconfirm=True)
    service.person("alice").sign_up()
    reply = service.person("alice").sign_up()
    assert (reply.status, reply.code) == (422, "user_already_exists")


def test_members_that_clients_of_the_protocol_send_are_taken(service: Service) -> None:
    reply = service.person("alice").sign_up(
        data={},
        gotrue_meta_security={"captcha_token": None},
        code_challenge=None,
        code_challenge_method=None,
        channel="sms",
    )
    assert reply.status == 200


def test_only_an_allowed_place_gets_into_the_link(service: Service) -> None:
    def link(email: str, redirect_to: str) -> str:
        service.call(
            "POST", "/signup", body={"email": email, "password": PASSWORD}, query_string={"redirect_to": redirect_to}
        )
        return service.mail_to(email)["link"]

    assert "redirect_to=com.example.app" in link("a@example.com", "com.example.app://confirmed")
    for number, place in enumerate(
        [
            "https://evil.example",
            "com.example.app://confirmed.evil",
            "https://www.example.com@evil.example/other",
            "//x",
        ]
    ):
        assert "redirect_to" not in link(f"b{number}@example.com", place)


def test_if_the_event_cannot_be_written_there_is_no_user(service: Service) -> None:
    with service.without_outbox():
        reply: Reply = service.person("alice").sign_up()
    assert reply.status == 500
    assert service.rows("SELECT 1 FROM users") == []
    assert service.person("alice").sign_up().status == 200
