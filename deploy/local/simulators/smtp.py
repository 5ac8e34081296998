"""SMTP: takes mail in as a relay would, refuses what a relay refuses, keeps the parsed message."""

import asyncio
import email
import email.message
import email.policy
import re
import ssl
from email.utils import getaddresses
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from deploy.local.simulators.arrivals import Arrival, Arrivals
from deploy.local.simulators.faults import Fault, Faults
from deploy.local.simulators.http import reset

MAX_MESSAGE_BYTES = 10 * 1024 * 1024
MAX_RECIPIENTS = 100
_ADDRESS = re.compile(r"[^@\s]{1,64}@([A-Za-z0-9\u0080-\uffff-]+(\.[A-Za-z0-9\u0080-\uffff-]+)*)")
_TEXT = {
    421: "4.3.2 Service not available, closing transmission channel",
    450: "4.2.1 Mailbox busy, try again later",
    451: "4.3.0 Local error in processing",
    452: "4.3.1 Insufficient system storage",
    550: "5.1.1 Mailbox does not exist",
    552: "5.2.2 Mailbox full",
    554: "5.7.1 Rejected as spam",
}


class Mailroom:
    """aiosmtpd's handler: one method for each SMTP verb."""

    def __init__(self, arrivals: Arrivals, faults: Faults) -> None:
        self._arrivals, self._faults = arrivals, faults

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = _address_problem(address)
        fault = None if answer else self._faults.take("smtp", address.lower())
        if fault and (fault.after_accept or fault.kind == "delay"):
            envelope.gatehouse_faults = [*getattr(envelope, "gatehouse_faults", []), fault]
            fault = None
        if fault and fault.kind == "reset":
            self._refuse(envelope, address, "connection reset", 0)
            reset(server.transport)
            return "421 4.4.2 Connection reset"
        if fault:
            answer = _fault_answer(fault)
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            answer = "452 4.5.3 Too many recipients"
        if answer:
            self._refuse(envelope, address, answer, int(answer[:3]))
            return answer
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        faults: list[Fault] = getattr(envelope, "gatehouse_faults", [])
        for fault in faults:
            if fault.kind == "delay" and not fault.after_accept:
                await asyncio.sleep(fault.delay_s)
        arrivals = [self._arrivals.add(arrival) for arrival in _arrivals(envelope)]
        for fault in faults:
            if not fault.after_accept:
                continue
            if fault.kind == "delay":
                await asyncio.sleep(fault.delay_s)
            elif fault.kind == "reset":
                reset(server.transport)
            else:
                return _fault_answer(fault)
        return f"250 2.0.0 OK: queued as {arrivals[0].id}"

    def _refuse(self, envelope: Envelope, address: str, reason: str, status: int) -> None:
        headers = {"mail from": envelope.mail_from or ""}
        self._arrivals.add(Arrival("smtp", address, headers, b"", outcome="refused", status=status, reason=reason))


class Server:
    def __init__(self, arrivals: Arrivals, faults: Faults, tls: ssl.SSLContext) -> None:
        self._mailroom, self._tls = Mailroom(arrivals, faults), tls

    async def start(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, host, port)

    def _session(self) -> SMTP:
        return SMTP(
            self._mailroom,
            hostname="simulator.gatehouse.example",
            ident="Gatehouse simulator",
            data_size_limit=MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=True,
            tls_context=self._tls,
            authenticator=_authenticate,
            auth_require_tls=False,
            timeout=300,
        )

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any) -> AuthResult:
    """Any name is welcome, but not the password "wrong": a sender's own refusal path needs something to run into."""
    is_good = not isinstance(login, LoginPassword) or login.password != b"wrong"
    return AuthResult(success=is_good, handled=False)


def _address_problem(address: str) -> str:
    match = _ADDRESS.fullmatch(address)
    if not match:
        return "553 5.1.3 Bad recipient address syntax"
    domain = match[1].lower()
    if domain.endswith(".invalid") or domain == "invalid" or ("." not in domain and domain != "localhost"):
        return f"550 5.1.2 Domain {domain} not found"
    return ""


def _fault_answer(fault: Fault) -> str:
    status = 550 if fault.kind == "bounce" else fault.status
    default = "5.1.1 Mailbox does not exist" if status >= 500 else "4.3.0 Try again later"
    return f"{status} {fault.reason or _TEXT.get(status, default)}"


def _arrivals(envelope: Envelope) -> list[Arrival]:
    """One for each recipient: that is what each of them sees."""
    raw = envelope.original_content or b""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    headers: dict[str, str] = {}
    for name, raw_value in message.raw_items():
        lower, value = name.lower(), _header(message, name, raw_value)
        headers[lower] = f"{headers[lower]}\n{value}" if lower in headers else value
    mail = {**_parse(message, headers), "envelope_from": envelope.mail_from}
    message_id = mail["message_id"]
    missing = [name for name in ("From", "Date", "Message-ID") if name.lower() not in headers]
    return [
        Arrival(
            channel="smtp",
            to=address,
            headers=headers,
            raw=raw,
            key=message_id,
            provider_id=message_id,
            status=250,
            title=mail["subject"],
            text=mail["text"][:300],
            warnings=[f"{name} header is missing" for name in missing],
            mail=mail,
        )
        for address in envelope.rcpt_tos
    ]


def _header(message: email.message.EmailMessage, name: str, raw_value: Any) -> str:
    """Decoded where the standard library can; its parser raises on some malformed headers."""
    try:
        return str(message.policy.header_fetch_parse(name, raw_value))
    except Exception:
        return str(raw_value)


def _parse(message: email.message.EmailMessage, headers: dict[str, str]) -> dict[str, Any]:
    return {
        "subject": headers.get("subject", ""),
        "from": headers.get("from", ""),
        "to": [address for _, address in getaddresses([headers.get("to", "")])],
        "message_id": headers.get("message-id", "").strip(),
        "text": _content(message.get_body(("plain",))),
        "html": _content(message.get_body(("html",))),
        "attachments": [
            {"name": part.get_filename() or "", "content_type": part.get_content_type()}
            for part in message.iter_attachments()
        ],
    }


def _content(part: Any) -> str:
    """The decoded text; a broken charset or encoding gives what can be read, never an error."""
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except (LookupError, ValueError, KeyError):
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
