"""POST /signup without an address: guests, and what becomes of them."""

from datetime import timedelta

import pytest

from services.auth.worker import clean_up
from tests.auth.conftest import Make, Person, Reply, Service, claims_of

NEW_PASSWORD = "the first password of a guest"


@pytest.fixture
def service(make_service: Make) -> Service:
    return make_service(guests=True, mail_interval_s=0)


@pytest.fixture
def guest(service: Service) -> Person:
    """Somebody without an address, who is about to give alice@example.com."""
    return service.guest("alice")


def _confirm(service: Service, email: str) -> Reply:
    token = service.mail_to(email)["code"]
    return service.post("/verify", {"type": "email_change", "email": email, "token": token})


def test_a_guest_is_let_in_at_once_and_is_one_everywhere(service: Service, guest: Person) -> None:
    claims = claims_of(guest.session["access_token"])
    assert (claims["is_anonymous"], claims["role"], claims["amr"][0]["method"]) == (True, "authenticated", "anonymous")
    user = guest.get("/user")
    assert (user["is_anonymous"], user["email"], user["identities"]) == (True, "", [])
    (event,) = service.events("user.registered")
    assert (event.subject, event.data["is_anonymous"], event.data["email"]) == (guest.user_id, True, None)
    assert guest.refresh().status == 200
    assert service.events("message.requested") == []


def test_data_becomes_user_metadata(service: Service) -> None:
    assert service.post("/signup", {"data": {"theme": "dark"}})["user"]["user_metadata"] == {"theme": "dark"}


def test_no_guests_where_they_are_not_wanted(make_service: Make) -> None:
    service = make_service()
    reply = service.post("/signup", {"data": {}})
    assert (reply.status, reply.code) == (422, "anonymous_provider_disabled")
    assert service.rows("SELECT 1 FROM users") == []


def test_a_password_without_an_address_is_no_guest(service: Service) -> None:
    reply = service.post("/signup", {"password": "long enough"})
    assert (reply.status, reply["errors"][0]["pointer"]) == (400, "#/email")


def test_guests_from_one_place_are_bounded(make_service: Make) -> None:
    service = make_service(guests=True, guests_per_place=3)
    replies = [service.post("/signup", {}) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    assert replies[-1].code == "over_request_rate_limit"
    elsewhere = service.post("/signup", {}, {"X-Forwarded-For": "192.0.2.7"})
    assert elsewhere.status == 200


def test_with_an_address_that_is_confirmed_a_guest_is_none_any_more_and_keeps_the_id(
    service: Service, guest: Person
) -> None:
    reply = guest.change(email=guest.email, password=NEW_PASSWORD, data={"name": "Alice"})
    assert (reply.status, reply["is_anonymous"], reply["new_email"]) == (200, True, guest.email)
    assert Person(service, guest.email, NEW_PASSWORD).log_in().code == "invalid_credentials", (
        "not before it is confirmed"
    )
    confirmed = _confirm(service, guest.email)
    assert (confirmed["user"]["id"], confirmed["user"]["is_anonymous"]) == (guest.user_id, False)
    assert confirmed["user"]["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert guest.get("/user")["identities"][0]["provider"] == "email"
    event = service.events("user.updated")[-1]
    assert (event.subject, event.data["email"]) == (guest.user_id, guest.email)
    assert Person(service, guest.email, NEW_PASSWORD).log_in().status == 200
    guest.refresh()
    assert claims_of(guest.session["access_token"])["is_anonymous"] is False


def test_with_autoconfirm_the_address_counts_at_once(make_service: Make) -> None:
    service = make_service(guests=True, autoconfirm=True)
    guest = service.guest("alice")
    assert guest.change(email=guest.email, password=NEW_PASSWORD)["is_anonymous"] is False
    assert Person(service, guest.email, NEW_PASSWORD).log_in().status == 200


def test_a_guest_sets_no_password_without_an_address(guest: Person) -> None:
    reply = guest.change(password=NEW_PASSWORD)
    assert (reply.status, reply.code) == (422, "validation_failed")


def test_a_guest_is_told_that_an_address_has_an_account_so_that_the_app_can_offer_to_merge(
    service: Service, guest: Person
) -> None:
    service.member("alice")
    assert guest.change(email=guest.email).code == "email_exists"


def test_a_guest_who_has_gone_is_deleted_and_the_others_are_told(service: Service, guest: Person) -> None:
    stays, member = service.guest("bob"), service.member("carol")
    guest.post("/logout")
    service.rows("UPDATE users SET last_sign_in_at = now() - %(age)s", age=timedelta(days=31))
    clean_up(service.db, service.parts.settings)
    left = {str(row["id"]) for row in service.rows("SELECT id FROM users")}
    assert left == {stays.user_id, member.user_id}
    assert [event.subject for event in service.events("user.deletion_requested")] == [guest.user_id]


def test_a_guest_who_left_a_moment_ago_is_kept_for_a_while(service: Service, guest: Person) -> None:
    guest.post("/logout")
    clean_up(service.db, service.parts.settings)
    assert len(service.rows("SELECT 1 FROM users")) == 1
