"""POST /token?grant_type=refresh_token."""

import base64
import os

import pytest

from tests.auth.conftest import Make, Person, Service, at_once, claims_of


@pytest.fixture
def impatient(make_service: Make) -> Person:
    """Alice, where an exchanged token is old at once."""
    return make_service(refresh_reuse_interval_s=0).member("alice")


def test_a_refresh_gives_new_tokens_of_the_same_session(service: Service, alice: Person) -> None:
    before, sid = alice.session, alice.session_id
    reply = alice.refresh()
    assert reply.status == 200
    assert reply["refresh_token"] != before["refresh_token"]
    assert reply["access_token"] != before["access_token"]
    assert (alice.session_id, reply["user"]["id"]) == (sid, alice.user_id)
    assert alice.get("/user").status == 200
    assert service.events("session.revoked") == []


def test_a_stolen_refresh_token_ends_the_whole_session(service: Service, alice: Person) -> None:
    stolen = alice.session["refresh_token"]
    alice.refresh()
    alice.refresh()
    thief = alice.refresh(stolen)
    assert (thief.status, thief.code) == (400, "refresh_token_already_used")
    assert thief["msg"] == "Invalid Refresh Token: Already Used"
    user = alice.get("/user")
    assert (user.status, user.code) == (401, "session_not_found")
    assert alice.refresh().code == "session_not_found"
    (event,) = service.events("session.revoked")
    assert (event.subject, event.data["reason"]) == (alice.session_id, "reuse_detected")


def test_reuse_is_noticed_however_soon_it_comes(make_service: Make) -> None:
    alice = make_service(refresh_reuse_interval_s=120).member("alice")
    stolen = alice.session["refresh_token"]
    alice.refresh()
    alice.refresh()
    assert alice.refresh(stolen).code == "refresh_token_already_used"


def test_the_owner_is_told_by_mail_that_a_copy_was_used(service: Service, alice: Person) -> None:
    stolen = alice.log_in(**{"User-Agent": "Example/1 (iPhone; iOS 18)"})["refresh_token"]
    alice.refresh()
    alice.refresh()
    before = len(service.mails_to(alice.email))
    alice.refresh(stolen)
    alice.refresh(stolen)
    (mail,) = service.mails_to(alice.email)[before:]
    assert (mail["template"], mail["params"]["device"]) == ("reuse_detected", "iPhone")


def test_a_device_that_calls_itself_a_link_is_not_named_in_the_mail(service: Service, alice: Person) -> None:
    stolen = alice.log_in(**{"User-Agent": "Mozilla/5.0 (Linux; Android 15; https://evil.example.org Build/1)"})
    alice.refresh()
    alice.refresh()
    alice.refresh(stolen["refresh_token"])
    assert service.mails_to(alice.email)[-1]["params"]["device"] == ""


def test_reuse_in_one_session_leaves_the_others_alone(service: Service, alice: Person) -> None:
    other = Person(service, alice.email)
    other.log_in()
    stolen = alice.session["refresh_token"]
    alice.refresh()
    alice.refresh()
    alice.refresh(stolen)
    assert other.refresh().status == 200


def test_a_lost_answer_is_given_again(alice: Person) -> None:
    first = alice.session["refresh_token"]
    lost = alice.refresh(first)["refresh_token"]
    assert alice.refresh(first)["refresh_token"] == lost
    assert alice.refresh(first)["refresh_token"] == lost
    assert alice.refresh(lost).status == 200


def test_an_answer_lost_long_ago_is_replaced_by_a_newer_token(impatient: Person) -> None:
    first = impatient.session["refresh_token"]
    lost = impatient.refresh(first)["refresh_token"]
    lost_too = impatient.refresh(first)["refresh_token"]
    arrived = impatient.refresh(first)["refresh_token"]
    assert len({first, lost, lost_too, arrived}) == 4
    assert impatient.refresh(arrived).status == 200


def test_an_answer_that_was_said_to_be_lost_and_was_not_ends_the_session(impatient: Person) -> None:
    """The thief stays one step behind and asks for "the lost answer" after each of the owner's refreshes."""
    stolen = impatient.session["refresh_token"]
    owner = impatient.refresh(stolen)["refresh_token"]
    thief = impatient.refresh(stolen)
    assert thief.status == 200
    assert impatient.refresh(owner).code == "refresh_token_already_used"
    assert impatient.refresh(thief["refresh_token"]).code == "session_not_found"


def test_twenty_refreshes_at_once_agree_on_one_result(service: Service, alice: Person) -> None:
    token = alice.session["refresh_token"]
    replies = at_once(lambda _: Person(service, alice.email).refresh(token))
    assert {reply.status for reply in replies} == {200}
    assert len({reply["refresh_token"] for reply in replies}) == 1
    assert alice.refresh(replies[0]["refresh_token"]).status == 200
    assert service.events("session.revoked") == []


def test_after_a_log_out_the_refresh_token_is_dead(service: Service, alice: Person) -> None:
    service.call("POST", "/logout", headers=alice.headers)
    reply = alice.refresh()
    assert (reply.status, reply.code) == (400, "session_not_found")


def test_a_session_that_nobody_used_for_long_has_expired(service: Service, alice: Person) -> None:
    service.rows("UPDATE sessions SET refreshed_at = now() - interval '91 days'")
    assert alice.refresh().code == "session_expired"


def test_a_token_from_before_the_database_was_set_back_is_unknown(service: Service, alice: Person) -> None:
    alice.refresh()
    service.rows("UPDATE sessions SET refresh_issued = 0, refresh_accepted = -1")
    assert alice.refresh().code == "refresh_token_not_found"
    service.rows("DELETE FROM sessions")
    assert alice.refresh().code == "refresh_token_not_found"


def _with_byte(token: str, position: int, value: int) -> str:
    data = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    data[position] = (data[position] + value) % 256
    return base64.urlsafe_b64encode(bytes(data)).rstrip(b"=").decode()


def test_a_token_changed_anywhere_is_not_ours(service: Service, alice: Person) -> None:
    for position in range(53):
        forged = _with_byte(alice.session["refresh_token"], position, 1)
        assert Person(service, alice.email).refresh(forged).code == "refresh_token_not_found"
    assert service.events("session.revoked") == []
    assert alice.refresh().status == 200


def test_what_is_no_refresh_token_at_all_is_not_found(alice: Person) -> None:
    for token in ("x", "=", "ü", "a b", "A" * 71, "' OR 1=1 --", "🦊", "\r\nSet-Cookie: a=b"):
        reply = alice.refresh(token)
        assert (reply.status, reply.code) == (400, "refresh_token_not_found")


def test_a_token_of_another_installation_is_not_ours(make_service: Make) -> None:
    alice, other = make_service().member("alice"), make_service().member("alice")
    assert other.refresh(alice.session["refresh_token"]).code == "refresh_token_not_found"


def test_a_secret_key_may_be_added_in_front_and_old_tokens_stay_good(make_service: Make) -> None:
    old, new = base64.b64encode(os.urandom(32)).decode(), base64.b64encode(os.urandom(32)).decode()
    before = make_service(secret_keys=old)
    alice = before.member("alice")
    url = before.parts.settings.database_url.get_secret_value()
    alice.service = make_service(secret_keys=f"{new}, {old}", database_url=url)
    assert alice.get("/user").status == 200
    assert alice.refresh().status == 200
    assert alice.refresh().status == 200
    assert claims_of(alice.session["access_token"])["sub"] == alice.user_id
