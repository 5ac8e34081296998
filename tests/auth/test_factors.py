"""POST /factors, /factors/{id}/challenge, /factors/{id}/verify, DELETE /factors/{id}, with an authenticator app."""

import pyotp
import pytest

from services.auth import totp
from services.auth.worker import clean_up
from tests.auth.authenticators import App
from tests.auth.conftest import Make, Person, Service, at_once, claims_of


@pytest.fixture
def app(alice: Person) -> App:
    """Alice's app, verified: her session is aal2."""
    made = App(alice)
    assert made.answer().status == 200
    return made


def _elsewhere(service: Service, alice: Person) -> Person:
    """Alice on another device, after the password only."""
    other = Person(service, alice.email)
    assert other.log_in().status == 200
    return other


def _factors(person: Person) -> list[tuple[str, str]]:
    return [(factor["factor_type"], factor["status"]) for factor in person.get("/user")["factors"]]


def test_an_app_is_enrolled_with_a_qr_code_that_a_data_url_can_hold_as_it_is(alice: Person) -> None:
    reply = alice.post("/factors", {"factor_type": "totp", "friendly_name": "phone", "issuer": "Example: the app"})
    assert (reply.status, reply["type"], reply["friendly_name"]) == (200, "totp", "phone")
    shown = pyotp.parse_uri(reply["totp"]["uri"])
    assert (shown.secret, shown.name) == (reply["totp"]["secret"], alice.email)
    assert len(shown.byte_secret()) == 20
    assert reply["totp"]["qr_code"].startswith("<svg ") and "#" not in reply["totp"]["qr_code"]
    assert _factors(alice) == [("totp", "unverified")]


def test_without_an_issuer_the_app_shows_the_host_of_the_site(alice: Person) -> None:
    reply = alice.post("/factors", {"factor_type": "totp"})
    assert pyotp.parse_uri(reply["totp"]["uri"]).issuer == "www.example.com"


def test_the_right_code_makes_the_session_aal2_and_verifies_the_factor(service: Service, alice: Person) -> None:
    app = App(alice)
    before = claims_of(alice.session["access_token"])
    assert app.answer().status == 200
    claims = claims_of(alice.session["access_token"])
    assert (before["aal"], claims["aal"], claims["sid"]) == ("aal1", "aal2", before["sid"])
    assert [entry["method"] for entry in claims["amr"]] == ["totp", "otp"], "the newest first, as clients expect"
    assert all(isinstance(entry["timestamp"], int) for entry in claims["amr"])
    assert alice.session["user"]["factors"][0]["status"] == "verified"
    assert alice.refresh().status == 200
    assert claims_of(alice.session["access_token"])["aal"] == "aal2"
    assert _factors(alice) == [("totp", "verified")]


def test_a_refresh_token_from_before_the_step_up_still_works_as_if_its_answer_was_lost(alice: Person) -> None:
    before = alice.session["refresh_token"]
    assert App(alice).answer().status == 200
    assert alice.refresh(before).status == 200
    assert claims_of(alice.session["access_token"])["aal"] == "aal2"


def test_the_seed_is_sealed_at_rest_and_never_shown_again(service: Service, alice: Person, app: App) -> None:
    (row,) = service.rows("SELECT seed_sealed FROM factors")
    secret = app.enrolled["totp"]["secret"]
    assert secret.encode() not in bytes(row["seed_sealed"])
    assert secret not in alice.get("/user").text


def test_its_owner_hears_of_a_new_factor_and_of_its_end(service: Service, alice: Person, app: App) -> None:
    (mail,) = [mail for mail in service.mails_to(alice.email) if mail["template"] == "factor_added"]
    assert mail["params"]["factor_type"] == "totp"
    assert alice.delete(f"/factors/{app.factor_id}").json == {"id": app.factor_id}
    assert service.mails_to(alice.email)[-1]["template"] == "factor_removed"
    events = service.events("user.security_changed")
    assert [event.data["change"] for event in events] == ["factor_added", "factor_removed"]
    assert {event.data["session_id"] for event in events} == {alice.session_id}


def test_a_code_works_once_also_in_another_session(service: Service, alice: Person, app: App) -> None:
    other = _elsewhere(service, alice)
    again = app.answer(app.code(), other)
    assert (again.status, again.code) == (422, "mfa_verification_failed")
    app.wait(service)
    assert app.answer(app.code(), other).status == 200


def test_of_twenty_tries_with_one_code_at_once_one_wins(service: Service, alice: Person, app: App) -> None:
    app.wait(service)
    people = [_elsewhere(service, alice) for _ in range(20)]
    challenges = [app.challenge(person) for person in people]
    code = app.code()
    replies = at_once(lambda n: app.answer(code, people[n], challenges[n]))
    assert sorted(reply.status for reply in replies) == [200] + [401] * 19, "the other sessions have ended by it"


def test_of_twenty_answers_to_one_challenge_at_once_one_wins(alice: Person) -> None:
    app = App(alice)
    challenge, code = app.challenge(), app.code()
    replies = at_once(lambda _: app.answer(code, None, challenge))
    assert sorted(reply.status for reply in replies) == [200] + [422] * 19


def test_an_older_code_is_refused_after_a_newer_one(service: Service, alice: Person) -> None:
    app = App(alice)
    assert app.answer(app.code(1)).status == 200
    assert app.answer(app.code(0)).code == "mfa_verification_failed"


@pytest.mark.parametrize(("step", "is_right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_off_not_two(step: int, is_right: bool) -> None:
    seed, at = totp.new_seed(), 1_800_000_015.0
    code = pyotp.TOTP(seed).generate_otp(int(at) // 30 + step)
    assert (totp.step_of(seed, code, at) == int(at) // 30 + step) is is_right


def test_codes_are_those_of_rfc_6238() -> None:
    seed = pyotp.TOTP("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").secret
    for at, code in [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]:
        assert totp.step_of(seed, code, at) == at // 30


@pytest.mark.parametrize("code", ["", "abc", "00000０", "1234567", "12345", "a" * 33, None, 123456])
def test_what_is_no_code_is_refused(alice: Person, code: object) -> None:
    app = App(alice)
    body = {"challenge_id": app.challenge(), "code": code}
    reply = alice.post(f"/factors/{app.factor_id}/verify", body)
    assert (reply.status, reply.code) in {(400, "validation_failed"), (422, "mfa_verification_failed")}
    assert claims_of(alice.session["access_token"])["aal"] == "aal1"


def test_sessions_that_showed_no_second_factor_end_when_one_is_shown(service: Service, alice: Person) -> None:
    other = _elsewhere(service, alice)
    App(alice).answer()
    assert other.get("/user").code == "session_not_found"
    (event,) = service.events("session.revoked")
    assert event.subject == other.session_id


def test_without_its_factor_a_session_is_aal1_again(service: Service, alice: Person, app: App) -> None:
    app.wait(service)
    other = _elsewhere(service, alice)
    assert app.answer(None, other).status == 200
    assert other.delete(f"/factors/{app.factor_id}").status == 200
    for person in (alice, other):
        assert person.refresh().status == 200
        claims = claims_of(person.session["access_token"])
        assert (claims["aal"], [entry["method"] for entry in claims["amr"]]) in [
            ("aal1", ["otp"]),
            ("aal1", ["password"]),
        ]


def test_a_session_that_stands_on_another_factor_stays_aal2(service: Service, alice: Person, app: App) -> None:
    tablet = App(alice, "tablet")
    assert tablet.answer().status == 200
    assert alice.delete(f"/factors/{app.factor_id}").status == 200
    alice.refresh()
    assert claims_of(alice.session["access_token"])["aal"] == "aal2"


def test_who_knows_only_the_password_removes_and_adds_nothing(service: Service, alice: Person, app: App) -> None:
    thief = _elsewhere(service, alice)
    removal = thief.delete(f"/factors/{app.factor_id}")
    assert (removal.status, removal.code) == (422, "insufficient_aal")
    enrolment = thief.post("/factors", {"factor_type": "totp", "friendly_name": "mine"})
    assert (enrolment.status, enrolment.code) == (403, "insufficient_aal")
    change = service.call("PUT", "/user", body={"password": "a new password"}, headers=thief.headers)
    assert (change.status, change.code) == (401, "insufficient_aal")
    change = service.call("PUT", "/user", body={"email": "thief@example.com"}, headers=thief.headers)
    assert (change.status, change.code) == (401, "insufficient_aal")
    assert service.call("PUT", "/user", body={"data": {"a": 1}}, headers=thief.headers).status == 200
    assert service.call("PUT", "/user", body={"password": "a new password"}, headers=alice.headers).status == 200


def test_a_factor_begun_before_another_was_verified_cannot_be_finished_with_the_password_only(
    service: Service, alice: Person
) -> None:
    begun = App(_elsewhere(service, alice), "thief's")
    assert App(alice).answer().status == 200
    again = _elsewhere(service, alice)
    begun.person = again
    service.rows("UPDATE factors SET expires_at = now() + interval '1 minute' WHERE name = 'thief''s'")
    reply = again.post(f"/factors/{begun.factor_id}/challenge")
    assert reply.code == "mfa_factor_not_found", "unverified ones of its kind went with the first that was verified"


def test_the_token_of_a_session_that_fell_back_does_not_count_as_aal2(
    service: Service, alice: Person, app: App
) -> None:
    tablet = App(alice, "tablet")
    assert tablet.answer().status == 200
    old_token = dict(alice.session)
    service.rows("UPDATE sessions SET aal = 'aal1'")
    alice.session = old_token
    assert claims_of(alice.session["access_token"])["aal"] == "aal2"
    assert alice.delete(f"/factors/{app.factor_id}").code == "insufficient_aal"


def test_mallory_sees_and_touches_nothing_of_alices_factor(alice: Person, mallory: Person, app: App) -> None:
    for reply in (
        mallory.post(f"/factors/{app.factor_id}/challenge"),
        mallory.post(f"/factors/{app.factor_id}/verify", {"challenge_id": app.challenge(), "code": app.code(1)}),
        mallory.delete(f"/factors/{app.factor_id}"),
    ):
        assert (reply.status, reply.code) == (404, "mfa_factor_not_found")
    assert mallory.get("/user")["factors"] == []


def test_a_challenge_belongs_to_one_session_and_factor_and_is_void_after_the_next(
    service: Service, alice: Person, app: App
) -> None:
    app.wait(service)
    other = _elsewhere(service, alice)
    first = app.challenge(other)
    assert app.answer(None, other, app.challenge(alice)).code == "mfa_factor_not_found"
    second = app.challenge(other)
    assert app.answer(None, other, first).code == "mfa_factor_not_found"
    assert app.answer(None, other, second).status == 200


def test_a_challenge_expires(service: Service, alice: Person) -> None:
    app = App(alice)
    challenge = app.challenge()
    service.rows("UPDATE factor_challenges SET expires_at = now()")
    reply = app.answer(None, None, challenge)
    assert (reply.status, reply.code) == (422, "mfa_challenge_expired")


def test_a_factor_that_nobody_verifies_is_gone_after_a_while(service: Service, alice: Person) -> None:
    app = App(alice)
    service.rows("UPDATE factors SET expires_at = now()")
    assert _factors(alice) == []
    assert alice.post(f"/factors/{app.factor_id}/challenge").code == "mfa_factor_not_found"
    assert App(alice).enrolled.status == 200, "its name is free again"
    service.rows("UPDATE factors SET expires_at = now()")
    assert clean_up(service.db, service.parts.settings) == 1
    assert service.rows("SELECT id FROM factors") == []


def test_expired_challenges_are_cleaned_up(service: Service, app: App) -> None:
    service.rows("UPDATE factor_challenges SET expires_at = now()")
    assert clean_up(service.db, service.parts.settings) == 1


def test_names_are_told_apart_and_there_are_ten_factors_at_most(service: Service, alice: Person) -> None:
    App(alice, "one")
    reply = alice.post("/factors", {"factor_type": "totp", "friendly_name": "one"})
    assert (reply.status, reply.code) == (422, "mfa_factor_name_conflict")
    replies = at_once(lambda n: alice.post("/factors", {"factor_type": "totp", "friendly_name": f"app {n}"}), 12)
    assert sorted(reply.status for reply in replies) == [200] * 9 + [422] * 3
    assert {reply.code for reply in replies if reply.status == 422} == {"too_many_enrolled_mfa_factors"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"factor_type": "phone", "phone": "+4915112345678"}, 422, "mfa_phone_enroll_not_enabled"),
        ({"factor_type": "phone", "phone": "12"}, 400, "validation_failed"),
        ({"factor_type": "carrier pigeon"}, 400, "validation_failed"),
        ({}, 400, "validation_failed"),
        ({"factor_type": "totp", "friendly_name": "x" * 121}, 400, "validation_failed"),
    ],
)
def test_what_cannot_be_enrolled(alice: Person, body: dict[str, str], status: int, code: str) -> None:
    reply = alice.post("/factors", body)
    assert (reply.status, reply.code) == (status, code)


def test_a_guest_has_no_second_factor(service: Service, alice: Person) -> None:
    service.rows("UPDATE users SET is_anonymous = true")
    reply = alice.post("/factors", {"factor_type": "totp"})
    assert (reply.status, reply.code) == (403, "no_authorization")


def test_guesses_from_one_place_are_bounded(make_service: Make) -> None:
    service = make_service(log_in_tries=5)
    alice = service.member("alice")
    app = App(alice)
    challenge = app.challenge()
    replies = [app.answer(app.wrong_code(), None, challenge) for _ in range(5)]
    assert {reply.code for reply in replies} == {"mfa_verification_failed"}
    sixth = app.answer(None, None, challenge)
    assert (sixth.status, sixth.code) == (429, "over_request_rate_limit")
    assert 0 < int(sixth.headers["Retry-After"]) <= 900


def _from(app: App, place: str, code: str) -> int:
    """Answer from another address; the status."""
    person = app.person
    headers = {**person.headers, "X-Forwarded-For": place}
    body = {"challenge_id": app.challenge(), "code": code}
    return person.service.post(f"/factors/{app.factor_id}/verify", body, headers).status


def test_guesses_of_a_day_are_bounded_from_all_places_together_but_not_where_the_owner_was(
    make_service: Make, service: Service
) -> None:
    service = make_service(wrong_codes_per_day=7)
    alice = service.member("alice")
    app = App(alice)
    assert _from(app, "192.0.2.1", app.code()) == 200
    app.wait(service)
    statuses = [_from(app, f"203.0.113.{n}", app.wrong_code()) for n in range(10)]
    assert statuses == [422] * 7 + [429] * 3
    assert _from(app, "203.0.113.99", app.code()) == 429
    assert _from(app, "192.0.2.1", app.code()) == 200, "a stranger locks nobody out"
    service.rows(
        "UPDATE factors SET wrong_codes_at = ARRAY(SELECT at - interval '1 day' FROM unnest(wrong_codes_at) AS at)"
    )
    app.wait(service)
    assert _from(app, "203.0.113.99", app.code()) == 200


def test_guesses_at_once_do_not_slip_through(make_service: Make) -> None:
    service = make_service(wrong_codes_per_day=7)
    app = App(service.member("alice"))
    challenge, wrong = app.challenge(), app.wrong_code()
    replies = at_once(lambda _: app.answer(wrong, None, challenge))
    assert sorted(reply.status for reply in replies) == [422] * 7 + [429] * 13


def test_a_household_is_one_place_whatever_its_ipv6_addresses_end_with(make_service: Make) -> None:
    service = make_service(log_in_tries=3)
    app = App(service.member("alice"))
    statuses = [_from(app, f"2001:db8:0:1::{n:x}", app.wrong_code()) for n in range(1, 6)]
    assert statuses == [422] * 3 + [429] * 2
    assert _from(app, "2001:db8:0:2::1", app.code()) == 200


def test_the_owner_is_told_that_somebody_guesses(service: Service, alice: Person, app: App) -> None:
    thief = _elsewhere(service, alice)
    for _ in range(6):
        app.answer(app.wrong_code(), thief)
    assert [mail["template"] for mail in service.mails_to(alice.email)].count("codes_guessed") == 1
