"""The real processes: gunicorn with two workers, the worker, and the commands."""

import signal
from typing import Any

import jwt
import requests

from deploy.local.ports import free_ports
from shared.tokens import Verifier
from tests.auth.conftest import ISSUER, PASSWORD, Make, Service, Start, at_once, output_of
from tests.support.waiting import eventually


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


def _noted(service: Service, action: str) -> list[Any]:
    """The details of what the audit log has of an action."""
    sql = "SELECT details FROM audit_log WHERE action = %(action)s ORDER BY id"
    return [row["details"] for row in service.rows(sql, action=action)]


def test_two_processes_behind_one_port_agree_on_keys_and_refreshes(service: Service, start: Start) -> None:
    (port,) = free_ports(1)
    start(service.parts.settings, "serve", BIND=f"127.0.0.1:{port}", WEB_WORKERS="2")
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: _answers(f"{url}/readyz"), what="the service is ready")

    body = {"email": "alice@example.com", "password": PASSWORD}
    assert requests.post(f"{url}/auth/v1/signup", json=body, timeout=10).status_code == 200
    code = service.mail_to("alice@example.com")["code"]
    verification = {"type": "signup", "email": "alice@example.com", "token": code}
    tries = at_once(lambda _: requests.post(f"{url}/auth/v1/verify", json=verification, timeout=10))
    (session,) = [answer.json() for answer in tries if answer.status_code == 200]

    def refresh(_: int) -> requests.Response:
        refresh_token = {"refresh_token": session["refresh_token"]}
        return requests.post(f"{url}/auth/v1/token?grant_type=refresh_token", json=refresh_token, timeout=10)

    answers = at_once(refresh)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    verifier = Verifier(f"{url}/auth/v1/.well-known/jwks.json", ISSUER, "gatehouse")
    for answer in answers:
        assert verifier.verify(answer.json()["access_token"]).session_id is not None
    assert (
        'http_requests_total{method="POST",route="/auth/v1/token",status="200"}'
        in requests.get(f"{url}/metrics", timeout=10).text
    )


def test_the_worker_is_ready_without_a_broker_and_ends_when_asked(service: Service, start: Start) -> None:
    (port,) = free_ports(1)
    process = start(service.parts.settings, "worker", WORKER_BIND=f"127.0.0.1:{port}")
    eventually(lambda: _answers(f"http://127.0.0.1:{port}/readyz"), what="the worker is ready")
    assert "outbox_lag_seconds" in requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_migrating_twice_changes_nothing_and_makes_one_key(service: Service, start: Start) -> None:
    for _ in range(2):
        process = start(service.parts.settings, "migrate")
        assert process.wait(60) == 0
    assert [row["state"] for row in service.rows("SELECT state FROM signing_keys")] == ["active"]


def test_a_service_token_is_printed_alone_and_names_the_same_service_always(service: Service, start: Start) -> None:
    settings, before = service.parts.settings, _noted(service, "service_token.made")
    tokens = []
    for _ in range(2):
        status, out, _err = output_of(start(settings, "token", "--scope", "messages:send", "--lifetime-s", "60"))
        assert status == 0
        tokens.append(out.strip())
    verifier = Verifier("", ISSUER, "gatehouse")
    key = jwt.PyJWK(service.get("/.well-known/jwks.json")["keys"][0], "ES256")
    claims = [verifier.check(token, key) for token in tokens]
    assert {claim.role for claim in claims} == {"service"}
    assert claims[0].sub == claims[1].sub and claims[0].session_id is None
    assert claims[0].has_scope("messages:send") and claims[0].exp - claims[0].iat == 60
    made = _noted(service, "service_token.made")[len(before) :]
    assert made == [{"name": "operator", "scope": "messages:send", "lifetime_s": 60}] * 2


def test_a_service_token_does_not_outlive_the_key_that_signed_it(service: Service, start: Start) -> None:
    status, out, err = output_of(start(service.parts.settings, "token", "--scope", "x", "--lifetime-s", "86401"))
    assert (status, out) == (2, "")
    assert "between 1 and 86400" in err


def test_keys_are_listed_and_a_rotation_in_a_hurry_is_refused(service: Service, start: Start) -> None:
    settings, before = service.parts.settings, _noted(service, "keys.rotated")
    service.get("/.well-known/jwks.json")
    assert "is published; run this again after" in output_of(start(settings, "keys", "rotate"))[1]
    status, out, err = output_of(start(settings, "keys", "rotate"))
    assert (status, out) == (1, "") and "too early" in err
    listed = output_of(start(settings, "keys", "list"))[1]
    assert "active" in listed and "pre_published" in listed
    assert len(_noted(service, "keys.rotated")) - len(before) == 1, "what was refused is not noted"


def test_what_has_expired_is_deleted_in_batches_and_nothing_else(make_service: Make) -> None:
    from services.auth.worker import clean_up

    service = make_service()
    alice, bob = service.member("alice"), service.member("bob")
    bob.log_in()
    service.call("POST", "/logout?scope=others", headers=bob.headers)
    service.rows("UPDATE sessions SET ended_at = now() - interval '8 days' WHERE ended_at IS NOT NULL")
    service.rows(
        """
        INSERT INTO sessions (id, user_id, amr, device_name, user_agent, refreshed_at, seen_on)
        SELECT gen_random_uuid(), %(user_id)s, '[]', '', '', now() - interval '91 days', current_date - 91
        FROM generate_series(1, 1200)
        """,
        user_id=alice.user_id,
    )
    service.person("late").sign_up()
    service.rows("UPDATE one_time_tokens SET expires_at = now() - interval '1 day' WHERE email = 'alice@example.com'")
    service.person("nobody").log_in()
    service.rows("UPDATE throttles SET forgotten_at = now() - interval '1 day'")
    service.person("late").log_in()
    assert clean_up(service.db, service.parts.settings) == 1206
    assert clean_up(service.db, service.parts.settings) == 0
    reasons = [event.data["reason"] for event in service.events("session.revoked")]
    assert reasons.count("expired") == 1200
    service.rows("UPDATE sessions SET ended_at = now() - interval '8 days' WHERE end_reason = 'expired'")
    assert clean_up(service.db, service.parts.settings) == 1200
    assert alice.get("/user").status == bob.get("/user").status == 200
    assert service.person("late").confirm().status == 200
