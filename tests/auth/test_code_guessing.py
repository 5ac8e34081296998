"""Guessing six digits over days, with a new mail whenever a code is void; and what a stranger can spoil by it."""

import pytest

from tests.auth.conftest import Make, Person, Service, at_once


@pytest.fixture
def service(make_service: Make) -> Service:
    return make_service(mail_interval_s=0)


@pytest.fixture
def waiting(service: Service) -> Person:
    """Alice, who has signed up and got the mail."""
    alice = service.person("alice")
    alice.sign_up()
    return alice


def _guess_wrong(service: Service, waiting: Person, step: int = 1) -> None:
    wrong = (int(service.mail_to(waiting.email)["code"]) + step) % 1_000_000
    body = {"type": "signup", "email": waiting.email, "token": f"{wrong:06d}"}
    assert service.post("/verify", body).code == "otp_expired"


def _ask_again(service: Service, waiting: Person) -> None:
    assert service.post("/resend", {"type": "signup", "email": waiting.email}).status == 200


def _use_up_guesses(service: Service, waiting: Person) -> None:
    """Four mails, five wrong codes each; then a fifth mail, whose code nobody tried."""
    for _ in range(4):
        for _ in range(5):
            _guess_wrong(service, waiting)
        _ask_again(service, waiting)


def test_after_twenty_wrong_codes_a_new_one_is_not_taken_but_its_link_is(service: Service, waiting: Person) -> None:
    _use_up_guesses(service, waiting)
    assert waiting.confirm().code == "otp_expired"
    secret = service.mail_to(waiting.email)["token_hash"]
    assert service.post("/verify", {"type": "signup", "token_hash": secret}).status == 200


def test_nineteen_wrong_codes_leave_the_right_one_good(service: Service, waiting: Person) -> None:
    _use_up_guesses(service, waiting)
    service.rows("UPDATE users SET wrong_codes_at = wrong_codes_at[2:]")
    assert waiting.confirm().status == 200


def test_a_wrong_code_counts_for_a_day(service: Service, waiting: Person) -> None:
    _use_up_guesses(service, waiting)
    age = "UPDATE users SET wrong_codes_at = ARRAY(SELECT at - interval '24 hours' FROM unnest(wrong_codes_at) AS at)"
    service.rows(age)
    _guess_wrong(service, waiting)
    assert [len(row["wrong_codes_at"]) for row in service.rows("SELECT wrong_codes_at FROM users")] == [1]
    assert waiting.confirm().status == 200


def test_signing_up_again_gives_no_more_guesses(service: Service, waiting: Person) -> None:
    _use_up_guesses(service, waiting)
    waiting.sign_up()
    assert waiting.confirm().code == "otp_expired"


def test_guesses_at_once_do_not_slip_through(make_service: Make) -> None:
    service = make_service(mail_interval_s=0, wrong_codes_per_day=7)
    alice = service.person("alice")
    alice.sign_up()
    for _ in range(2):
        at_once(lambda n: _guess_wrong(service, alice, 1 + n), 12)
        _ask_again(service, alice)
    assert [len(row["wrong_codes_at"]) for row in service.rows("SELECT wrong_codes_at FROM users")] == [7]


def test_a_day_has_ten_mails_to_an_address_whoever_asks_and_the_last_link_works(
    service: Service, waiting: Person
) -> None:
    for _ in range(8):
        _ask_again(service, waiting)
        waiting.sign_up()
    assert len(service.mails_to(waiting.email)) == 10
    secret = service.mail_to(waiting.email)["token_hash"]
    assert service.post("/verify", {"type": "signup", "token_hash": secret}).status == 200
    for _ in range(3):
        waiting.sign_up()
    assert len(service.mails_to(waiting.email)) == 10, "nor does the owner of a confirmed address get more"


def test_the_mails_of_yesterday_do_not_count(service: Service, waiting: Person) -> None:
    for _ in range(12):
        _ask_again(service, waiting)
    service.rows(
        "UPDATE users SET mails_sent_at = ARRAY(SELECT at - interval '24 hours' FROM unnest(mails_sent_at) AS at)"
    )
    _ask_again(service, waiting)
    assert len(service.mails_to(waiting.email)) == 11
    assert [len(row["mails_sent_at"]) for row in service.rows("SELECT mails_sent_at FROM users")] == [1]


def test_who_has_no_link_that_works_gets_one_however_many_mails_strangers_used_up(
    service: Service, waiting: Person
) -> None:
    for _ in range(12):
        _ask_again(service, waiting)
    service.rows("UPDATE one_time_tokens SET expires_at = now()")
    for _ in range(3):
        _ask_again(service, waiting)
    assert len(service.mails_to(waiting.email)) == 11
    assert waiting.confirm().status == 200
