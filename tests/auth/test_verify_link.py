"""GET /verify and POST /verify/confirm: the link of a mail in a browser."""

import re
import time

import pytest

from tests.auth.conftest import Make, Person, Service, claims_of, fragment_of


@pytest.fixture
def waiting(service: Service) -> Person:
    """Alice, who has signed up and got the mail."""
    alice = service.person("alice")
    alice.sign_up()
    return alice


def test_opening_the_link_uses_nothing_up_and_the_button_confirms_once(service: Service, waiting: Person) -> None:
    link = service.mail_to(waiting.email)["link"]
    for _ in range(3):
        assert service.get(link.removeprefix("https://app.example.com/auth/v1")).status == 200
    assert waiting.log_in().code == "email_not_confirmed"
    assert service.press(link).status == 303
    assert waiting.log_in().status == 200
    again = service.press(link)
    assert again.status == 403 and "does not work any more" in again.text


def test_the_button_leads_to_the_app_with_a_session_in_the_fragment(service: Service, waiting: Person) -> None:
    reply = service.press(service.mail_to(waiting.email)["link"])
    assert reply.headers["Location"].startswith("https://www.example.com/welcome#access_token=")
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    session = fragment_of(reply)
    assert (session["token_type"], session["type"], session["expires_in"]) == ("bearer", "signup", "600")
    assert int(session["expires_at"]) > time.time()
    waiting.session = session
    assert waiting.get("/user")["email"] == waiting.email
    assert claims_of(session["access_token"])["amr"][0]["method"] == "otp"
    assert waiting.refresh(session["refresh_token"]).status == 200


def test_a_dead_link_offers_the_way_to_the_app_with_the_error_that_clients_look_for(
    service: Service, waiting: Person
) -> None:
    service.rows("UPDATE one_time_tokens SET expires_at = now()")
    reply = service.press(service.mail_to(waiting.email)["link"])
    (onward,) = re.findall(r'href="([^"]*)"', reply.text)
    assert onward.startswith("https://www.example.com/welcome#error=access_denied&amp;error_code=otp_expired")


def test_where_no_place_is_set_the_page_confirms_and_opens_no_session(make_service: Make) -> None:
    service = make_service(site_url="", redirect_urls="")
    alice = service.person("alice")
    alice.sign_up()
    reply = service.press(service.mail_to(alice.email)["link"])
    assert (reply.status, "href" in reply.text) == (200, False)
    assert service.rows("SELECT 1 FROM sessions") == []
    assert alice.log_in().status == 200
    service.rows("UPDATE users SET confirmation_sent_at = NULL")
    service.post("/otp", {"email": alice.email})
    page = service.get(service.mail_to(alice.email)["link"].removeprefix("https://app.example.com/auth/v1"))
    assert "<form" not in page.text and "six digits" in page.text


def test_the_page_runs_nothing_loads_nothing_and_cannot_be_framed(service: Service, waiting: Person) -> None:
    reply = service.get("/verify?type=signup&token_hash=x")
    policy = reply.headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy
    assert "form-action 'self' https://www.example.com;" in policy
    assert "script" not in policy and "unsafe" not in policy
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cache-Control"] == "no-store"
    assert 'name="viewport"' in reply.text


def test_the_form_may_lead_to_the_app_that_asked_and_nowhere_else(service: Service) -> None:
    page = service.get("/verify?type=signup&token_hash=x&redirect_to=com.example.app://confirmed")
    assert "form-action 'self' com.example.app:;" in page.headers["Content-Security-Policy"]
    page = service.get("/verify?type=signup&token_hash=x&redirect_to=https://evil.example")
    assert "evil" not in page.headers["Content-Security-Policy"] + page.text


def test_the_page_shows_no_markup_from_its_address(service: Service) -> None:
    page = service.get(
        "/verify?type=signup&token_hash=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&redirect_to=%22%3E%3Cb%3E"
    )
    assert "<script" not in page.text and "<b>" not in page.text


@pytest.mark.parametrize("type", ["signup", "email", "invite", "magiclink", "recovery", "email_change"])
def test_each_kind_has_words_of_its_own_and_a_wrong_secret_is_refused_alike(service: Service, type: str) -> None:
    reply = service.press(f"https://app.example.com/auth/v1/verify?type={type}&token_hash=x")
    assert reply.status == 403
