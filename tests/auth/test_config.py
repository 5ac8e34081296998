"""Settings: every wrong name at once, no value shown."""

from base64 import b64encode
from collections.abc import Callable

import pytest

from services.auth.config import AuthSettings
from shared.settings import load

KEY = b64encode(bytes(range(32))).decode()


def test_every_mistake_is_named_at_once_and_no_value_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "DATABASE_URL": "postgresql://auth:hush-hush@127.0.0.1/auth",
        "SECRET_KEYS": "c2hvcnQ=",
        "PUBLIC_URL": "somewhere",
        "REDIRECT_URLS": "javascript:alert(1)",
        "PASSWORD_MIN_LENGTH": "1",
        "ISSUER": "https://app.example.com/auth/v1",
        "JWKS_URL": "https://app.example.com/jwks.json",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AMQP_URL", raising=False)
    with pytest.raises(SystemExit) as stopped:
        load(AuthSettings)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    for name in ("SECRET_KEYS", "PUBLIC_URL", "REDIRECT_URLS", "PASSWORD_MIN_LENGTH", "AMQP_URL"):
        assert name in said
    assert "hush-hush" not in said and "c2hvcnQ" not in said


def test_secrets_do_not_show_in_the_repr(make_settings: Callable[..., AuthSettings]) -> None:
    settings = make_settings(secret_keys=KEY, amqp_url="amqp://auth:hush-hush@127.0.0.1/%2F")
    assert KEY not in repr(settings) and "hush-hush" not in repr(settings)


@pytest.mark.parametrize(
    "value", ["", "x", KEY[:-4], f"{KEY},", f"{KEY},short", b64encode(bytes(16)).decode(), "\u00fc" * 44]
)
def test_a_key_is_32_bytes_in_base64(make_settings: Callable[..., AuthSettings], value: str) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        make_settings(secret_keys=value)


@pytest.mark.parametrize(
    "value",
    ["javascript:alert(1)", "data:text/html,x", "relative/path", "https://ok.example, JavaScript:x", " vbscript:x"],
)
def test_people_are_led_only_to_places(make_settings: Callable[..., AuthSettings], value: str) -> None:
    with pytest.raises(ValueError, match="not a place"):
        make_settings(redirect_urls=value)


@pytest.mark.parametrize(
    ("changes", "origins"),
    [
        ({}, ["https://app.example.com"]),
        ({"public_url": "https://api.example.com:8443"}, ["https://api.example.com", "https://api.example.com:8443"]),
        ({"public_url": "http://192.168.1.5:8080"}, ["https://192.168.1.5"]),
        ({"webauthn_rp_id": "example.com"}, ["https://example.com", "https://app.example.com"]),
        (
            {"webauthn_rp_id": "localhost", "webauthn_origins": "http://localhost:8080"},
            ["https://localhost", "http://localhost:8080"],
        ),
        (
            {"webauthn_origins": "android:apk-key-hash:" + "A" * 43 + " , https://a.app.example.com:444"},
            ["https://app.example.com", "android:apk-key-hash:" + "A" * 43, "https://a.app.example.com:444"],
        ),
    ],
)
def test_passkeys_are_asked_for_by_pages_of_their_domain_and_by_apps(
    make_settings: Callable[..., AuthSettings], changes: dict[str, str], origins: list[str]
) -> None:
    assert list(make_settings(**changes).relying_party.origins) == origins


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.test",
        "https://app.example.com.evil.test",
        "https://evilapp.example.com",
        "https://example.com",
        "http://app.example.com",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://evil.test@app.example.com",
        "android:apk-key-hash:AAAA",
        "android:apk-key-hash:" + "A" * 43 + "=",
        "app.example.com",
        "null",
        "*",
    ],
)
def test_no_other_page_may_ask_for_passkeys(make_settings: Callable[..., AuthSettings], origin: str) -> None:
    with pytest.raises(ValueError, match="WEBAUTHN_ORIGINS"):
        make_settings(webauthn_origins=origin)
