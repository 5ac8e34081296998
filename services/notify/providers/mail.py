"""Mail by SMTP (RFC 5321): one session for a batch, each stage told apart, since only the last leaves a doubt."""

import re
import smtplib
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from pathlib import Path

from services.notify.providers import Mail, Outcome, Result
from services.notify.providers.session import TimedSession

ADDRESS = re.compile(r"[^\s@<>()\[\]\\,;:\"]{1,64}@[^\s@<>()\[\]\\,;:\"]{1,255}")


@dataclass(frozen=True)
class Relay:
    host: str
    port: int
    sender: str
    sender_name: str
    username: str | None
    password: str | None
    is_starttls: bool
    ca_file: Path | None
    timeout_s: float


class Smtp:
    """The channel to mailboxes."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._name = smtplib.SMTP().local_hostname  # asked of DNS once, not within a mail's time
        self._session: TimedSession | None = None

    def send(self, items: Sequence[Mail], *, until: float) -> list[Result]:
        """A mail is begun in the first half of the time only: the second is for the one that is begun last."""
        results: list[Result] = []
        begin_until = (time.monotonic() + until) / 2
        for mail in items:
            if time.monotonic() > begin_until:
                results.append(Result(Outcome.POSTPONED, "the relay is slow"))
                continue
            result = self._send(mail, until)
            results.append(result)
            if self._session is None and result.outcome is not Outcome.BAD_REQUEST:
                # The session broke: for the rest of the batch the relay is as good as down.
                begin_until = min(begin_until, time.monotonic() + self._relay.timeout_s)
        self._rest()
        return results

    def close(self) -> None:
        self._hang_up()

    def _send(self, mail: Mail, until: float) -> Result:
        try:
            message = compose(mail, self._relay.sender, self._relay.sender_name)
            content = message.as_bytes()
        except (ValueError, MessageError, UnicodeError, LookupError) as error:
            return Result(Outcome.BAD_REQUEST, f"{type(error).__name__}: not a mail")
        try:
            session = self._connect(until)
        except smtplib.SMTPAuthenticationError as error:
            return self._broken(Outcome.CREDENTIALS, f"smtp_{error.smtp_code}")
        except (smtplib.SMTPException, OSError) as error:
            return self._broken(Outcome.RETRY_AFTER, f"unreachable: {type(error).__name__}")
        is_wide = not mail.to.isascii()
        if is_wide and not session.has_extn("smtputf8"):
            return Result(Outcome.BAD_REQUEST, "the relay takes no internationalised address")
        options = ["SMTPUTF8"] if is_wide else []
        try:
            code, _ = session.mail(self._relay.sender, options)
            if code == 250:
                code, _ = session.rcpt(mail.to)
            if code not in (250, 251):
                return self._refused(code)
        except (smtplib.SMTPException, OSError) as error:
            return self._broken(Outcome.RETRY_AFTER, f"lost: {type(error).__name__}")
        try:
            code, _ = session.data(content)
        except smtplib.SMTPDataError as error:
            return self._refused(error.smtp_code)
        except (smtplib.SMTPException, OSError) as error:
            return self._broken(Outcome.AMBIGUOUS, f"lost after DATA: {type(error).__name__}")
        if code != 250:
            return self._refused(code)
        return Result(Outcome.ACCEPTED, provider_id=str(message["Message-ID"]))

    def _connect(self, until: float) -> TimedSession:
        """The open session, or a new one: STARTTLS first if demanded, then the log-in."""
        if self._session is not None:
            self._session.until = until
            try:
                if self._session.noop()[0] == 250:
                    return self._session
            except (smtplib.SMTPException, OSError):
                pass
            self._hang_up()
        relay = self._relay
        session = TimedSession(
            relay.host, relay.port, local_hostname=self._name, timeout_s=relay.timeout_s, until=until
        )
        try:
            session.ehlo()
            if relay.is_starttls:
                session.starttls(
                    context=ssl.create_default_context(cafile=str(relay.ca_file) if relay.ca_file else None)
                )
                session.ehlo()
            if relay.username and relay.password:
                session.login(relay.username, relay.password)
        except BaseException:
            session.close()
            raise
        self._session = session
        return session

    def _refused(self, code: int) -> Result:
        """5xx is for good; 4xx is for now (greylisting, a full mailbox), and 421 also ends the session."""
        if 500 <= code < 600:
            self._reset()
            outcome = Outcome.CREDENTIALS if code in (530, 535) else Outcome.BAD_REQUEST
            return Result(outcome, f"smtp_{code}")
        if code == 421:
            return self._broken(Outcome.RETRY_AFTER, "smtp_421")
        self._reset()
        return Result(Outcome.RETRY_AFTER, f"smtp_{code}")

    def _reset(self) -> None:
        try:
            if self._session is not None:
                self._session.rset()
        except (smtplib.SMTPException, OSError):
            self._hang_up()

    def _broken(self, outcome: Outcome, reason: str) -> Result:
        self._hang_up()
        return Result(outcome, reason)

    def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _rest(self) -> None:
        """Between batches no session is held: relays end idle ones."""
        session, self._session = self._session, None
        if session is not None:
            try:
                session.quit()
            except (smtplib.SMTPException, OSError):
                session.close()


def compose(mail: Mail, sender: str, sender_name: str) -> EmailMessage:
    """The mail. Raise ValueError if an address or a header cannot be; no value can start a header of its own.

    The bodies are ASCII on the wire, in short lines: not every relay takes more, whatever the language.
    """
    policy = (SMTP if mail.to.isascii() else SMTPUTF8).clone(cte_type="7bit")
    message = EmailMessage(policy=policy)
    message["From"] = _address(sender, sender_name)
    message["To"] = _address(mail.to)
    message["Subject"] = " ".join(mail.subject.split())
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{mail.delivery_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    if mail.language:
        message["Content-Language"] = mail.language  # after the bodies, or it would go into the first of them
    return message


def _address(text: str, name: str = "") -> Address:
    """One bare address. Raise ValueError for anything that could be more than one, or more than an address."""
    if not ADDRESS.fullmatch(text) or not text.isprintable():
        raise ValueError("not an address")
    user, _, domain = text.rpartition("@")
    return Address(name, user, domain)
