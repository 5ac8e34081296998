"""Nobody orders messages without end: caps in all, by place, by number and by the numbers beside it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.auth.conftest import Make, Person, Reply, Service, at_once

PASSWORD = "correct horse battery staple"
ALICE, BOB, ELSEWHERE = "4915112345678", "4915112345999", "33612345678"
SECRET = "v1,whsec_" + "c2VjcmV0" * 4


@pytest.fixture
def make(make_service: Make) -> Callable[..., Service]:
    def made(**changes: Any) -> Service:
        return make_service(hook_send_sms_url="http://127.0.0.1:9/sms", hook_secrets=SECRET, **changes)

    return made


def _otp(service: Service, number: str, place: str = "192.0.2.1", **more: Any) -> Reply:
    return service.post("/otp", {"phone": f"+{number}", **more}, {"X-Forwarded-For": place})


def _recover(service: Service, name: str, place: str = "192.0.2.1") -> Reply:
    return service.post("/recover", {"email": f"{name}@example.com"}, {"X-Forwarded-For": place})


def _later(service: Service, seconds: int) -> None:
    service.rows(
        "UPDATE throttles SET free_at = free_at - %(by)s * interval '1 s', forgotten_at = forgotten_at - "
        "%(by)s * interval '1 s', counted_at = counted_at - %(by)s * interval '1 s'",
        by=seconds,
    )


def test_no_more_sms_are_ordered_in_an_hour_than_the_operator_pays_for(make: Callable[..., Service]) -> None:
    service = make(sms_per_hour=6)
    statuses = [_otp(service, f"4915100{n}0000", f"192.0.2.{n}").status for n in range(5)]
    assert statuses == [200] * 3 + [429] * 2, "half of them at once"
    refused = _otp(service, ALICE, "192.0.2.99")
    assert refused.code == "over_sms_send_rate_limit"
    assert 0 < int(refused.headers["Retry-After"]) <= 1_200
    judged = 3
    for n in range(7):
        _later(service, 600)
        judged += _otp(service, f"4916100{n}0000", f"198.51.100.{n}").status == 200
    assert judged == 6, "in seventy minutes as many as in an hour"


def test_of_orders_at_once_exactly_as_many_pass_as_may(make: Callable[..., Service]) -> None:
    service = make(sms_per_day=9)
    replies = at_once(lambda n: _otp(service, f"49151{n:02}00000", f"192.0.2.{n}"))
    assert sorted(reply.status for reply in replies) == [200] * 5 + [429] * 15
    assert len(service.rows("SELECT id FROM hook_calls")) == 5


@pytest.mark.parametrize(
    ("cap", "orders"),
    [
        ("sms_per_place", [(f"49151{n}0000000", "192.0.2.1") for n in range(3)]),
        ("sms_per_number", [(ALICE, f"192.0.2.{n}") for n in range(3)]),
        ("sms_per_block", [(f"4915112345{n}00", f"192.0.2.{n}") for n in range(3)]),
    ],
)
def test_each_cap_stops_its_own_and_nobody_else(
    make: Callable[..., Service], cap: str, orders: list[tuple[str, str]]
) -> None:
    service = make(**{cap: 2 if cap == "sms_per_number" else 4}, mail_interval_s=0)
    assert [_otp(service, *order).status for order in orders] == [200, 200, 429]
    assert _otp(service, ELSEWHERE, "203.0.113.5").status == 200


def test_a_refused_order_uses_nothing_up(make: Callable[..., Service]) -> None:
    service = make(sms_per_place=2, sms_per_hour=8)
    assert [_otp(service, f"49151{n}0000000").status for n in range(10)] == [200] + [429] * 9
    assert [_otp(service, f"49161{n}0000000", f"192.0.2.{n + 10}").status for n in range(4)] == [200] * 3 + [429]


def test_an_order_counts_the_same_whether_the_number_is_known_or_not(make: Callable[..., Service]) -> None:
    service = make(sms_per_place=8)
    service.rows("INSERT INTO users (id, phone) VALUES (gen_random_uuid(), %(phone)s)", phone=ALICE)
    known = [_otp(service, ALICE, "192.0.2.1", create_user=False) for _ in range(6)]
    unknown = [_otp(service, ELSEWHERE, "192.0.2.2", create_user=False) for _ in range(6)]
    assert [reply.status for reply in known] == [reply.status for reply in unknown] == [200] * 4 + [429] * 2


def test_numbers_of_countries_that_are_not_served_get_nothing(make: Callable[..., Service]) -> None:
    service = make(sms_prefixes="49, 1")
    assert _otp(service, ALICE).status == 200
    assert _otp(service, "12025550123").status == 200
    refused = _otp(service, ELSEWHERE)
    assert (refused.status, refused.code) == (400, "phone_provider_disabled")
    with pytest.raises(ValueError, match="without a plus"):
        make(sms_prefixes="+49")


def test_a_person_who_is_logged_in_orders_no_more_than_others(make: Callable[..., Service]) -> None:
    service = make(sms_per_place=2)
    alice = service.member("alice")
    assert alice.change(phone=f"+{ALICE}").status == 200
    assert alice.change(phone=f"+{ELSEWHERE}").code == "over_sms_send_rate_limit"
    factor = alice.post("/factors", {"factor_type": "phone", "friendly_name": "x", "phone": f"+{BOB}"})
    assert alice.post(f"/factors/{factor['id']}/challenge").code == "over_sms_send_rate_limit"


def test_a_number_with_a_fixed_code_is_never_counted(make: Callable[..., Service]) -> None:
    service = make(sms_per_hour=1, test_codes=f"+{ALICE}=123456")
    assert [_otp(service, ALICE).status for _ in range(4)] == [200] * 4


def test_mails_that_anybody_may_order_are_capped_by_place_and_in_all(make_service: Make) -> None:
    service = make_service(mails_per_place=4, mails_per_hour=8)
    assert [_recover(service, f"p{n}").status for n in range(3)] == [200, 200, 429]
    assert service.person("bob").sign_up().status == 200, "from another place"
    assert _recover(service, "p", "192.0.2.2").status == 200
    refused = _recover(service, "p", "192.0.2.3")
    assert (refused.status, refused.code) == (429, "over_email_send_rate_limit")
    for path, body in (
        ("/signup", {"email": "new@example.com", "password": PASSWORD}),
        ("/otp", {"email": "new@example.com"}),
        ("/magiclink", {"email": "new@example.com"}),
        ("/resend", {"type": "signup", "email": "bob@example.com"}),
    ):
        assert service.post(path, body).code == "over_email_send_rate_limit", path


def test_a_warning_goes_out_however_many_mails_were_ordered(make_service: Make) -> None:
    service = make_service(mails_per_hour=2)
    alice = service.member("alice")
    assert _recover(service, "bob").code == "over_email_send_rate_limit"
    stolen = alice.session["refresh_token"]
    for _ in range(2):
        alice.refresh()
    assert alice.refresh(stolen).code == "refresh_token_already_used"
    assert service.mail_to(alice.email)["device"] is not None


def test_the_metrics_say_how_near_the_caps_are(make: Callable[..., Service]) -> None:
    service = make(sms_per_hour=4, sms_per_day=40, mails_per_hour=400)
    for n in range(4):
        _otp(service, f"49151{n}0000000")
    text = service.app.test_client().get("/metrics").text
    for line in (
        'auth_message_cap{channel="sms",period="hour"} 4.0',
        'auth_message_cap{channel="sms",period="day"} 40.0',
        'auth_message_cap{channel="email",period="hour"} 400.0',
        'auth_messages_admitted_total{channel="sms"}',
        'auth_throttled_total{by="sms_hour"}',
    ):
        assert line in text, line


def test_the_owner_of_an_address_can_still_log_in_when_no_mail_may_be_ordered(make_service: Make) -> None:
    service = make_service(mails_per_hour=2)
    alice = service.member("alice")
    assert _recover(service, "alice").status == 429
    assert Person(service, alice.email).log_in().status == 200
