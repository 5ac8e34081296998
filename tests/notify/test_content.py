"""Templates: the reader's language, nothing a parameter holds is markup, a header or code."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.notify import content
from services.notify.providers.mail import compose
from services.notify.store import Claimed
from shared.ids import new_id


def claimed(template: str, **fields: Any) -> Claimed:
    now = datetime.now(UTC)
    delivery = Claimed(
        id=new_id(),
        message_id=new_id(),
        channel="email",
        target="alice@example.com",
        device_id=None,
        attempt=1,
        created_at=now,
        claimed_at=now,
        expires_at=now,
        is_expired=False,
        template=template,
        params={},
        title="Hello",
        body="A message",
        data={},
        priority="high",
        collapse_key=None,
        locale=None,
        display_name=None,
        token=None,
        app_id=None,
        environment=None,
    )
    return replace(delivery, **fields)


TEMPLATES = sorted(path.name for path in (content.FOLDER / "en").iterdir())
PARAMS = {
    "name": "Zoë",
    "link": "https://example.com/?a=1&b=2",
    "code": "123456",
    "email": "a@old.example",
    "new_email": "a@new.example",
}
ALERT = {"factor_type": "totp", "device": "Pixel 9", "ip": "192.0.2.1", "remaining": "9", "provider": "Bitwarden"}


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_a_whole_mail(template: str) -> None:
    mail = content.mail(claimed(template, params=PARAMS | ALERT))

    assert mail.subject and "\n" not in mail.subject
    assert mail.text.strip() and "<" not in mail.text
    assert "width=device-width" in mail.html and "<title>" in mail.html
    assert max(len(line) for line in compose(mail, "a@example.com", "Gatehouse").as_string().splitlines()) <= 998


@pytest.mark.parametrize("kind", ["totp", "webauthn", "phone", "recovery_code"])
@pytest.mark.parametrize("template", ["factor_added", "factor_removed"])
def test_a_mail_about_a_factor_says_which_and_from_where(template: str, kind: str) -> None:
    words = {"totp": "authenticator app", "webauthn": "security key", "phone": "phone number"}
    mail = content.mail(claimed(template, params=PARAMS | ALERT | {"factor_type": kind}))
    for text in (mail.text, mail.html):
        said = " ".join(text.split())
        assert words.get(kind, "recovery codes") in said
        assert "Pixel 9, from 192.0.2.1" in said


@pytest.mark.parametrize(
    ("wanted", "folders"),
    [
        (None, ["en"]),
        ("pt_BR", ["pt-BR", "pt", "en"]),
        ("PT", ["PT", "pt", "en"]),
        ("en-GB", ["en-GB", "en"]),
        ("../../etc", ["en"]),
        ("*", ["en"]),
        ("", ["en"]),
    ],
)
def test_a_locale_falls_back_to_its_language_and_then_to_english(wanted: str | None, folders: list[str]) -> None:
    assert content.locales(wanted) == folders
    assert content.mail(claimed("welcome", locale=wanted)).subject == "Welcome"


def test_parameters_are_filled_in_and_never_run() -> None:
    nasty = "{{ 7 * 7 }}{% raw %}<script>alert(1)</script>"

    mail = content.mail(claimed("message", title=nasty, body=nasty))

    assert nasty in mail.text
    assert "49" not in mail.subject
    assert "<script>" not in mail.html and "&lt;script&gt;" in mail.html


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\u2028", "\x0b", "\x85"])
def test_no_parameter_starts_a_header(line_break: str) -> None:
    title = f"Hello{line_break}Bcc: all@example.com"

    mail = content.mail(claimed("message", title=title))
    source = compose(mail, "no-reply@example.com", "Gatehouse").as_bytes()

    head = source.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")]
    assert b"bcc" not in names
    assert names.count(b"subject") == 1


def test_an_international_address_is_a_mail_too() -> None:
    mail = content.mail(claimed("welcome", target="zoë@exämple.com"))

    assert "zoë@exämple.com".encode() in compose(mail, "no-reply@example.com", "Gatehouse").as_bytes()
