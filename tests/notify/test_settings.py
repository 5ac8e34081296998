"""Settings that cannot work are named before anything starts."""

from pathlib import Path
from typing import Any

import pytest

from services.notify import channels
from services.notify.config import APPLE_PRODUCTION, APPLE_SANDBOX, NotifySettings
from shared.settings import load

NEEDED: dict[str, Any] = {
    "DATABASE_URL": "postgresql://notify:pw@127.0.0.1:1/notify",
    "AMQP_URL": "amqp://notify:pw@127.0.0.1:1/",
    "ISSUER": "http://127.0.0.1/auth/v1",
    "JWKS_URL": "http://127.0.0.1/jwks.json",
}


def settings_with(**given: Any) -> NotifySettings:
    return NotifySettings(**{name.lower(): value for name, value in NEEDED.items()} | given)


KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({"DATABASE_URL": "mysql://x"}, ["DATABASE_URL"]),
        ({"FCM_SERVICE_ACCOUNT_FILE": "/nowhere.json"}, ["FCM_SERVICE_ACCOUNT_FILE"]),
        ({"FCM_BASE_URL": "ftp://example.com"}, ["FCM_BASE_URL"]),
        ({"APNS_URL": "api.push.apple.com"}, ["APNS_URL"]),
        ({"APNS_KEY_FILE": __file__}, ["APNS_KEY_ID", "APNS_TEAM_ID"]),
        ({"SMTP_HOST": "localhost"}, ["SMTP_FROM"]),
        ({"SMTP_FROM": "Gatehouse <a@example.com>"}, ["SMTP_FROM"]),
        (
            {
                "MAIL_TEMPLATES_DIR": "/nowhere",
                "MAIL_COLOR": "green;}",
                "MAIL_LOGO_URL": "http://x.example/a.png",
                "MAIL_APP_NAME": "a\nb",
                "MAIL_FOOTER": "a\nb",
                "MAIL_LOCALE": "../de",
            },
            ["MAIL_TEMPLATES_DIR", "MAIL_COLOR", "MAIL_LOGO_URL", "MAIL_APP_NAME", "MAIL_FOOTER", "MAIL_LOCALE"],
        ),
        ({"SMTP_USERNAME": "gatehouse"}, ["SMTP_PASSWORD"]),
        ({"PUSH_TRANSPORT": "pigeon", "SEND_BATCH": "0"}, ["PUSH_TRANSPORT", "SEND_BATCH"]),
        ({"MESSAGE_RETENTION_S": "86400"}, ["MESSAGE_RETENTION_S"]),
        ({"SEND_TIMEOUT_S": "20", "SEND_LEASE_S": "30"}, ["SEND_LEASE_S"]),
    ],
)
def test_a_wrong_setting_is_named(
    environment: dict[str, str],
    names: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**NEEDED, **environment}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as ended:
        load(NotifySettings)

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert all(name in said for name in names)


@pytest.mark.parametrize(
    ("channel", "settings"),
    [
        ("fcm", {"fcm_service_account_file": "FILE"}),
        ("apns", {"apns_key_file": "FILE", "apns_key_id": "ABCDE12345", "apns_team_id": "TEAM123456"}),
    ],
)
@pytest.mark.parametrize("content", ["", "not a key", "{}", KEY])
def test_a_file_that_is_no_key_is_named(channel: str, settings: dict[str, Any], content: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    given = {name: str(file) if value == "FILE" else value for name, value in settings.items()}
    made = settings_with(**given)

    with pytest.raises(SystemExit, match=r"^(FCM_SERVICE_ACCOUNT_FILE|APNS_KEY_FILE): the file cannot be used"):
        getattr(channels, channel)(made)


@pytest.mark.parametrize(
    ("settings", "sandbox"),
    [
        ({}, APPLE_SANDBOX),
        ({"apns_url": "https://127.0.0.1:8101"}, "https://127.0.0.1:8101"),
        ({"apns_url": "https://127.0.0.1:8101", "apns_sandbox_url": "https://127.0.0.1:9"}, "https://127.0.0.1:9"),
    ],
)
def test_sandbox_devices_never_leave_for_apple_beside_a_simulator(settings: dict[str, Any], sandbox: str) -> None:
    made = settings_with(**settings)

    assert made.apns_urls == {"production": settings.get("apns_url", APPLE_PRODUCTION), "sandbox": sandbox}
