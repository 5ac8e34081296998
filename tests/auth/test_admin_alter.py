"""PUT /admin/users/{user_id}: addresses, confirmation, password, metadata, ban."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.auth.conftest import PASSWORD, Make, Person, Service, claims_of


def _ban(root: Person, person: Person, duration: str = "24h") -> None:
    assert root.administer("PUT", f"/{person.user_id}", {"ban_duration": duration}).status == 200


def test_metadata_is_merged_and_the_token_says_what_the_app_is_to_know(
    service: Service, root: Person, alice: Person
) -> None:
    change = {"user_metadata": {"name": "A", "gone": 1}, "app_metadata": {"plan": "pro"}}
    root.administer("PUT", f"/{alice.user_id}", change)
    reply = root.administer("PUT", f"/{alice.user_id}", {"user_metadata": {"gone": None}})
    assert reply["user_metadata"] == {"name": "A"}
    assert reply["app_metadata"] == {"provider": "email", "providers": ["email"], "plan": "pro"}
    alice.refresh()
    assert claims_of(alice.session["access_token"])["app_metadata"]["plan"] == "pro"
    deeds = ["user.metadata_set", "user.app_metadata_set", "user.metadata_set"]
    assert service.deeds(root) == [(deed, alice.user_id) for deed in deeds]


def test_what_every_token_carries_is_bounded_however_it_grew(root: Person, alice: Person) -> None:
    path = f"/{alice.user_id}"
    assert root.administer("PUT", path, {"app_metadata": {"a": "x" * 3000}}).status == 200
    assert root.administer("PUT", path, {"app_metadata": {"b": "x" * 3000}}).code == "metadata_too_large"
    assert "b" not in root.administer("GET", path)["app_metadata"]


def test_a_new_password_ends_every_session_and_counts(service: Service, root: Person, alice: Person) -> None:
    root.administer("PUT", f"/{alice.user_id}", {"password": "quite another password"})
    assert alice.get("/user").code == "session_not_found"
    assert alice.log_in().code == "invalid_credentials"
    alice.password = "quite another password"
    assert alice.log_in().status == 200
    assert [event.data["reason"] for event in service.events("session.revoked")] == ["password_changed"]
    assert service.deeds(root) == [("user.password_set", alice.user_id)]


def test_an_address_is_confirmed_and_the_others_are_told(service: Service, root: Person) -> None:
    bob = service.person("bob")
    user_id = bob.sign_up()["id"]
    assert root.administer("PUT", f"/{user_id}", {"email_confirm": True})["email_confirmed_at"]
    assert bob.log_in().status == 200
    assert service.events("user.updated")[-1].subject == user_id


def test_of_a_contested_address_no_password_counts_that_was_signed_up_with(service: Service, root: Person) -> None:
    bob, stranger = service.person("bob"), service.person("bob")
    stranger.password = "the password of a stranger"
    user_id = stranger.sign_up(data={"name": "stranger"})["id"]
    bob.sign_up()
    (row,) = service.rows("SELECT is_contested FROM users WHERE id = %(id)s", id=user_id)
    assert row["is_contested"]
    assert root.administer("PUT", f"/{user_id}", {"email_confirm": True})["user_metadata"] == {}
    assert {bob.log_in().code, stranger.log_in().code} == {"invalid_credentials"}


def test_a_banned_user_is_out_and_comes_back_when_the_ban_is_lifted(
    service: Service, root: Person, alice: Person, mallory: Person
) -> None:
    session_id = alice.session_id
    _ban(root, alice)
    revoked = [(event.subject, event.data["reason"]) for event in service.events("session.revoked")]
    assert revoked == [(session_id, "ended_by_admin")]
    assert alice.get("/user").code == "session_not_found"
    assert (alice.log_in().status, alice.log_in().code) == (400, "user_banned")
    assert (alice.refresh().status, alice.refresh().code) == (400, "user_banned")
    assert mallory.log_in().status == 200
    _ban(root, alice, "none")
    assert alice.log_in().status == 200
    assert service.deeds(root) == [("user.banned", alice.user_id), ("user.unbanned", alice.user_id)]


def test_a_banned_user_gets_in_by_no_mail_either_and_the_password_must_be_right_to_learn_of_the_ban(
    service: Service, root: Person, alice: Person
) -> None:
    _ban(root, alice)
    service.post("/recover", {"email": alice.email})
    assert alice.verify("recovery").code == "user_banned"
    alice.password = "not this one"
    assert alice.log_in().code == "invalid_credentials"
    assert service.rows("SELECT 1 FROM sessions WHERE user_id = %(id)s AND ended_at IS NULL", id=alice.user_id) == []


def test_a_ban_ends_by_itself(service: Service, root: Person, alice: Person) -> None:
    _ban(root, alice)
    service.rows("UPDATE users SET banned_until = now() - interval '1 second' WHERE id = %(id)s", id=alice.user_id)
    assert alice.log_in().status == 200


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86_400), ("1h30m", 5_400), ("0.5h", 1_800), ("876000h", 3.1536e9)]
)
def test_a_ban_is_as_long_as_it_says(root: Person, alice: Person, text: str, seconds: float) -> None:
    before = datetime.now(UTC)
    reply = root.administer("PUT", f"/{alice.user_id}", {"ban_duration": text})
    until = datetime.fromisoformat(reply["banned_until"])
    assert before <= until - timedelta(seconds=seconds) <= datetime.now(UTC)


@pytest.mark.parametrize(
    "body",
    [
        *({"ban_duration": text} for text in ("", "24", "h", "-1h", "0s", "1d", "1h 2m", "999999999h", "1e9h", 24)),
        {"role": "service"},
        {"email": "root@example.com"},
        {"email": "no address"},
        {"is_anonymous": True},
        {"password": "password1"},
        {"email_confirm": "yes"},
    ],
)
def test_what_is_not_offered_or_wrong_changes_nothing(
    service: Service, root: Person, alice: Person, body: dict[str, Any]
) -> None:
    before = alice.get("/user").json
    assert root.administer("PUT", f"/{alice.user_id}", body).status in (400, 422)
    assert alice.get("/user").json == before
    assert service.deeds(root) == []


def test_a_new_address_counts_at_once_and_the_old_one_is_told(service: Service, root: Person, alice: Person) -> None:
    old, alice.email = alice.email, "new@example.com"
    alice.change(email="asked@example.com")
    reply = root.administer("PUT", f"/{alice.user_id}", {"email": "New@example.com"})
    assert (reply["email"], reply["new_email"], bool(reply["email_confirmed_at"])) == ("new@example.com", None, True)
    assert [one["email"] for one in reply["identities"]] == ["new@example.com"]
    told = service.mails_to(old)[-1]
    assert (told["template"], told["params"]["new_email"]) == ("email_changed", "new@example.com")
    assert service.events("user.updated")[-1].data["email"] == "new@example.com"
    token = service.mail_to("asked@example.com")["code"]
    assert alice.verify("email_change", email="asked@example.com", token=token).code == "otp_expired"
    assert alice.get("/user").status == 200, "an address ends no session, as there"
    assert alice.log_in().status == 200
    assert service.deeds(root) == [("user.email_set", alice.user_id)]


def test_a_number_counts_when_it_is_said_to_be_confirmed(make_service: Make) -> None:
    service = make_service(test_codes="+15550100=123456")
    root, alice = service.administrator("root"), service.member("alice")
    reply = root.administer("PUT", f"/{alice.user_id}", {"phone": "+1 555 0100"})
    assert (reply["phone"], reply["phone_confirmed_at"]) == ("15550100", None)
    assert reply["app_metadata"]["providers"] == ["email", "phone"]
    log_in = {"phone": "+15550100", "password": PASSWORD}
    assert service.post("/token?grant_type=password", log_in).code == "phone_not_confirmed"
    assert root.administer("PUT", f"/{alice.user_id}", {"phone_confirm": True})["phone_confirmed_at"]
    assert service.post("/token?grant_type=password", log_in).status == 200
    bob = service.member("bob")
    assert root.administer("PUT", f"/{bob.user_id}", {"phone": "+15550100"}).code == "phone_exists"
    assert service.deeds(root) == [("user.phone_set", alice.user_id), ("user.phone_confirmed", alice.user_id)]


def test_a_guest_who_is_given_an_address_is_none_any_more(make_service: Make) -> None:
    service = make_service(guests=True)
    root, guest = service.administrator("root"), service.guest("guest")
    body = {"email": guest.email, "email_confirm": True, "password": PASSWORD}
    reply = root.administer("PUT", f"/{guest.user_id}", body)
    assert (reply["is_anonymous"], bool(reply["email_confirmed_at"])) == (False, True)
    assert guest.log_in().status == 200


def test_a_hash_of_another_system_is_taken(service: Service, root: Person, alice: Person) -> None:
    (row,) = service.rows("SELECT password_hash FROM users WHERE id = %(id)s", id=alice.user_id)
    mallory = service.member("mallory")
    mallory.password = PASSWORD
    assert root.administer("PUT", f"/{mallory.user_id}", {"password_hash": row["password_hash"]}).status == 200
    assert mallory.get("/user").code == "session_not_found"
    assert mallory.log_in().status == 200


def test_nobody_gets_into_the_account_of_another_administrator(service: Service, root: Person) -> None:
    other = service.administrator("toor")
    for body in ({"password": "correct horse battery"}, {"email": "x@example.com"}, {"phone": "+15550100"}):
        reply = root.administer("PUT", f"/{other.user_id}", body)
        assert (reply.status, reply.code) == (403, "admin_protected")
    assert other.get("/user").status == 200
    assert root.administer("PUT", f"/{other.user_id}", {"role": "authenticated"}).status == 200
    assert root.administer("PUT", f"/{other.user_id}", {"password": "correct horse battery"}).status == 200
