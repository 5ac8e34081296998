"""The log-in page in a real browser, through the gateway: by keyboard alone, without script, and with a passkey."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_passkeys import CREATE, call, register
from tests.support.chromium import Page, chromium
from tests.support.oauth_app import OAuthApp, oauth_app
from tests.support.platform import Platform
from tests.support.signed_up import PASSWORD, SignedUp


@pytest.fixture(scope="module")
def app(platform: Platform) -> Iterator[OAuthApp]:
    with oauth_app(platform) as registered:
        yield registered


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def alice(platform: Platform) -> SignedUp:
    return SignedUp(platform)


def test_a_person_logs_in_and_agrees_by_keyboard_without_any_script(
    browser: Page, app: OAuthApp, alice: SignedUp
) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    browser.command("Emulation.setDeviceMetricsOverride", width=320, height=640, deviceScaleFactor=2, mobile=True)
    browser.open(app.request)
    assert browser.until("document.title") == "Log in"
    assert browser.until("document.documentElement.scrollWidth") == 320, "nothing to scroll sideways for"
    assert not browser.command("Runtime.evaluate", expression="!document.querySelector('[data-options]').hidden")[
        "result"
    ]["value"], "passkeys need the script, so there is no button"
    browser.type(alice.email)
    browser.press("Tab")
    browser.type("wrong wrong wrong")
    browser.press("Enter")
    assert browser.until("document.querySelector('[role=alert]')?.textContent") == "Address or password is wrong."
    assert browser.until("document.activeElement.name") == "password"
    browser.type(PASSWORD)
    browser.press("Enter")
    assert "Photo Prints" in browser.until("document.querySelector('[name=decision]') && document.title")
    assert alice.email in browser.until("document.body.textContent")
    assert browser.until("document.documentElement.scrollWidth") == 320
    browser.press("Tab")
    browser.press("Enter")
    assert app.userinfo()["email"] == alice.email
    devices = alice.call("GET", "/auth/v1/sessions")["items"]
    assert any(item["amr"][0]["method"] == "password" for item in devices), "the browser is one of her sessions"


def test_a_passkey_on_the_page_is_enough(browser: Page, app: OAuthApp, alice: SignedUp) -> None:
    browser.plug_in()
    browser.open(f"{app.url}/auth/v1/health")
    assert register(browser, alice.access_token)["status"] == 200
    browser.open(app.request)
    browser.click("form[data-ready] button")
    browser.click("[value=allow]")
    assert app.userinfo()["email"] == alice.email


def test_a_security_key_is_the_second_step(browser: Page, app: OAuthApp, platform: Platform) -> None:
    bob = SignedUp(platform)
    browser.plug_in()
    browser.open(f"{app.url}/auth/v1/health")
    _enrol_key(browser, bob.access_token)
    browser.open(app.request)
    browser.type(bob.email)
    browser.press("Tab")
    browser.type(PASSWORD)
    browser.press("Enter")
    browser.until("location.pathname == '/auth/oauth/login/second-factor'")
    browser.click("form[data-ready] button")
    browser.click("[value=allow]")
    assert app.userinfo()["email"] == bob.email


def _enrol_key(page: Page, token: str) -> None:
    factor = call(page, "/factors", {"factor_type": "webauthn", "friendly_name": "key"}, token)["json"]
    path = f"/factors/{factor['id']}"
    asked = call(page, f"{path}/challenge", {}, token)["json"]
    made = page.run(CREATE, asked["webauthn"]["credential_options"]["publicKey"])
    body = {"challenge_id": asked["id"], "webauthn": {"type": "create", "credential_response": made}}
    assert call(page, f"{path}/verify", body, token)["status"] == 200
