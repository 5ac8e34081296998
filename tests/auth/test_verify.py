"""GET and POST /verify, POST /verify/confirm."""

import re

import pytest

from tests.auth.conftest import Make, Person, Service, at_once


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


def _open(service: Service, link: str) -> str:
    """Open the link of a mail, as a browser or a mail scanner does; the page."""
    page = service.get(link.removeprefix("https://app.example.com/auth/v1"))
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    return page.text


def _press(service: Service, page: str) -> tuple[int, str]:
    """Press the button of the page; status and text of what comes."""
    form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))
    assert 'action="verify/confirm"' in page
    reply = service.call("POST", "/verify/confirm", data=form)
    return reply.status, reply.text


def test_opening_the_link_uses_nothing_up_and_the_button_confirms_once(service: Service, waiting: Person) -> None:
    link = service.mail_to(waiting.email)["link"]
    for _ in range(3):
        page = _open(service, link)
    assert waiting.log_in().code == "email_not_confirmed"
    assert _press(service, page)[0] == 200
    assert waiting.log_in().status == 200
    status, text = _press(service, page)
    assert status == 403 and "does not work any more" in text


def test_the_page_runs_nothing_loads_nothing_and_cannot_be_framed(service: Service, waiting: Person) -> None:
    reply = service.get("/verify?type=signup&token_hash=x")
    policy = reply.headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
        assert part in policy
    assert "script" not in policy and "unsafe" not in policy
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cache-Control"] == "no-store"
    assert 'name="viewport"' in reply.text


def test_the_page_shows_no_markup_from_its_address(service: Service) -> None:
    page = service.get(
        "/verify?type=signup&token_hash=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&redirect_to=%22%3E%3Cb%3E"
    )
    assert "<script" not in page.text and "<b>" not in page.text


def test_the_link_leads_on_only_to_allowed_places(service: Service) -> None:
    def onward(number: int, redirect_to: str) -> str:
        person = service.person(f"p{number}")
        person.sign_up()
        secret = service.mail_to(person.email)["token_hash"]
        form = {"token_hash": secret, "type": "signup", "redirect_to": redirect_to}
        page = service.call("POST", "/verify/confirm", data=form)
        assert page.status == 200
        return str(re.findall(r'href="([^"]*)"', page.text)[0])

    assert onward(1, "com.example.app://confirmed") == "com.example.app://confirmed"
    for number, place in enumerate(["https://evil.example", "javascript:alert(1)", "//evil.example", ""], start=2):
        assert onward(number, place) == "https://www.example.com/welcome"


def test_a_link_leads_nowhere_where_no_place_is_set(make_service: Make) -> None:
    service = make_service(site_url="", redirect_urls="")
    service.person("alice").sign_up()
    secret = service.mail_to("alice@example.com")["token_hash"]
    form = {"token_hash": secret, "type": "signup", "redirect_to": "https://evil.example"}
    assert "href" not in service.call("POST", "/verify/confirm", data=form).text


def test_a_secret_is_not_used_up_when_its_effect_fails(service: Service, waiting: Person) -> None:
    body = {"type": "signup", "email": waiting.email, "token": service.mail_to(waiting.email)["code"]}
    with service.without_outbox():
        assert service.post("/verify", body).status == 500
    assert service.post("/verify", body).status == 200
