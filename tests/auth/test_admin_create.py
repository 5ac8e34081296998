"""POST /admin/users."""

from typing import Any

import pytest

from tests.auth.conftest import PASSWORD, Person, Service


def test_somebody_whose_address_counts_as_confirmed_logs_in_at_once(service: Service, root: Person) -> None:
    bob = service.person("bob")
    metadata = {"user_metadata": {"name": "Bob"}, "app_metadata": {"plan": "pro"}}
    reply = root.administer("POST", body={"email": bob.email, "password": PASSWORD, "email_confirm": True, **metadata})
    assert reply.status == 200
    assert (reply["user_metadata"], reply["app_metadata"]["plan"]) == ({"name": "Bob"}, "pro")
    assert reply["role"] == "authenticated"
    assert bob.log_in().status == 200
    assert [event.subject for event in service.events("user.registered")][-1] == bob.user_id
    assert [event.subject for event in service.events("user.updated")][-1] == bob.user_id
    assert service.mails_to(bob.email) == []
    done = ["user.created", "user.confirmed", "user.password_set", "user.metadata_set", "user.app_metadata_set"]
    assert service.deeds(root) == [(deed, bob.user_id) for deed in done]


def test_without_email_confirm_the_address_is_still_to_be_confirmed(service: Service, root: Person) -> None:
    bob = service.person("bob")
    assert root.administer("POST", body={"email": bob.email, "password": PASSWORD}).status == 200
    assert bob.log_in().code == "email_not_confirmed"


def test_an_address_that_is_taken_is_said_to_be(service: Service, root: Person, alice: Person) -> None:
    reply = root.administer("POST", body={"email": alice.email.upper(), "password": "another password"})
    assert (reply.status, reply.code) == (422, "email_exists")
    assert alice.log_in().status == 200
    assert service.deeds(root) == []


@pytest.mark.parametrize(
    "more",
    [
        {"role": "service"},
        {"roles": ["admin"]},
        {"id": "x"},
        {"phone": "123"},
        {"password_hash": "$2b$…"},
        {"password_hash": "$argon2id$v=19$m=9999999,t=99,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"},
        {"password": "correct horse", "password_hash": "$2b$04$abcdefghijklmnopqrstuu5LFzmhhqP7LfaFHzL3M8TCc3S5gQnGu"},
        {"ban_duration": "soon"},
        {"role": "admin"},
    ],
)
def test_what_is_not_offered_is_refused_and_makes_nobody(service: Service, root: Person, more: dict[str, Any]) -> None:
    assert root.administer("POST", body={"email": "bob@example.com", **more}).status in (400, 422)
    assert service.rows("SELECT 1 FROM users WHERE email = 'bob@example.com'") == []


def test_an_id_and_a_hash_from_elsewhere_and_a_number_are_kept(service: Service, root: Person, alice: Person) -> None:
    (row,) = service.rows("SELECT password_hash FROM users WHERE id = %(id)s", id=alice.user_id)
    user_id = "01900000-0000-7000-8000-0000000000bb"
    body = {
        "id": user_id,
        "email": "bob@example.com",
        "email_confirm": True,
        "phone": "+15550100",
        "phone_confirm": True,
        "password_hash": row["password_hash"],
    }
    reply = root.administer("POST", body=body)
    assert (reply["id"], reply["phone"], bool(reply["phone_confirmed_at"])) == (user_id, "15550100", True)
    assert [one["provider"] for one in reply["identities"]] == ["email", "phone"]
    assert service.person("bob").log_in().status == 200
    for again, code in (
        ({"id": user_id, "email": "other@example.com"}, "user_already_exists"),
        ({"phone": "+15550100"}, "phone_exists"),
        ({}, "validation_failed"),
    ):
        assert root.administer("POST", body=again).code == code


def test_a_user_with_a_number_alone_is_made(service: Service, root: Person) -> None:
    reply = root.administer("POST", body={"phone": "+15550100", "phone_confirm": True})
    assert (reply.status, reply["email"], reply["phone"]) == (200, "", "15550100")
    assert reply["app_metadata"] == {"provider": "phone", "providers": ["phone"]}
    assert service.events("user.registered")[-1].subject == reply["id"]


def test_a_common_password_is_refused(root: Person) -> None:
    assert root.administer("POST", body={"email": "b@example.com", "password": "password1"}).code == "weak_password"
