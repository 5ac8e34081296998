"""No answer tells who has an account: not by status, headers or body, and not by the work that it took.

Work is counted, for time is not the same twice: statements, password computations, calls of hooks. `make timing`
measures.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2.extras
import pytest
from prometheus_client import REGISTRY
from psycopg2.extensions import cursor as PlainCursor
from psycopg2.extras import RealDictCursor

import shared.postgres
from tests.auth.conftest import PASSWORD, Make, Reply, Service
from tests.support.hooks import HookReceiver

pytestmark = pytest.mark.usefixtures("real_costs")

statements: list[str] = []
WRONG = {"password": "a wrong password of somebody"}


class Noting(PlainCursor):
    def execute(self, query: Any, params: Any = None) -> None:
        statements.append(" ".join(str(query).split()))
        super().execute(query, params)


class NotingRows(RealDictCursor):
    def execute(self, query: Any, params: Any = None) -> None:
        statements.append(" ".join(str(query).split()))
        super().execute(query, params)


@pytest.fixture(scope="module")
def receiver() -> Iterator[HookReceiver]:
    made = HookReceiver()
    yield made
    made.close()


@pytest.fixture
def service(make_service: Make, receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Its statements are noted; an operator's hook is asked before a user is made, and another sends SMS."""
    monkeypatch.setattr(shared.postgres, "PlainCursor", Noting)
    monkeypatch.setattr(psycopg2.extras, "RealDictCursor", NotingRows)
    receiver.calls.clear()
    service = make_service(
        hook_before_user_created_url=receiver.url("before"),
        hook_send_sms_url=receiver.url("sms"),
        hook_secrets=receiver.secret,
    )
    service.post("/token?grant_type=password", {"email": "first@example.com", **WRONG})  # what only the first one reads
    return service


@dataclass(frozen=True)
class Cost:
    """What a request took."""

    statements: Counter[str]
    computations: float
    calls: int


def _ask(service: Service, receiver: HookReceiver, path: str, body: dict[str, Any]) -> tuple[Reply, Cost]:
    def computed() -> float:
        return REGISTRY.get_sample_value("auth_password_seconds_count", {"stage": "computing"}) or 0

    statements.clear()
    before, calls = computed(), len(receiver.calls)
    reply = service.post(path, body)
    # Whether what was done stays or is taken back is all that may differ.
    ran = Counter(sql for sql in statements if not sql.startswith("ROLLBACK TO"))
    return reply, Cost(ran, computed() - before, len(receiver.calls) - calls)


def _seen(reply: Reply, address: str) -> tuple[int, dict[str, str], str]:
    """All that somebody sees, without what is different in every answer."""
    varies = {"X-Request-Id", "Date", "Content-Length"}
    headers = {
        name: value for name, value in reply.headers.items() if name not in varies and "trace" not in name.lower()
    }
    body = reply.text.replace(address, "ADDRESS")
    body = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", body)
    body = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME", body)
    return reply.status, headers, body


def _people(service: Service) -> None:
    own = service.parts.passwords.hash(PASSWORD)
    for email, phone, password_hash, is_confirmed, new_email in (
        ("known@example.com", None, own, True, None),
        ("waits@example.com", None, own, False, None),
        ("mailed@example.com", None, None, True, None),
        ("moves@example.com", None, own, True, "moved@example.com"),
        (None, "49151000001", own, True, None),
        (None, "49151000002", own, False, None),
    ):
        service.rows(
            """
            INSERT INTO users (id, email, phone, password_hash, email_confirmed_at, phone_confirmed_at, new_email)
            VALUES (gen_random_uuid(), %(email)s, %(phone)s, %(hash)s, %(email_at)s, %(phone_at)s, %(new_email)s)
            """,
            email=email,
            phone=phone,
            hash=password_hash,
            email_at="2026-01-01" if email and is_confirmed else None,
            phone_at="2026-01-01" if phone and is_confirmed else None,
            new_email=new_email,
        )


LOG_IN, NOBODY, NO_NUMBER = "/token?grant_type=password", "nobody@example.com", "49151999999"
ASKED: list[tuple[str, dict[str, Any], list[str]]] = [
    (LOG_IN, WRONG, ["known@example.com", "waits@example.com", "mailed@example.com", "49151000001", "49151000002"]),
    ("/signup", {"password": PASSWORD}, ["known@example.com", "waits@example.com", "49151000002"]),
    ("/signup", {"password": PASSWORD, "data": {"name": "x"}}, ["mailed@example.com"]),
    ("/otp", {}, ["known@example.com", "waits@example.com", "mailed@example.com", "49151000001", "49151000002"]),
    ("/otp", {"create_user": False}, ["known@example.com", "waits@example.com", "49151000001", "49151000002"]),
    ("/magiclink", {}, ["known@example.com", "waits@example.com"]),
    ("/recover", {}, ["known@example.com", "waits@example.com", "mailed@example.com"]),
    ("/resend", {"type": "signup"}, ["waits@example.com", "known@example.com"]),
    ("/resend", {"type": "email_change"}, ["moves@example.com"]),
    ("/resend", {"type": "sms"}, ["49151000002", "49151000001"]),
    ("/verify", {"type": "email", "token": "123456"}, ["known@example.com", "waits@example.com"]),
    ("/verify", {"type": "sms", "token": "123456"}, ["49151000001"]),
]


def _body(body: dict[str, Any], to: str) -> dict[str, Any]:
    return {**body, "email" if "@" in to else "phone": to}


@pytest.mark.parametrize(("path", "body", "known"), ASKED, ids=[f"{path} {list(body)}" for path, body, _ in ASKED])
def test_somebody_and_nobody_get_the_same_answer_after_the_same_work(
    service: Service, receiver: HookReceiver, path: str, body: dict[str, Any], known: list[str]
) -> None:
    _people(service)
    for number, address in enumerate(known):
        nobody = f"{number}{NOBODY}" if "@" in address else f"{NO_NUMBER}{number}"
        unknown = _ask(service, receiver, path, _body(body, nobody))
        found = _ask(service, receiver, path, _body(body, address))
        assert _seen(found[0], address) == _seen(unknown[0], nobody), address
        assert found[1] == unknown[1], address
        assert sum(found[1].statements.values()) > 1


def test_a_second_request_within_the_minute_which_sends_nothing_takes_the_same_work(
    service: Service, receiver: HookReceiver
) -> None:
    _people(service)
    for path, body, known in ASKED:
        if path not in ("/recover", "/resend", "/magiclink"):
            continue
        service.post(path, _body(body, known[0]))
        nobody = NOBODY if "@" in known[0] else NO_NUMBER
        if path == "/magiclink":
            service.post(path, _body(body, nobody))
        again = _ask(service, receiver, path, _body(body, known[0]))[1]
        assert again == _ask(service, receiver, path, _body(body, nobody))[1], path


def test_a_wrong_code_costs_the_same_whether_there_is_one_to_be_guessed(
    service: Service, receiver: HookReceiver
) -> None:
    _people(service)
    service.post("/otp", {"email": "known@example.com", "create_user": False})
    service.post("/otp", {"phone": "49151000001", "create_user": False})
    for type, known, nobody in (("email", "known@example.com", NOBODY), ("sms", "49151000001", NO_NUMBER)):
        body = {"type": type, "token": "000000"}
        found = _ask(service, receiver, "/verify", _body(body, known))
        unknown = _ask(service, receiver, "/verify", _body(body, nobody))
        assert found[0].code == unknown[0].code == "otp_expired"
        assert found[1] == unknown[1]


def test_the_page_of_the_provider_tells_no_more_than_the_endpoint(service: Service, receiver: HookReceiver) -> None:
    """Both prove a password by the same function; a passkey is asked for without a name."""
    options = [service.post("/passkeys/authentication/options", body) for body in ({}, {"email": "known@example.com"})]
    assert options[0].status == options[1].status
    assert "allowCredentials" not in str(options[0].json) or options[0]["options"].get("allowCredentials") == []


def test_nothing_of_nobody_is_left(service: Service, receiver: HookReceiver) -> None:
    for path, body, _known in ASKED:
        if path not in ("/signup", "/otp", "/magiclink"):
            service.post(path, _body(body, NO_NUMBER if body.get("type") == "sms" else NOBODY))
    service.post("/otp", {"email": NOBODY, "create_user": False})
    for table in ("users", "one_time_tokens", "outbox", "hook_calls"):
        assert service.rows(f"SELECT 1 FROM {table}") == [], table  # noqa: S608
