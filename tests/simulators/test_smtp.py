"""SMTP through the standard library's client."""

import smtplib
import socket
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from deploy.local.simulators import Credentials


@pytest.fixture
def smtp(credentials: Credentials) -> Iterator[smtplib.SMTP]:
    client = smtplib.SMTP(credentials.host, credentials.ports.smtp, timeout=10)
    yield client
    client.close()


def letter(to: str = "alice@example.com") -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = "Grüße – confirm"
    message["From"] = "Gatehouse <no-reply@gatehouse.example>"
    message["To"] = to
    message["Message-ID"] = "<1@gatehouse.example>"
    message["Date"] = "Sun, 22 Nov 2026 11:00:00 +0000"
    message.set_content("Hello Alïce\nhttps://example.com/verify?token=1")
    message.add_alternative("<p>Hello <b>Alïce</b></p>", subtype="html")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="terms.pdf")
    return message


def test_a_mail_arrives_with_its_parts_decoded(simulators, smtp):
    smtp.send_message(letter())
    (message,) = simulators.wait_for(channel="smtp", to="Alice@example.com")
    mail = message["mail"]
    assert (mail["subject"], mail["message_id"]) == ("Grüße – confirm", "<1@gatehouse.example>")
    assert mail["text"].splitlines() == ["Hello Alïce", "https://example.com/verify?token=1"]
    assert mail["html"].strip() == "<p>Hello <b>Alïce</b></p>"
    assert mail["attachments"] == [{"name": "terms.pdf", "content_type": "application/pdf"}]
    assert message["headers"]["from"] == "Gatehouse <no-reply@gatehouse.example>"
    assert message["headers"]["message-id"] == message["key"] == "<1@gatehouse.example>"
    assert message["body"].startswith("Subject: =?utf-8?")
    assert message["warnings"] == []


def test_starttls_is_trusted_by_the_authority_and_a_login_works(simulators, credentials, smtp):
    smtp.starttls(context=ssl.create_default_context(cafile=str(credentials.ca_file)))
    smtp.login("sender", "any password")
    smtp.send_message(letter())
    assert len(simulators.messages(channel="smtp")) == 1


def test_a_wrong_password_is_refused(smtp):
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        smtp.login("sender", "wrong")
    assert refused.value.smtp_code == 535


@pytest.mark.parametrize(
    ("address", "code"),
    [("bob@nowhere.invalid", 550), ("bob@intranet", 550), ("bob", 553), ("bob@-", 550), ("a b@example.com", 553)],
)
def test_an_address_that_cannot_exist_is_refused(simulators, smtp, address, code):
    smtp.helo()
    smtp.mail("no-reply@gatehouse.example")
    answer, text = smtp.rcpt(address) if " " not in address else smtp.docmd("RCPT", f'TO:<"{address}">')
    assert (answer, bool(text)) == (code, True)
    assert simulators.messages() == []


def test_a_bounce_is_for_one_mailbox_and_stays(simulators, smtp):
    simulators.fault("smtp", "bounce", match="gone@*")
    refused = smtp.sendmail("a@example.org", ["gone@example.com", "here@example.com"], letter().as_bytes(policy=SMTP))
    assert refused == {"gone@example.com": (550, b"5.1.1 Mailbox does not exist")}
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        smtp.sendmail("a@example.org", ["gone@example.net"], letter().as_bytes(policy=SMTP))
    assert [message["to"] for message in simulators.messages()] == ["here@example.com"]
    assert {message["status"] for message in simulators.messages(outcome="refused")} == {550}


def test_a_temporary_failure_passes(simulators, smtp):
    simulators.fault("smtp", "status", status=451, count=1)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        smtp.send_message(letter())
    assert refused.value.recipients["alice@example.com"][0] == 451
    smtp.send_message(letter())
    assert len(simulators.messages()) == 1


def test_a_reset_before_or_after_the_mail_was_taken(simulators, credentials):
    for is_accepted in (False, True):
        simulators.forget()
        simulators.fault("smtp", "reset", count=1, after_accept=is_accepted)
        client = smtplib.SMTP(credentials.host, credentials.ports.smtp, timeout=10)
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
            client.send_message(letter())
        client.close()
        assert len(simulators.messages()) == is_accepted


def test_the_same_message_id_twice_is_counted_as_repeated(simulators, smtp):
    smtp.send_message(letter())
    smtp.send_message(letter())
    smtp.send_message(letter("bob@example.com"))
    (repeated,) = simulators.stats()["repeated"]
    assert repeated == {"channel": "smtp", "to": "alice@example.com", "key": "<1@gatehouse.example>", "count": 2}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no headers at all",
        b"Subject: \xff\xfe\r\nFrom: =?broken?=\r\nTo: <<<>>>;,\r\nMessage-ID: <[\r\n\r\n\x00\xff",
        b'Content-Type: text/plain; charset="no-such"\r\n\r\nhello \xe9',
        b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<b>',
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
    ],
)
def test_a_malformed_mail_is_kept_as_far_as_it_can_be_read(simulators, smtp, raw):
    smtp.sendmail("a@example.org", ["alice@example.com"], raw)
    (message,) = simulators.messages()
    assert message["mail"]["envelope_from"] == "a@example.org"
    assert message["warnings"]


def test_a_mail_that_is_too_large_is_refused(smtp):
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        smtp.sendmail("a@example.org", ["alice@example.com"], b"x" * (10 * 1024 * 1024 + 1))
    assert refused.value.smtp_code == 552


def test_a_client_that_goes_away_leaves_no_message(simulators, credentials):
    with socket.create_connection((credentials.host, credentials.ports.smtp), timeout=10) as raw:
        raw.sendall(b"HELO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: half")
    assert simulators.messages() == []
