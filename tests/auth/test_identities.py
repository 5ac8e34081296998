"""GET /user/identities/authorize and DELETE /user/identities/{identity_id}."""

from typing import Any

import pytest

from services.auth import store
from shared.errors import UnprocessableContent
from shared.ids import new_id
from tests.auth.conftest import Person, Service, at_once


def _link(service: Service, person: Person, provider: str = "google", provider_id: str | None = None) -> str:
    with service.db.transaction() as conn:
        made = store.insert_identity(
            conn,
            person.get("/user")["id"],
            provider,
            provider_id or str(new_id()),
            email="alice@elsewhere.example",
            identity_data={"sub": "1", "name": "Alice"},
        )
    return str(made)


def _identities(person: Person) -> dict[str, Any]:
    return {identity["provider"]: identity for identity in person.get("/user")["identities"]}


def test_all_that_lets_a_person_in_is_listed(service: Service, alice: Person) -> None:
    linked = _link(service, alice)
    service.rows("UPDATE users SET phone = '4915112345678', phone_confirmed_at = now()")
    identities = _identities(alice)
    assert list(identities) == ["email", "phone", "google"]
    assert identities["google"]["identity_id"] == linked
    assert identities["google"]["email"] == "alice@elsewhere.example"
    assert identities["phone"]["identity_data"]["phone_verified"] is True
    assert alice.get("/user")["app_metadata"] == {"provider": "email", "providers": ["email", "google"]}


def test_an_account_elsewhere_is_unlinked(service: Service, alice: Person) -> None:
    linked = _link(service, alice)
    reply = alice.delete(f"/user/identities/{linked}")
    assert (reply.status, reply.json) == (200, {})
    assert list(_identities(alice)) == ["email"]
    assert alice.get("/user")["app_metadata"]["providers"] == ["email"]


def test_of_two_accounts_with_one_provider_the_provider_stays(service: Service, alice: Person) -> None:
    first, _ = _link(service, alice), _link(service, alice)
    assert alice.delete(f"/user/identities/{first}").status == 200
    assert alice.get("/user")["app_metadata"]["providers"] == ["email", "google"]


def test_the_last_one_stays(service: Service, alice: Person) -> None:
    reply = alice.delete(f"/user/identities/{alice.user_id}")
    assert (reply.status, reply.code) == (422, "single_identity_not_deletable")


def test_a_number_that_nobody_confirmed_is_no_way_in_that_could_be_left(service: Service, alice: Person) -> None:
    service.rows("UPDATE users SET phone = '4915112345678'")
    assert alice.delete(f"/user/identities/{alice.user_id}").code == "single_identity_not_deletable"


def test_without_the_address_its_password_and_its_mails_let_nobody_in_and_others_are_told(
    service: Service, alice: Person
) -> None:
    _link(service, alice)
    service.post("/recover", {"email": alice.email})
    recovery = service.mail_to(alice.email)["token_hash"]
    assert alice.delete(f"/user/identities/{alice.user_id}").status == 200
    assert list(_identities(alice)) == ["google"]
    assert alice.get("/user")["app_metadata"] == {"provider": "google", "providers": ["google"]}
    assert alice.log_in().code == "invalid_credentials"
    assert service.post("/verify", {"type": "recovery", "token_hash": recovery}).code == "otp_expired"
    event = service.events("user.updated")[-1]
    assert (event.subject, event.data["email"]) == (alice.get("/user")["id"], None)


def test_with_a_number_the_password_stays(service: Service, alice: Person) -> None:
    service.rows("UPDATE users SET phone = '4915112345678', phone_confirmed_at = now()")
    assert alice.delete(f"/user/identities/{alice.user_id}").status == 200
    body = {"phone": "+4915112345678", "password": alice.password}
    assert service.post("/token?grant_type=password", body).status == 200


def test_nobody_unlinks_somebody_elses(service: Service, alice: Person, mallory: Person) -> None:
    linked = _link(service, alice)
    _link(service, mallory)
    reply = mallory.delete(f"/user/identities/{linked}")
    assert (reply.status, reply.code) == (422, "identity_not_found")
    assert linked == _identities(alice)["google"]["identity_id"]


def test_of_all_unlinked_at_once_one_is_left(service: Service, alice: Person) -> None:
    ids = [alice.user_id, *(_link(service, alice, f"provider{n}") for n in range(9))]
    replies = at_once(lambda n: alice.delete(f"/user/identities/{ids[n]}"), 10)
    assert sorted(reply.status for reply in replies) == [200] * 9 + [422]
    assert len(_identities(alice)) == 1


def test_an_account_elsewhere_belongs_to_one_person(service: Service, alice: Person, mallory: Person) -> None:
    _link(service, alice, provider_id="1")
    with pytest.raises(UnprocessableContent) as refused:
        _link(service, mallory, provider_id="1")
    assert refused.value.code == "identity_already_exists"


def test_no_provider_is_configured_yet_and_clients_are_told(alice: Person) -> None:
    reply = alice.get("/user/identities/authorize?provider=google&skip_http_redirect=true")
    assert (reply.status, reply.code) == (400, "validation_failed")
    assert "provider is not enabled" in reply["msg"]
