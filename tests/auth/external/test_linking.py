"""GET /user/identities/authorize: another account for who is logged in, through the browser, and nobody else's."""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.auth.conftest import Person, Reply, claims_of, fragment_of, query_of
from tests.auth.external.conftest import APP, PLACE, Browser, World, Worlds
from tests.auth.test_pkce import App

BOB = {"sub": "007", "email": "bob@elsewhere.example", "email_verified": True, "name": "Bob"}


@pytest.fixture
def world(make_world: Worlds) -> World:
    world = make_world(guests=True)
    for realm in world.realms.values():
        realm.person = dict(BOB)
    return world


@pytest.fixture
def alice(world: World) -> Person:
    return world.service.member("alice")


@pytest.fixture
def app(world: World) -> App:
    return App(world.service)


def _begin(person: Person, **query: str) -> str:
    """The address that the app gets, and opens in a browser."""
    named = {"provider": "google", "redirect_to": PLACE, "skip_http_redirect": "true", **query}
    reply = person.get(f"/user/identities/authorize?{urlencode(named)}")
    assert reply.status == 200, reply.text
    return str(reply["url"])


def _agree(browser: Browser, url: str) -> str:
    """The page that asks; the provider's address behind its button."""
    page = browser.open(url)
    assert page.status == 200 and "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    return page.text.split('class="button" href="')[1].split('"')[0].replace("&amp;", "&")


def _linked(person: Person) -> list[str]:
    return [identity["provider"] for identity in person.get("/user")["identities"]]


def test_with_a_challenge_the_account_is_linked_when_the_app_comes_with_the_code(
    world: World, browser: Browser, alice: Person, app: App
) -> None:
    address = browser.open(_begin(alice, **app.challenge)).headers["Location"]
    reply = browser.come_back(address)
    assert _linked(alice) == ["email"], "not before"
    answer = app.exchange(query_of(reply)["code"])
    assert answer.status == 200 and answer["provider_token"]
    assert claims_of(answer["access_token"])["sid"] == alice.session_id, "the session goes on"
    assert _linked(alice) == ["email", "google"]
    assert world.come("google", "bob@elsewhere.example", sub="007")["user"]["id"] == alice.user_id


def test_without_one_the_person_is_asked_first(browser: Browser, alice: Person) -> None:
    url = _begin(alice)
    page = browser.open(url)
    assert "alice@example.com" in page.text and "Google" in page.text and "close this window" in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    reply = browser.come_back(_agree(browser, url))
    assert claims_of(fragment_of(reply)["access_token"])["sid"] == alice.session_id
    assert _linked(alice) == ["email", "google"]


def test_an_address_that_somebody_sends_links_nothing_of_who_opens_it(world: World, browser: Browser, app: App) -> None:
    """Mallory begins, and has Alice come back: the code lies in Alice's browser, and Mallory has the verifier only."""
    mallory = world.service.member("mallory")
    reply = browser.come_back(browser.open(_begin(mallory, **app.challenge)).headers["Location"])
    assert query_of(reply)["code"], "it is in the browser of who opened it"
    assert _linked(mallory) == ["email"]
    assert app.exchange("guessed").code == "flow_state_not_found"


def test_only_the_first_browser_that_opens_it_goes_on(world: World, browser: Browser, alice: Person, app: App) -> None:
    url = _begin(alice, **app.challenge)
    address = browser.open(url).headers["Location"]
    assert browser.open(url).status == 302, "the same browser may, again"
    other = Browser(world).open(url)
    assert other.status == 400 and "text/html" in other.headers["Content-Type"]
    reply = Browser(world).come_back(address)
    assert query_of(reply)["error_code"] == "bad_oauth_state"
    assert query_of(browser.come_back(address))["code"]


def test_without_a_browser_the_state_is_worth_nothing(world: World, alice: Person) -> None:
    state = parse_qs(urlsplit(_begin(alice)).query)["flow"][0]
    browser = Browser(world)
    browser.leave({"provider": "google", "redirect_to": PLACE})
    assert query_of(browser.open(f"/auth/v1/callback?state={state}&code=x"))["error_code"] == "bad_oauth_state"


@pytest.mark.parametrize("with_challenge", [True, False])
def test_the_session_that_asked_must_be_alive_to_the_end(
    browser: Browser, alice: Person, app: App, with_challenge: bool
) -> None:
    url = _begin(alice, **(app.challenge if with_challenge else {}))
    address = browser.open(url).headers["Location"] if with_challenge else _agree(browser, url)
    alice.post("/logout?scope=local")
    reply = browser.come_back(address)
    assert query_of(reply)["error_code"] == "session_not_found"
    assert "session_not_found" not in browser.open(url).text and browser.open(url).status == 400


def test_a_session_that_ends_before_the_code_is_exchanged_links_nothing(
    world: World, browser: Browser, alice: Person, app: App
) -> None:
    reply = browser.come_back(browser.open(_begin(alice, **app.challenge)).headers["Location"])
    alice.post("/logout?scope=local")
    assert app.exchange(query_of(reply)["code"]).code == "session_not_found"
    assert world.service.rows("SELECT 1 FROM identities") == []


def test_an_account_that_lets_in_somebody_already_is_refused_on_the_way_back(
    world: World, browser: Browser, alice: Person, app: App
) -> None:
    owner = world.come("google", "bob@elsewhere.example", sub="007")
    for more in ({}, app.challenge):
        url = _begin(alice, **more)
        address = browser.open(url).headers["Location"] if more else _agree(browser, url)
        said = query_of(browser.come_back(address))
        assert said["error_code"] == "identity_already_exists"
        assert said["error_description"] == "Identity is already linked to another user"
    assert world.come("google", "bob@elsewhere.example", sub="007")["user"]["id"] == owner["user"]["id"]


def test_a_guest_becomes_an_account_with_the_same_id(world: World, browser: Browser, app: App) -> None:
    guest = world.service.guest("bob")
    reply = browser.come_back(browser.open(_begin(guest, **app.challenge)).headers["Location"])
    answer = app.exchange(query_of(reply)["code"])
    assert (answer["user"]["id"], answer["user"]["is_anonymous"]) == (guest.user_id, False)
    assert answer["user"]["email"] == "bob@elsewhere.example"
    assert world.service.events("user.updated")[-1].subject == guest.user_id
    page = Browser(world).open(_begin(world.service.guest("another")))
    assert "the app that you come from" in page.text


def test_without_skip_http_redirect_it_is_a_redirect(alice: Person) -> None:
    reply = alice.get(f"/user/identities/authorize?provider=google&redirect_to={PLACE}")
    assert reply.status == 302 and "/auth/v1/authorize?flow=" in reply.headers["Location"]


def test_what_more_was_asked_for_reaches_the_provider(browser: Browser, alice: Person, app: App) -> None:
    url = _begin(alice, **app.challenge, scopes="calendar", prompt="consent", redirect_uri="https://evil.test")
    asked = parse_qs(urlsplit(browser.open(url).headers["Location"]).query)
    assert asked["scope"] == ["openid email profile calendar"] and asked["prompt"] == ["consent"]
    assert asked["redirect_uri"] == ["https://app.example.com/auth/v1/callback"]


def test_who_has_a_second_factor_shows_it_first(world: World, alice: Person) -> None:
    world.service.rows(
        "INSERT INTO factors (id, user_id, kind, name) VALUES (gen_random_uuid(), %(id)s, 'totp', 'app')",
        id=alice.user_id,
    )
    reply = alice.get(f"/user/identities/authorize?provider=google&redirect_to={PLACE}&skip_http_redirect=true")
    assert (reply.status, reply.code) == (403, "insufficient_aal")


def test_apples_refresh_token_is_kept_when_it_is_linked(
    world: World, browser: Browser, alice: Person, app: App
) -> None:
    world["apple"].refresh_token = "refresh-of-apple"
    reply = browser.come_back(browser.open(_begin(alice, provider="apple", **app.challenge)).headers["Location"])
    assert world.service.rows("SELECT 1 FROM provider_tokens") == []
    assert app.exchange(query_of(reply)["code"]).status == 200
    assert len(world.service.rows("SELECT 1 FROM provider_tokens WHERE identity_id IS NOT NULL")) == 1


def test_the_owner_is_told_by_mail_and_the_log_notes_it(world: World, alice: Person) -> None:
    token = world["google"].token(APP, **BOB)
    assert world.log_in("google", token, alice.headers, link_identity=True).status == 200
    linked = world.service.mails_to(alice.email)[-1]
    assert (linked["template"], linked["params"]["provider"]) == ("identity_linked", "google")
    identity = alice.get("/user")["identities"][1]["identity_id"]
    assert alice.delete(f"/user/identities/{identity}").status == 200
    gone = world.service.mails_to(alice.email)[-1]
    assert (gone["template"], gone["params"]["provider"]) == ("identity_unlinked", "google")
    noted = [deed for deed in world.service.deeds(alice) if deed[0].startswith("identity.")]
    assert noted == [("identity.linked", alice.user_id), ("identity.unlinked", alice.user_id)]


RETURN_TO = "/auth/oauth/authorize?client_id=app&redirect_uri=com.example.app%3A%2F%2Fback"


def _page_log_in(world: World, browser: Browser, provider: str) -> Reply:
    page = browser.open(f"/auth/oauth/login?{urlencode({'return_to': RETURN_TO})}")
    assert page.status == 200
    for label in ("Google", "Apple", "Corp"):
        assert f"Log in with {label}" in page.text
    way = next(part for part in page.text.split('href="') if part.startswith(f"/auth/v1/authorize?provider={provider}"))
    return browser.come_back(browser.open(way.split('"')[0].replace("&amp;", "&")).headers["Location"])


@pytest.mark.parametrize("provider", ["google", "apple"])
def test_the_log_in_page_lets_the_browser_in_and_leads_back(world: World, browser: Browser, provider: str) -> None:
    reply = _page_log_in(world, browser, provider)
    assert (reply.status, reply.headers["Location"]) == (303, RETURN_TO)
    assert browser.client.get_cookie("__Host-gatehouse", domain="app.example.com", path="/") is not None
    (row,) = world.service.rows("SELECT amr FROM sessions JOIN browsers ON session_id = sessions.id")
    assert (row["amr"][0]["method"], row["amr"][0]["provider"]) == ("oauth", provider)


def test_the_log_in_page_says_why_a_provider_did_not_let_in(world: World, browser: Browser) -> None:
    world["google"].person["email_verified"] = False
    reply = _page_log_in(world, browser, "google")
    assert reply.status == 422 and "text/html" in reply.headers["Content-Type"]
    assert "Log in with Google" in reply.text, "and asks once more"


@pytest.mark.parametrize("return_to", ["https://evil.test", "//evil.test", "/auth/v1/user", "/auth/oauth/authorize\\x"])
def test_nobody_is_led_to_another_page(browser: Browser, return_to: Any) -> None:
    reply = browser.open(f"/auth/v1/authorize?{urlencode({'provider': 'google', 'return_to': return_to})}")
    assert (reply.status, reply.code) == (400, "bad_return_to")


def test_who_acts_for_somebody_links_nothing(world: World, alice: Person) -> None:
    root = world.service.administrator("root")
    acting = root.administer("POST", f"/{alice.user_id}/impersonate", {"reason": "They asked for help."})
    headers = {"Authorization": f"Bearer {acting['access_token']}"}
    token = world["google"].token(APP, **BOB)
    assert world.log_in("google", token, headers, link_identity=True).code == "impersonated"
    assert world.service.get("/user/identities/authorize?provider=google", headers).code == "impersonated"
