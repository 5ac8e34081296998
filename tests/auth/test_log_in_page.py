"""The log-in page and those behind it, in a browser without script."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.auth.authenticators import App, SecurityKey
from tests.auth.browsers import LOG_IN, RETURN_TO, Page, Tab
from tests.auth.conftest import PASSWORD, Make, Person, Service, at_once
from tests.support.authenticator import Authenticator

FORGOTTEN, SIGN_UP = LOG_IN.replace("login?", "login/forgotten?"), LOG_IN.replace("login?", "login/sign-up?")


@pytest.fixture
def tab(service: Service) -> Tab:
    return Tab(service)


def _form(page: Page, action: str) -> Any:
    """The form that is sent there."""
    return next(form for form in page.forms if form.action.endswith(action))


def test_a_wrong_password_and_an_unknown_address_look_alike_and_what_was_typed_is_kept(tab: Tab, alice: Person) -> None:
    pages = []
    for email in (alice.email, "nobody@example.com"):
        page = tab.send(tab.open(LOG_IN).form, email=email, password="wrong wrong")
        assert (page.status, page.alert) == (400, "Address or password is wrong.")
        assert page.form.fields["email"] == email and page.form.fields["password"] == ""
        assert page.form.inputs["password"].keys() >= {"autofocus", "aria-invalid"}
        assert "wrong wrong" not in page.html
        challenge = _form(page, "/passkey").fields["challenge_id"]
        pages.append(page.html.replace(email, "…").replace(challenge, "…"))
    shown = [
        [line for line in page.splitlines() if "nonce" not in line and "data-options" not in line] for page in pages
    ]
    assert shown[0] == shown[1]


def test_what_is_no_address_is_said_so_and_the_field_is_where_one_types_next(tab: Tab) -> None:
    for typed in ("", "alice", "a@b", "x" * 2_000, '"><b>'):
        page = tab.send(tab.open(LOG_IN).form, email=typed, password=PASSWORD)
        assert (page.status, page.alert) == (400, "Type an e-mail address.")
        assert "autofocus" in page.form.inputs["email"] and page.form.fields["email"] == typed[:254]


@pytest.mark.parametrize("password", ["", "x" * 129, "12345678", "true", "null", '{"a":1}'])
def test_any_password_is_only_text(tab: Tab, alice: Person, password: str) -> None:
    page = tab.send(tab.open(LOG_IN).form, email=alice.email, password=password)
    assert (page.status, page.alert) == (400, "Address or password is wrong.")


def test_a_password_of_digits_lets_in(service: Service, tab: Tab) -> None:
    person = service.person("digits")
    person.password = "2718281828459"
    person.sign_up()
    person.confirm()
    assert tab.log_in(person).status == 303


def test_tries_are_counted_together_with_those_of_apps(make_service: Make) -> None:
    service = make_service(log_in_tries=3)
    alice, tab = service.member("alice"), Tab(service)
    form = tab.open(LOG_IN).form
    for _ in range(3):
        assert tab.send(form, email=alice.email, password="wrong wrong").status == 400
    page = tab.send(form, email=alice.email, password=PASSWORD)
    assert (page.status, page.alert) == (429, "Too many tries. Wait a moment, then try again.")
    assert int(page.headers["Retry-After"]) > 0
    assert alice.log_in().status == 429


def test_who_has_not_confirmed_the_address_does_it_with_a_code(service: Service, tab: Tab) -> None:
    carol = service.person("carol")
    carol.sign_up()
    page = tab.log_in(carol)
    assert (page.status, page.alert) == (400, "Your address is not confirmed yet. Have a code sent to it.")
    code_page = tab.send(_form_of_code(page), email=carol.email)
    done = tab.send(code_page.form, code=service.mail_to(carol.email)["code"])
    assert (done.status, done.headers["Location"]) == (303, RETURN_TO)


def _form_of_code(page: Page) -> Any:
    """The form, as the second of its buttons sends it."""
    form = page.form
    (button,) = [button for button in form.buttons if "formaction" in button]
    form.action = button["formaction"]
    assert "formnovalidate" in button
    return form


def test_a_code_by_mail_lets_in_once_and_an_unknown_address_is_answered_alike(
    service: Service, tab: Tab, alice: Person
) -> None:
    sent = {}
    for email in (alice.email, "nobody@example.com"):
        page = tab.send(_form_of_code(tab.open(LOG_IN)), email=email)
        assert page.status == 200 and email in page.html
        sent[email] = page.html.replace(email, "…").replace(email.replace("@", "%40"), "…")
    assert sent[alice.email] == sent["nobody@example.com"]
    assert service.mails_to("nobody@example.com") == []
    page = tab.send(_form_of_code(tab.open(LOG_IN)), email=alice.email)
    code = service.mail_to(alice.email)["code"]
    field = page.form.inputs["code"]
    assert (field["autocomplete"], field["inputmode"]) == ("one-time-code", "numeric")
    wrong = tab.send(page.form, code="000000" if code != "000000" else "111111")
    assert (wrong.status, wrong.alert) == (403, "This code is wrong, or too old.")
    done = tab.send(wrong.form, code=f" {code[:3]} {code[3:]} ")
    assert (done.status, done.headers["Location"]) == (303, RETURN_TO)
    assert tab.session_id()
    assert tab.send(page.form, code=code).status == 403


def test_codes_by_mail_need_an_address(tab: Tab) -> None:
    page = tab.send(_form_of_code(tab.open(LOG_IN)), email="")
    assert (page.status, page.alert) == (400, "Type an e-mail address.")


def test_a_forgotten_password_is_mailed_about_and_an_unknown_address_is_answered_alike(
    service: Service, tab: Tab, alice: Person
) -> None:
    sent = []
    for email in (alice.email, "nobody@example.com"):
        page = tab.send(tab.open(FORGOTTEN).form, email=email)
        sent.append((page.status, page.html.replace(email, "…").replace(email.replace("@", "%40"), "…")))
    assert sent[0] == sent[1] and sent[0][0] == 200
    assert service.mails_to(alice.email)[-1]["template"] == "recovery"
    assert service.mails_to("nobody@example.com") == []
    assert tab.send(tab.open(FORGOTTEN).form, email="alice").alert == "Type an e-mail address."


def test_an_account_is_made_confirmed_and_logged_in_without_leaving_the_pages(service: Service, tab: Tab) -> None:
    page = tab.send(tab.open(SIGN_UP, **{"Accept-Language": "de"}).form, email="New@example.com", password=PASSWORD)
    code = service.mail_to("new@example.com")["code"]
    done = tab.send(page.form, code=code)
    assert (done.status, done.headers["Location"]) == (303, RETURN_TO)
    assert tab.session_id()


def test_a_taken_address_looks_like_a_free_one(service: Service, tab: Tab, alice: Person) -> None:
    pages = {}
    for email in (alice.email, "free@example.com"):
        page = tab.send(tab.open(SIGN_UP).form, email=email, password="another password")
        pages[email] = (page.status, page.html.replace(email, "…").replace(email.replace("@", "%40"), "…"))
    assert pages[alice.email] == pages["free@example.com"]
    assert alice.log_in().status == 200


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "Choose a password of 8 characters or more."),
        ("password123", "This password is one of the first that anybody tries. Choose another."),
        ("x" * 129, "Choose a shorter password."),
    ],
)
def test_a_weak_password_is_refused_with_the_reason(service: Service, tab: Tab, password: str, said: str) -> None:
    page = tab.send(tab.open(SIGN_UP).form, email="new@example.com", password=password)
    assert (page.status, page.alert) == (422, said)
    assert page.form.fields["email"] == "new@example.com" and password not in page.html
    assert service.rows("SELECT 1 FROM users") == []


def test_with_addresses_that_need_no_confirmation_a_sign_up_leads_straight_back(make_service: Make) -> None:
    service = make_service(autoconfirm=True)
    tab = Tab(service)
    page = tab.send(tab.open(SIGN_UP).form, email="new@example.com", password=PASSWORD)
    assert (page.status, page.headers["Location"]) == (303, RETURN_TO) and tab.session_id()
    again = tab.send(tab.open(SIGN_UP).form, email="new@example.com", password=PASSWORD)
    assert (again.status, again.alert) == (422, "There is an account with this address already. Log in.")


def _to_second(tab: Tab, person: Person) -> Page:
    page = tab.log_in(person)
    assert page.status == 303 and urlsplit(page.headers["Location"]).path == "/auth/oauth/login/second-factor"
    assert tab.session_id() is None, "nobody is in with one factor of two"
    return tab.open(page.headers["Location"])


def test_an_authenticator_app_is_asked_for_and_a_wrong_code_counts(service: Service, tab: Tab, alice: Person) -> None:
    app = App(alice)
    app.answer()
    app.wait(service)
    page = _to_second(tab, alice)
    assert "authenticator app" in page.html and alice.email in page.html
    halfway = tab.cookie
    wrong = tab.send(page.form, code=app.wrong_code())
    assert (wrong.status, wrong.alert) == (422, "This code is wrong, or too old.")
    assert service.rows("SELECT cardinality(wrong_codes_at) AS wrong FROM factors") == [{"wrong": 1}]
    code = app.code()
    done = tab.send(wrong.form, code=f"{code[:3]} {code[3:]}")
    assert (done.status, done.headers["Location"]) == (303, RETURN_TO)
    assert tab.session_id() and tab.cookie != halfway, "another cookie for more rights"
    (listed,) = [item for item in alice.get("/sessions")["items"] if item["id"] == tab.session_id()]
    assert listed["aal"] == "aal2" and {one["method"] for one in listed["amr"]} == {"password", "totp"}
    stale = Tab(service)
    stale.client.set_cookie("__Host-gatehouse", halfway or "", domain="app.example.com")
    assert stale.session_id() is None


def test_of_twenty_answers_at_once_with_one_code_one_lets_in(service: Service, tab: Tab, alice: Person) -> None:
    app = App(alice)
    app.answer()
    app.wait(service)
    page, code = _to_second(tab, alice), app.code()
    tabs = [Tab(service) for _ in range(20)]
    for one in tabs:
        one.client.set_cookie("__Host-gatehouse", tab.cookie or "", domain="app.example.com")
    answers = at_once(lambda number: tabs[number].send(page.form, code=code))
    assert sorted(answer.headers["Location"] == RETURN_TO for answer in answers) == [False] * 19 + [True]
    assert len([one for one in tabs if one.session_id()]) == 1


def test_a_recovery_code_does_too_and_is_used_up(service: Service, tab: Tab, alice: Person) -> None:
    App(alice).answer()
    codes = alice.post("/factors/recovery-codes")["codes"]
    page = tab.open(next(link for link in _to_second(tab, alice).links if "factor=" in link))
    assert "recovery codes" in page.html
    assert tab.send(page.form, code="0000-0000-0000-0000").alert == "This code is wrong, or too old."
    assert tab.send(page.form, code=codes[0].upper()).headers["Location"] == RETURN_TO
    other = Tab(service)
    page = other.open(next(link for link in _to_second(other, alice).links if "factor=" in link))
    assert other.send(page.form, code=codes[0]).status == 422


def test_a_security_key_is_asked_with_a_question_of_this_session(service: Service, tab: Tab, alice: Person) -> None:
    key = SecurityKey(alice)
    key.answer()
    page = _to_second(tab, alice)
    assert "<noscript>" in page.html
    options = json.loads(next(said["data-options"] for tag, said in page.tags if tag == "form"))
    wrong = tab.send(
        page.form,
        credential=json.dumps(Authenticator("https://app.example.com").__dict__ | {"private_key": 0}, default=str),
    )
    assert (wrong.status, wrong.alert) == (422, "This key could not be verified.")
    assert tab.send(page.form, credential="{").status == 400
    page = tab.open(LOG_IN.replace("login?", "login/second-factor?"))
    options = json.loads(next(said["data-options"] for tag, said in page.tags if tag == "form"))
    done = tab.send(page.form, credential=json.dumps(key.device.get(options)))
    assert (done.status, done.headers["Location"]) == (303, RETURN_TO) and tab.session_id()


def test_a_text_message_is_sent_on_a_button_and_its_code_counts(make_service: Make) -> None:
    service = make_service(test_codes="+4915112345678=123456")
    alice = service.member("alice")
    factor = alice.post("/factors", {"factor_type": "phone", "phone": "+4915112345678", "friendly_name": "mobile"})
    asked = alice.post(f"/factors/{factor['id']}/challenge")
    body = {"challenge_id": asked["id"], "code": "123456"}
    assert alice.keep(alice.post(f"/factors/{factor['id']}/verify", body)).status == 200
    service.rows("UPDATE users SET factor_texts_at = '{}'")
    tab = Tab(service)
    page = tab.send(_to_second(tab, alice).form)
    assert page.status == 200 and "text message" in page.html
    wrong = tab.send(page.form, code="000000")
    assert (wrong.status, wrong.alert) == (422, "This code is wrong, or too old.")
    assert tab.send(wrong.form, code="123456").headers["Location"] == RETURN_TO


def test_a_passkey_lets_in_with_both_factors_at_once(service: Service, tab: Tab, alice: Person) -> None:
    device = Authenticator("https://app.example.com")
    asked = alice.post("/passkeys/registration/options")
    body = {"challenge_id": asked["challenge_id"], "credential": device.create(asked["options"])}
    assert alice.post("/passkeys/registration/verify", body).status == 200
    form = _form(tab.open(LOG_IN), "/passkey")
    (options,) = [json.loads(said["data-options"]) for tag, said in tab.open(LOG_IN).tags if "data-options" in said]
    assert tab.send(form, credential=json.dumps(device.get(options))).alert == "This key could not be verified."
    page = tab.open(LOG_IN)
    (options,) = [json.loads(said["data-options"]) for tag, said in page.tags if "data-options" in said]
    good = json.dumps(device.get(options))
    done = tab.send(_form(page, "/passkey"), credential=good)
    assert (done.status, done.headers["Location"]) == (303, RETURN_TO) and tab.session_id()
    assert tab.send(_form(page, "/passkey"), credential=good).alert == (
        "The page was open for too long, or your browser keeps no cookies. Try again."
    )
    for broken in ("", "x", "[]", "{}", '{"a":' * 50, json.dumps({"rawId": 1}), "é" * 20_001):
        assert tab.send(_form(tab.open(LOG_IN), "/passkey"), credential=broken).status == 400


def test_who_owes_nothing_is_led_on_and_who_showed_nothing_is_led_back(
    service: Service, tab: Tab, alice: Person
) -> None:
    second = LOG_IN.replace("login?", "login/second-factor?")
    assert tab.open(second).headers["Location"] == LOG_IN
    tab.log_in(alice)
    assert tab.open(second).headers["Location"] == RETURN_TO


def test_whoever_waits_too_long_between_the_factors_begins_anew(service: Service, tab: Tab, alice: Person) -> None:
    app = App(alice)
    app.answer()
    app.wait(service)
    page = _to_second(tab, alice)
    service.rows("UPDATE sessions SET created_at = created_at - interval '16 minutes'")
    assert tab.send(page.form, code=app.code()).headers["Location"] == LOG_IN
    assert tab.session_id() is None


def test_a_banned_user_is_told_so(service: Service, tab: Tab, alice: Person) -> None:
    service.rows("UPDATE users SET banned_until = now() + interval '1 day'")
    page = tab.log_in(alice)
    assert (page.status, page.alert) == (400, "This account is blocked.")
    assert tab.session_id() is None
