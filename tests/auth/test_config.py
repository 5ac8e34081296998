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
