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
    [{"role": "admin"}, {"id": "x"}, {"phone": "123"}, {"password_hash": "$2b$…"}, {"ban_duration": "soon"}],
)
def test_what_is_not_offered_is_refused_and_makes_nobody(service: Service, root: Person, more: dict[str, Any]) -> None:
    assert root.administer("POST", body={"email": "bob@example.com", **more}).status in (400, 422)
    assert service.rows("SELECT 1 FROM users WHERE email = 'bob@example.com'") == []


def test_a_common_password_is_refused(root: Person) -> None:
    assert root.administer("POST", body={"email": "b@example.com", "password": "password1"}).code == "weak_password"
