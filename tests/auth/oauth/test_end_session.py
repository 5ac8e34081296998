"""Logging out because an app asks for it: at once if it can name whom, else on a button; to registered places only."""

from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.auth.tokens import signed_jwt
from tests.auth.browsers import ORIGIN, Page, Tab
from tests.auth.conftest import Person, Service, claims_of
from tests.auth.oauth.apps import App, browser_of, parameters, place_of, register

BYE = "https://app.test/bye"
API = "https://app.example.com"


def _ask(tab: Tab, **asked: str) -> Page:
    return tab.open(f"/auth/oauth/logout?{urlencode(asked)}")


@pytest.fixture
def browser(alice: Person) -> Tab:
    return browser_of(alice)


def test_who_shows_an_id_token_of_the_person_logs_out_at_once_and_is_led_back(app: App, browser: Tab) -> None:
    hint = app.tokens(browser)["id_token"]
    answer = _ask(browser, id_token_hint=hint, post_logout_redirect_uri=BYE, state="s&x", client_id=app.client_id)
    assert (answer.status, place_of(answer), parameters(answer)) == (303, BYE, {"state": "s&x"})
    assert browser.session_id() is None and not browser.cookie


def test_an_old_id_token_is_good_enough(service: Service, app: App, browser: Tab) -> None:
    """RP-Initiated Logout 1.0, section 2: also when it has expired."""
    claims = {**claims_of(app.tokens(browser)["id_token"]), "exp": 1, "iat": 0}
    hint = signed_jwt(service.parts.keys.signing_key(), claims)
    assert place_of(_ask(browser, id_token_hint=hint, post_logout_redirect_uri=BYE)) == BYE
    assert browser.session_id() is None


def test_an_id_token_whose_key_is_gone_asks_and_leads_nowhere(service: Service, app: App, browser: Tab) -> None:
    """Keys are rotated, and websites keep the ID token of the log-in: their people can still log out."""
    claims = claims_of(app.tokens(browser)["id_token"])
    gone = jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": "of last year"})
    page = _ask(browser, id_token_hint=gone, post_logout_redirect_uri=BYE)
    assert page.status == 200 and browser.session_id() is not None
    answer = browser.send(page.form)
    assert answer.status == 200 and "Location" not in answer.headers
    assert browser.session_id() is None


@pytest.mark.parametrize(
    "place",
    ["https://evil.test/", f"{BYE}/", f"{BYE}?x", "//app.test/bye", "https://app.test/back", "javascript:x", "x"],
)
def test_nobody_is_led_to_a_place_that_is_not_registered_for_it(app: App, browser: Tab, place: str) -> None:
    hint = app.tokens(browser)["id_token"]
    answer = _ask(browser, id_token_hint=hint, post_logout_redirect_uri=place)
    assert answer.status == 200 and "Location" not in answer.headers
    assert browser.session_id() is None


def test_without_an_id_token_of_the_person_the_person_is_asked(
    service: Service, mallory: Person, app: App, browser: Tab
) -> None:
    """A stranger's page cannot log somebody out, nor lead them on."""
    hers = app.tokens(browser_of(mallory))["id_token"]
    for asked in ({}, {"client_id": app.client_id, "post_logout_redirect_uri": BYE}, {"id_token_hint": hers}):
        page = _ask(browser, **asked)
        assert page.status == 200 and page.form.action == "/auth/oauth/logout"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert browser.session_id() is not None
    for typed, headers in (
        ({"form_token": "x"}, {}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Origin": "https://evil.test", "Sec-Fetch-Site": ""}),
    ):
        page = browser.client.post(
            "/auth/oauth/logout", base_url=ORIGIN, data={**_ask(browser).form.fields, **typed},
            headers={"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin", **headers},
        )  # fmt: skip
        assert page.status_code == 403 and browser.session_id() is not None
    bare = browser.client.post("/auth/oauth/logout", base_url=ORIGIN, headers={"Origin": "https://evil.test"})
    assert bare.status_code == 200 and browser.session_id() is not None, "an app's own form: the person is asked"
    page = browser.send(_ask(browser, client_id=app.client_id, post_logout_redirect_uri=BYE).form)
    assert page.status == 200 and "Location" not in page.headers and browser.session_id() is None


def test_what_is_no_id_token_of_ours_ends_on_a_page(service: Service, alice: Person, app: App, browser: Tab) -> None:
    tokens = app.tokens(browser)
    hint, key = tokens["id_token"], service.parts.keys.signing_key()
    wrong = [
        "x", "a.b.c", hint[:-4], tokens["access_token"], tokens["refresh_token"], alice.session["access_token"],
        signed_jwt(key, {**claims_of(hint), "iss": "https://evil.test"}),
    ]  # fmt: skip
    for one in wrong:
        page = _ask(browser, id_token_hint=one, post_logout_redirect_uri=BYE)
        assert page.status == 400 and "Location" not in page.headers, one
    assert _ask(browser, id_token_hint=hint, client_id=register(service).client_id).status == 400
    assert browser.session_id() is not None


def test_an_app_of_the_house_logs_out_of_its_own_session_too(service: Service, own_app: App, browser: Tab) -> None:
    tokens = own_app.tokens(browser, resource=API)
    other = own_app.tokens(browser, resource=API)
    assert place_of(_ask(browser, id_token_hint=tokens["id_token"], post_logout_redirect_uri=BYE)) == BYE
    headers = [{"Authorization": f"Bearer {one['access_token']}"} for one in (tokens, other)]
    assert [service.get("/user", one).status for one in headers] == [401, 200]
    assert own_app.refresh(tokens["refresh_token"])["error"] == "invalid_grant"


def test_who_is_not_logged_in_is_told_so_and_led_back(service: Service, app: App, browser: Tab) -> None:
    hint = app.tokens(browser)["id_token"]
    assert place_of(_ask(Tab(service), id_token_hint=hint, post_logout_redirect_uri=BYE)) == BYE
    assert _ask(Tab(service)).status == 200
    assert browser.session_id() is not None, "that was another browser"
