"""Passkeys in a real browser, through the gateway: Chromium makes one, and logs in with nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.authenticator import decode
from tests.support.chromium import Failed, Page, chromium
from tests.support.platform import Platform
from tests.support.signed_up import SignedUp

CALL = """
async (path, body, token) => {
  const headers = {"Content-Type": "application/json", ...(token && {Authorization: `Bearer ${token}`})};
  const answer = await fetch(`/auth/v1${path}`, {method: "POST", headers, body: JSON.stringify(body)});
  return {status: answer.status, json: await answer.json()};
}
"""
CREATE = """
async (options) => {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  return (await navigator.credentials.create({publicKey})).toJSON();
}
"""
GET = """
async (options) => {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return (await navigator.credentials.get({publicKey})).toJSON();
}
"""


def call(page: Page, path: str, body: Any, token: str = "") -> Any:
    """Status and JSON of a POST that the page's script makes."""
    return page.run(CALL, path, body, token)


@pytest.fixture
def page(platform: Platform, tmp_path: Path) -> Iterator[Page]:
    """A page of the gateway's own host, in a browser that has an authenticator."""
    with chromium(tmp_path) as opened:
        opened.plug_in()
        opened.open(f"{platform.url('gateway').replace('127.0.0.1', 'localhost')}/auth/v1/health")
        yield opened


@pytest.fixture
def alice(platform: Platform) -> SignedUp:
    return SignedUp(platform)


def register(page: Page, token: str) -> Any:
    """Make a passkey in this browser, and have it kept."""
    asked = call(page, "/passkeys/registration/options", {}, token)
    assert asked["status"] == 200, asked
    body = {"challenge_id": asked["json"]["challenge_id"], "credential": page.run(CREATE, asked["json"]["options"])}
    return call(page, "/passkeys/registration/verify", body, token)


def _log_in(page: Page, **options: Any) -> Any:
    asked = call(page, "/passkeys/authentication/options", {})["json"]
    body = {"challenge_id": asked["challenge_id"], "credential": page.run(GET, asked["options"] | options)}
    return call(page, "/passkeys/authentication/verify", body)


def test_a_browser_makes_a_passkey_and_logs_in_with_nothing_else(page: Page, alice: SignedUp) -> None:
    made = register(page, alice.access_token)
    assert made["status"] == 200, made
    entered = _log_in(page)
    assert (entered["status"], entered["json"]["user"]["email"]) == (200, alice.email)
    payload = decode(entered["json"]["access_token"].split(".")[1])
    assert b'"aal":"aal2"' in payload and b'"passkey"' in payload
    assert _log_in(page)["status"] == 200, "the browser's counter moves on"
    with pytest.raises(Failed, match="InvalidStateError"):
        register(page, alice.access_token)  # the browser has one of this account already


def test_a_browser_that_did_not_verify_its_user_is_refused(page: Page, alice: SignedUp) -> None:
    assert register(page, alice.access_token)["status"] == 200
    page.is_user_verified(False)
    refused = _log_in(page, userVerification="discouraged")
    assert (refused["status"], refused["json"]["code"]) == (400, "webauthn_verification_failed")
    page.is_user_verified(True)
    assert _log_in(page)["status"] == 200


def test_a_page_of_another_host_gets_no_passkey(platform: Platform, page: Page, alice: SignedUp) -> None:
    register(page, alice.access_token)
    page.open(f"{platform.url('gateway')}/auth/v1/health")
    with pytest.raises(Failed, match="SecurityError"):
        _log_in(page)
