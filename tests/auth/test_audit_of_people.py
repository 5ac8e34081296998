"""What people do and what is done to their accounts is in the audit log, in the transaction that makes it true."""

import json
from typing import Any

import pytest

from services.auth import worker
from tests.auth.conftest import PASSWORD, Make, Service

NEW = "a new and long password"


def _told(row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return row["action"], row["details"]


def test_a_life_is_told_in_order_and_by_whom(service: Service) -> None:
    alice = service.member("alice")
    alice.log_in(**{"User-Agent": "App/1 (iPhone)", "X-App-Version": "2.1", "X-Forwarded-For": "192.0.2.1"})
    alice.change(password=NEW)
    alice.change(email="alice@new.example")
    old = alice.service.code_to(alice.email)
    service.post("/verify", {"type": "email_change", "email": alice.email, "token": old})
    alice.verify("email_change", email="alice@new.example")
    alice.post("/logout?scope=local")
    log = service.log(alice)
    assert [_told(row) for row in log] == [
        ("user.registered", {}),
        ("user.confirmed", {}),
        ("session.opened", {"method": "otp", "new_device": False}),
        ("user.new_device", {}),
        ("session.opened", {"method": "password", "new_device": True}),
        ("session.ended", {"reason": "password_changed"}),
        ("user.password_changed", {}),
        ("user.email_changed", {}),
        ("session.opened", {"method": "otp", "new_device": False}),
        ("session.ended", {"reason": "logout"}),
    ]
    assert [row["actor"] is not None for row in log] == [False, False, True, False, True, True, True, False, True, True]
    assert (log[4]["address"], log[4]["client"]) == ("192.0.2.1", "iPhone 2.1")
    assert log[9]["session_id"] == alice.session_id


def test_nothing_in_the_log_is_a_secret_or_an_address(service: Service) -> None:
    """Neither a password, a code or a token, nor what somebody is reached at."""
    alice = service.member("alice")
    alice.log_in()
    alice.change(password=NEW)
    service.post("/token?grant_type=password", {"email": alice.email, "password": "wrong wrong wrong"})
    code = service.code_to(alice.email)
    text = json.dumps(service.log(alice))
    for secret in (PASSWORD, NEW, "wrong wrong wrong", alice.email, code, alice.session["refresh_token"]):
        assert secret not in text


@pytest.mark.parametrize(
    ("scope", "ended"), [("local", [1]), ("others", [0, 2]), ("global", [0, 1, 2])], ids=["local", "others", "global"]
)
def test_every_session_that_ends_has_a_row_with_the_reason(service: Service, scope: str, ended: list[int]) -> None:
    alice = service.member("alice")
    sessions, tokens = [alice.session_id], [alice.session]
    for _ in range(2):
        alice.log_in()
        sessions.append(alice.session_id)
        tokens.append(alice.session)
    alice.session = tokens[1]
    alice.post(f"/logout?scope={scope}")
    rows = service.log(alice, "session.ended")
    assert {row["session_id"] for row in rows} == {sessions[number] for number in ended}
    assert {(row["actor"], row["details"]["reason"]) for row in rows} == {(alice.user_id, "logout")}


def test_a_session_that_ends_by_itself_was_ended_by_nobody_and_the_event_says_more_than_the_reason(
    make_service: Make,
) -> None:
    service = make_service(sessions_per_user=1)
    alice = service.member("alice")
    alice.log_in()
    (row,) = service.log(alice, "session.ended")
    assert (row["actor"], row["details"]) == (None, {"reason": "session_limit"})
    (event,) = service.events("session.revoked")
    assert (event.data["reason"], event.data["detail"]) == ("expired", "session_limit")
    service.rows("UPDATE sessions SET refreshed_at = now() - interval '1 year', seen_on = '2020-01-01'")
    worker.clean_up(service.db, service.parts.settings)
    assert service.log(alice, "session.ended")[-1]["details"] == {"reason": "idle"}
    assert service.events("session.revoked")[-1].data["detail"] == "idle"


def test_a_reused_refresh_token_is_noted_although_the_request_was_refused(service: Service) -> None:
    alice = service.member("alice")
    first = alice.session["refresh_token"]
    alice.refresh()
    alice.refresh()
    assert alice.refresh(first).code == "refresh_token_already_used"
    (row,) = service.log(alice, "session.ended")
    assert (row["actor"], row["details"], row["session_id"]) == (None, {"reason": "reuse_detected"}, alice.session_id)


def _fail(service: Service, email: str, times: int = 1) -> None:
    for _ in range(times):
        reply = service.post("/token?grant_type=password", {"email": email, "password": "wrong wrong wrong"})
        assert reply.code == "invalid_credentials"


def test_a_thousand_failures_in_a_day_leave_ten_rows(service: Service) -> None:
    alice = service.member("alice")
    _fail(service, alice.email, 3)
    for failures in (4, 8, 100, 128, 512, 1000):
        service.rows("UPDATE failed_log_ins SET failures = %(failures)s - 1", failures=failures)
        _fail(service, alice.email)
    rows = service.log(alice, "log_in.failed")
    assert [row["details"]["failures"] for row in rows] == [1, 2, 4, 8, 128, 512]
    assert rows[0]["details"] == {"failures": 1, "method": "password", "why": "invalid_credentials"}
    assert {row["actor"] for row in rows} == {None} and {row["address"] for row in rows} == {"127.0.0.1"}
    service.rows("UPDATE failed_log_ins SET started_at = now() - interval '25 hours'")
    _fail(service, alice.email)
    assert service.log(alice, "log_in.failed")[-1]["details"]["failures"] == 1


def test_addresses_without_an_account_leave_no_row_and_share_a_bounded_table(service: Service) -> None:
    before = service.rows("SELECT count(*) AS count FROM audit_log")
    for number in range(3):
        _fail(service, f"nobody{number}@example.com")
        _fail(service, "nobody@example.com")
    assert service.rows("SELECT count(*) AS count FROM audit_log") == before
    assert {row["failures"] for row in service.rows("SELECT failures FROM failed_log_ins")} == {1, 3}
    service.rows("UPDATE failed_log_ins SET started_at = now() - interval '25 hours'")
    worker.clean_up(service.db, service.parts.settings)
    assert service.rows("SELECT 1 FROM failed_log_ins") == []


def test_a_wrong_code_is_a_failure_too_and_a_right_password_that_does_not_let_in(service: Service) -> None:
    alice = service.person("alice")
    alice.sign_up()
    assert alice.log_in().code == "email_not_confirmed"
    wrong = "000000" if service.code_to(alice.email) != "000000" else "111111"
    assert alice.verify("signup", token=wrong).code == "otp_expired"
    alice.confirm()
    failed = [row["details"] for row in service.log(alice, "log_in.failed")]
    assert failed == [
        {"method": "password", "why": "email_not_confirmed", "failures": 1},
        {"method": "otp", "why": "otp_expired", "failures": 2},
    ]


def test_a_guest_who_becomes_part_of_an_account_is_told_of_there(make_service: Make) -> None:
    service = make_service(guests=True)
    guest, alice = service.guest("guest"), service.member("alice")
    assert alice.post("/merge", {"guest_token": guest.session["access_token"]}).status == 200
    (row,) = service.log(alice, "user.merged")
    assert (row["actor"], row["details"]) == (alice.user_id, {"guest": guest.user_id})
    assert [(row["action"], row["address"], row["details"]) for row in service.log(guest)] == [
        ("user.registered", None, {}),
        ("session.opened", None, {}),
        ("session.ended", "127.0.0.1", {}),  # alice did it, who is there
    ]


def test_a_guest_who_cannot_come_back_is_deleted_by_nobody(make_service: Make) -> None:
    service = make_service(guests=True)
    guest = service.guest("guest")
    service.rows("UPDATE sessions SET ended_at = now() - interval '1 year'")
    service.rows("UPDATE users SET last_sign_in_at = now() - interval '1 year', created_at = now() - interval '1 year'")
    worker.clean_up(service.db, service.parts.settings)
    (row,) = service.log(guest, "user.deleted")
    assert row["actor"] is None


def test_a_deed_that_was_taken_back_left_no_row(service: Service) -> None:
    alice = service.member("alice")
    before = service.log(alice)
    with service.without_outbox():
        assert alice.log_in().status == 500
        assert alice.change(password=NEW).status == 500
        assert alice.post("/logout").status == 500
    assert service.log(alice) == before
