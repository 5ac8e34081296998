"""PROVIDERS: every wrong field is named at the start, and nothing that is secret is ever shown."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from services.auth.config import AuthSettings
from services.auth.external.provider import Provider, Tokens
from services.auth.external.settings import is_safe_address
from tests.auth.external.conftest import KEY_ID, P8_TEXT, TEAM

Settings = Callable[..., AuthSettings]
CORP = {"issuer": "https://login.example.com", "client_ids": ["app"]}


def test_apple_and_google_are_known_by_name(make_settings: Settings) -> None:
    given = {"apple": {"client_ids": ["com.example.app"]}, "google": {"client_ids": ["1", "2"]}, "corp": CORP}
    providers = make_settings(providers=json.dumps(given)).identity_providers
    assert providers["apple"].issuer == "https://appleid.apple.com"
    assert (providers["apple"].response_mode, providers["apple"].signing_key) == ("form_post", None)
    assert providers["google"].issuer == "https://accounts.google.com"
    assert Provider("corp", providers["corp"]).label == "Corp"


def test_without_the_setting_there_are_none(make_settings: Settings) -> None:
    assert make_settings().identity_providers == {}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"google": {}}, "google.client_ids: Field required"),
        ({"google": {"client_ids": []}}, "google.client_ids"),
        ({"google": {"client_ids": [""]}}, "google.client_ids.0"),
        ({"google": {"client_ids": "one"}}, "google.client_ids"),
        ({"corp": {"client_ids": ["x"]}}, "corp.issuer: Field required"),
        ({"corp": {**CORP, "issuer": "http://login.example.com"}}, "corp.issuer: must be an https address"),
        ({"corp": {**CORP, "issuer": "https://login.example.com/?a=b"}}, "corp.issuer"),
        ({"corp": {**CORP, "issuer": "https://me:hush-hush@login.example.com"}}, "corp.issuer"),
        ({"corp": {**CORP, "scopes": ["email"]}}, "corp.scopes: must hold openid"),
        ({"corp": {**CORP, "client_sekret": "hush-hush"}}, "corp.client_sekret"),
        ({"corp": {**CORP, "client_authentication": "tls"}}, "corp.client_authentication"),
        ({"corp": CORP, "other": CORP}, "two providers have the same issuer"),
        ({"email": CORP}, "none of this service's own"),
        ({"Corp/../": CORP}, "small letters"),
        ({"apple": {"client_ids": ["x"], "team_id": TEAM}}, "apple: team_id, key_id and private_key go together"),
        ({"apple": {"client_ids": ["x"], "team_id": TEAM, "key_id": KEY_ID, "private_key": "hush-hush"}}, ".p8 file"),
        ({"corp": "https://login.example.com"}, "corp: "),
        ([], "must be a JSON object"),
    ],
)
def test_a_mistake_is_named_and_no_value_is_shown(make_settings: Settings, given: Any, named: str) -> None:
    with pytest.raises(ValueError, match="1 validation error") as refused:
        make_settings(providers=json.dumps(given))
    assert named in str(refused.value) and "hush-hush" not in str(refused.value)


def test_what_is_no_json_is_not_shown_either(make_settings: Settings) -> None:
    with pytest.raises(ValueError, match="must be a JSON object") as refused:
        make_settings(providers='{"google": {"client_secret": "hush-hush"')
    assert "hush-hush" not in str(refused.value)


def test_secrets_do_not_show_in_any_repr(make_settings: Settings) -> None:
    apple = {"client_ids": ["x"], "team_id": TEAM, "key_id": KEY_ID, "private_key": P8_TEXT}
    given = {"apple": apple, "google": {"client_ids": ["x"], "client_secret": "hush-hush"}}
    settings = make_settings(providers=json.dumps(given))
    shown = repr(settings) + repr(settings.identity_providers) + repr(Tokens("hush-hush", "hush-hush", "hush-hush"))
    assert "hush-hush" not in shown and "BEGIN" not in shown


def test_joining_by_address_does_not_go_with_addresses_that_nobody_confirmed(make_settings: Settings) -> None:
    with pytest.raises(ValueError, match="LINK_VERIFIED_ADDRESSES"):
        make_settings(autoconfirm=True, link_verified_addresses=True)


@pytest.mark.parametrize(
    ("url", "loopback", "is_safe"),
    [
        ("https://a.example/x", False, True),
        ("https://a.example:8443/x?y=1", False, True),
        ("http://a.example/x", False, False),
        ("http://a.example/x", True, False),
        ("http://127.0.0.1:8080/x", True, True),
        ("http://localhost/x", True, True),
        ("http://127.0.0.1:8080/x", False, False),
        ("https://127.0.0.1/x", False, False),
        ("https://[::1]/x", False, False),
        ("https://localhost/x", False, False),
        ("https://user@a.example/x", False, False),
        ("https://a.example\\@b.example/x", False, False),
        ("https://a.example/x y", False, False),
        ("https://ä.example/", False, False),
        ("file:///etc/passwd", True, False),
        ("gopher://a.example/", True, False),
        ("https://", False, False),
        ("https://[", False, False),
    ],
)
def test_secrets_go_to_https_only_and_to_this_machine_only_from_this_machine(
    url: str, loopback: bool, is_safe: bool
) -> None:
    assert is_safe_address(url, loopback=loopback) is is_safe
