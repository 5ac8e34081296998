"""Hooks: the operator's word in a sign-up and a token, and own ways to send, as signed HTTP calls."""

import base64
import logging
import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from services.auth.hook_sender import send_due
from services.auth.worker import clean_up
from tests.auth.conftest import Make, Service, claims_of
from tests.support.hooks import HookReceiver


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    made = HookReceiver()
    yield made
    made.close()


def _hooked(make_service: Make, receiver: HookReceiver, *hooks: str, **changes: Any) -> Service:
    urls = {f"hook_{hook}_url": receiver.url(hook) for hook in hooks}
    return make_service(**{"hook_secrets": receiver.secret, "mail_interval_s": 0, "guests": True, **urls, **changes})


def _send(service: Service) -> int:
    return send_due(service.db, service.parts.settings, service.parts.sealer, service.parts.webhooks)


def test_the_operator_is_asked_before_a_user_is_made_and_may_refuse(make_service: Make, receiver: HookReceiver) -> None:
    service = _hooked(make_service, receiver, "before_user_created")
    receiver.answer = lambda _, payload: (
        (200, {"error": {"http_code": 403, "message": "Only colleagues."}})
        if payload["user"]["email"].startswith("stranger")
        else (200, {})
    )
    assert service.member("alice").get("/user").status == 200
    for path in ("/signup", "/otp", "/magiclink"):
        reply = service.post(path, {"email": "stranger@example.com", "password": "long enough"})
        assert (reply.status, reply.code, reply["msg"]) == (403, "hook_refused", "Only colleagues.")
    assert len(service.rows("SELECT 1 FROM users")) == 1
    payload = receiver.of("before_user_created")[0].payload
    assert payload["metadata"]["name"] == "before-user-created"
    assert payload["user"]["email"] == "alice@example.com" and "password" not in str(payload)


def test_somebody_who_is_there_already_logs_in_though_no_such_user_would_be_made_today(
    make_service: Make, receiver: HookReceiver
) -> None:
    service = _hooked(make_service, receiver, "before_user_created")
    alice = service.member("alice")
    receiver.answer = lambda *_: (200, {"error": {"http_code": 400, "message": "No."}})
    assert service.post("/otp", {"email": alice.email}).status == 200
    assert alice.verify("email").status == 200
    assert service.post("/signup", {}).code == "hook_refused", "guests are users too"


def test_claims_of_the_operator_are_in_every_token_but_none_takes_the_place_of_what_others_rely_on(
    make_service: Make, receiver: HookReceiver
) -> None:
    service = _hooked(make_service, receiver, "access_token")
    evil = {"sub": "somebody else", "role": "service", "aal": "aal2", "is_anonymous": True, "iss": "x", "exp": 9e12}
    evil |= {
        "scope": "auth:admin",
        "act": {"sub": str(UUID(int=1))},
        "amr": [],
        "sid": str(UUID(int=2)),
        "email": "x@y.zz",
    }
    receiver.answer = lambda _, payload: (200, {"claims": {**payload["claims"], **evil, "tenant": "t1"}})
    alice = service.member("alice")
    for session in (alice.session, alice.refresh().json):
        claims = claims_of(session["access_token"])
        assert claims["tenant"] == "t1"
        assert (claims["sub"], claims["role"], claims["aal"]) == (alice.user_id, "authenticated", "aal1")
        assert claims["exp"] - claims["iat"] == 600
        assert (claims["scope"], claims["sid"], claims["email"]) == ("", alice.session_id, alice.email)
        assert "act" not in claims and claims["amr"]
    assert alice.get("/user").status == 200
    assert receiver.of("access_token")[0].payload["authentication_method"] == "otp"


def test_claims_have_a_bound(make_service: Make, receiver: HookReceiver) -> None:
    service = _hooked(make_service, receiver, "access_token")
    receiver.answer = lambda *_: (200, {"claims": {"much": "x" * 5000}})
    assert "much" not in claims_of(service.member("alice").session["access_token"])


@pytest.mark.parametrize(
    ("answer", "content_type", "code"),
    [
        ((500, {}), "application/json", "hook_failed"),
        ((302, {}), "application/json", "hook_failed"),
        ((200, b"{"), "application/json", "hook_payload_invalid_content_type"),
        ((200, b"[1]"), "application/json", "hook_payload_invalid_content_type"),
        ((200, b"<html>"), "text/html", "hook_payload_invalid_content_type"),
        ((200, b"x" * 70_000), "application/json", "hook_payload_over_size_limit"),
    ],
)
@pytest.mark.parametrize("is_open", [False, True])
def test_a_hook_that_fails_refuses_or_is_passed_over_as_the_operator_wishes(
    make_service: Make, receiver: HookReceiver, answer: Any, content_type: str, code: str, is_open: bool
) -> None:
    fail_open = "before_user_created" if is_open else ""
    service = _hooked(make_service, receiver, "before_user_created", hook_fail_open=fail_open)
    receiver.answer, receiver.content_type = (lambda *_: answer), content_type
    reply = service.person("alice").sign_up()
    assert (reply.status, reply.code) == ((200, None) if is_open else (503, code))
    assert len(service.rows("SELECT 1 FROM users")) == int(is_open)
    assert receiver.of("elsewhere") == [], "a redirect is not followed"


def test_an_answer_that_drips_is_given_up_when_its_time_is_over(make_service: Make, receiver: HookReceiver) -> None:
    service = _hooked(make_service, receiver, "before_user_created", hook_timeout_s=0.2)
    receiver.pause_s, receiver.answer = 0.15, lambda *_: (200, b'{"a":1234}')
    reply = service.person("alice").sign_up()
    assert (reply.status, reply.code) == (422, "hook_timeout")


def test_a_hook_that_is_not_there_is_a_failure(make_service: Make, receiver: HookReceiver) -> None:
    service = make_service(
        hook_before_user_created_url="http://127.0.0.1:1/", hook_secrets=receiver.secret, password_wait_s=60
    )
    assert (service.person("alice").sign_up().code, service.rows("SELECT 1 FROM users")) == ("hook_failed", [])


def test_calls_are_signed_with_every_secret_and_a_receiver_that_knows_one_of_them_is_content(
    make_service: Make, receiver: HookReceiver
) -> None:
    other = f"v1,whsec_{base64.b64encode(os.urandom(32)).decode()}"
    service = _hooked(make_service, receiver, "before_user_created", hook_secrets=f"{other}|{receiver.secret}")
    assert service.person("alice").sign_up().status == 200
    assert (len(receiver.calls[0].signatures), receiver.unsigned) == (2, 0)
    elsewhere = _hooked(make_service, receiver, "before_user_created", hook_secrets=other)
    assert elsewhere.person("bob").sign_up().code == "hook_failed"
    assert receiver.unsigned == 1


def test_mails_go_through_the_hook_and_none_to_notify(make_service: Make, receiver: HookReceiver) -> None:
    service = _hooked(make_service, receiver, "send_mail", redirect_urls="com.example.app://x")
    alice = service.person("alice")
    service.call(
        "POST",
        "/signup?redirect_to=com.example.app://x",
        body={"email": alice.email, "password": "long enough", "data": {"locale": "pt-BR"}},
        headers={"Accept-Language": "de;q=0.3, ja"},
    )
    assert service.events("message.requested") == []
    assert (_send(service), _send(service)) == (1, 0)
    payload = receiver.of("send_mail")[0].payload
    assert (payload["locale"], payload["languages"]) == ("pt-BR", ["ja", "de"])
    data = payload["email_data"]
    assert (data["email_action_type"], data["redirect_to"]) == ("signup", "com.example.app://x")
    assert alice.keep(service.post("/verify", {"type": "signup", "token_hash": data["token_hash"]})).status == 200
    alice.change(email="new@example.com")
    assert _send(service) == 2
    to = [call.payload["user"]["email"] for call in receiver.of("send_mail")[1:]]
    assert sorted(to) == [alice.email, "new@example.com"]


def test_a_call_that_fails_is_made_again_under_the_same_id_until_it_is_taken(
    make_service: Make, receiver: HookReceiver
) -> None:
    service = _hooked(make_service, receiver, "send_mail")
    service.person("alice").sign_up()
    receiver.answer = lambda *_: (503, {})
    assert _send(service) == 0
    assert _send(service) == 0 and len(receiver.calls) == 1, "not at once: it waits a while"
    service.rows("UPDATE hook_calls SET due_at = now()")
    receiver.answer = lambda *_: (204, {})
    assert _send(service) == 1
    assert len({call.id for call in receiver.calls}) == 1
    assert service.rows("SELECT 1 FROM hook_calls") == []


def test_a_call_whose_code_has_expired_is_made_no_more_and_goes(make_service: Make, receiver: HookReceiver) -> None:
    service = _hooked(make_service, receiver, "send_mail")
    service.person("alice").sign_up()
    service.rows("UPDATE hook_calls SET expires_at = now()")
    assert (_send(service), receiver.calls) == (0, [])
    clean_up(service.db, service.parts.settings)
    assert service.rows("SELECT 1 FROM hook_calls") == []


def test_codes_that_wait_for_a_hook_are_sealed_and_no_call_is_logged(
    make_service: Make, receiver: HookReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    service = _hooked(make_service, receiver, "send_mail")
    alice = service.person("alice")
    with caplog.at_level(logging.DEBUG):
        alice.sign_up()
        (row,) = service.rows("SELECT payload_sealed FROM hook_calls")
        _send(service)
    token = receiver.calls[0].payload["email_data"]["token"]
    assert alice.email.encode() not in bytes(row["payload_sealed"])
    assert token not in caplog.text and receiver.secret not in caplog.text
    assert receiver.secret not in repr(service.parts)


def test_test_addresses_have_a_fixed_code_and_get_no_mail(make_service: Make) -> None:
    service = make_service(test_codes="Review@example.com=424242, +1 555 0100=131313", mail_interval_s=0)
    review = service.person("review")
    service.post("/otp", {"email": review.email})
    assert service.mails_to(review.email) == []
    assert review.verify("email", token="424243").code == "otp_expired"
    assert review.verify("email", token="424242").status == 200
    assert review.verify("email", token="424242").code == "otp_expired", "once for each that was asked for"
    other = service.person("other")
    service.post("/otp", {"email": other.email})
    assert len(service.mails_to(other.email)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"hook_send_sms_url": "https://hooks.example.com/"},
        {"hook_send_sms_url": "ftp://hooks.example.com/", "hook_secrets": "GOOD"},
        {"hook_secrets": "whsec_abc"},
        {"hook_secrets": "v1,whsec_c2hvcnQ="},
        {"hook_fail_open": "send_sms"},
        {"test_codes": "a@example.com=12345"},
        {"test_codes": "123456"},
        {"test_codes": "nobody=123456"},
    ],
)
def test_wrong_settings_are_found_at_the_start(make_service: Make, receiver: HookReceiver, wrong: Any) -> None:
    if wrong.get("hook_secrets") == "GOOD":
        wrong = {**wrong, "hook_secrets": receiver.secret}
    with pytest.raises(ValidationError):
        make_service(**wrong)


def test_the_settings_say_what_is_on(make_service: Make, receiver: HookReceiver) -> None:
    on = _hooked(make_service, receiver, "send_sms").get("/settings")
    named = {"apple": False, "google": False}
    assert on["external"] == {"email": True, "phone": True, "anonymous_users": True, **named}
    off = make_service().get("/settings")
    assert off["external"] == {"email": True, "phone": False, "anonymous_users": False, **named}
