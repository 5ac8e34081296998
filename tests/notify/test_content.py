"""Templates: the reader's language, nothing a parameter holds is markup, a header or code."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.notify.content import Writer
from services.notify.mail_settings import MailSettings
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
        locales=[],
        display_name=None,
        token=None,
        app_id=None,
        environment=None,
    )
    return replace(delivery, **fields)


WRITER = Writer.of(MailSettings())
PARAMS = {"name": "Zoë", "factor_type": "totp", "device": "Pixel 9", "ip": "192.0.2.1"}


@pytest.mark.parametrize("kind", ["totp", "webauthn", "phone", "recovery_code"])
@pytest.mark.parametrize("template", ["factor_added", "factor_removed"])
def test_a_mail_about_a_factor_says_which_and_from_where(template: str, kind: str) -> None:
    words = {"totp": "authenticator app", "webauthn": "security key", "phone": "phone number"}
    mail = WRITER.mail(claimed(template, params=PARAMS | {"factor_type": kind}))
    for text in (mail.text, mail.html):
        assert words.get(kind, "recovery codes") in text
        assert "Pixel 9, from 192.0.2.1" in text


def test_parameters_are_filled_in_and_never_run() -> None:
    nasty = "{{ 7 * 7 }}{% raw %}{name}<script>alert(1)</script>"

    mail = WRITER.mail(claimed("message", title=nasty, body=nasty))

    assert nasty in mail.text
    assert "49" not in mail.subject
    assert "<script>" not in mail.html and "{name}&lt;script&gt;" in mail.html


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\u2028", "\x0b", "\x85"])
def test_no_parameter_starts_a_header(line_break: str) -> None:
    title = f"Hello{line_break}Bcc: all@example.com"

    mail = WRITER.mail(claimed("message", title=title))
    source = compose(mail, "no-reply@example.com", "Gatehouse").as_bytes()

    head = source.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")]
    assert b"bcc" not in names
    assert names.count(b"subject") == 1


def test_an_international_address_is_a_mail_too() -> None:
    mail = WRITER.mail(claimed("welcome", target="zoë@exämple.com"))

    assert "zoë@exämple.com".encode() in compose(mail, "no-reply@example.com", "Gatehouse").as_bytes()
