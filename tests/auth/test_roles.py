"""Roles of people: PUT and DELETE /admin/users/{user_id}/roles/{role}, the command, and what tokens say."""

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from tests.auth.conftest import Make, Person, Service, Start, claims_of, output_of

ROLES = "support=tickets:read tickets:write, editor=articles:write tickets:read,admin=reports:read"


@pytest.fixture
def house(make_service: Make) -> Iterator[Service]:
    return make_service(role_scopes=ROLES)


def _scope(person: Person) -> str:
    assert person.refresh().status == 200
    return str(claims_of(person.session["access_token"])["scope"])


def test_scopes_of_every_role_are_in_the_next_token_each_once(house: Service) -> None:
    root, alice = house.administrator("root"), house.member("alice")
    for role in ("support", "editor"):
        reply = root.administer("PUT", f"/{alice.user_id}/roles/{role}")
        assert reply.status == 200
    assert (reply["role"], reply["roles"]) == ("authenticated", ["support", "editor"])
    assert _scope(alice) == "tickets:read tickets:write articles:write"
    assert claims_of(alice.session["access_token"])["role"] == "authenticated"
    assert claims_of(root.session["access_token"])["scope"] == "auth:admin reports:read"
    assert alice.get("/user")["roles"] == ["support", "editor"]
    assert house.deeds(root) == [("role.granted", alice.user_id)] * 2
    assert root.administer("PUT", f"/{alice.user_id}/roles/editor").status == 200
    assert len(house.deeds(root)) == 2, "what is there already is no deed"


def test_a_role_that_is_taken_back_is_gone_at_once_for_its_sessions_end(house: Service) -> None:
    root, alice = house.administrator("root"), house.member("alice")
    root.administer("PUT", f"/{alice.user_id}/roles/support")
    assert _scope(alice)
    reply = root.administer("DELETE", f"/{alice.user_id}/roles/support")
    assert (reply.status, reply["roles"]) == (200, [])
    told = [(event.subject, event.data["reason"]) for event in house.events("session.revoked")]
    assert told == [(alice.session_id, "ended_by_admin")]
    assert alice.refresh().code == "session_not_found"
    alice.log_in()
    assert _scope(alice) == ""
    assert house.deeds(root)[-1] == ("role.revoked", alice.user_id)


def test_an_administrator_makes_another_one_and_takes_it_back_by_the_word_of_the_protocol(house: Service) -> None:
    root, alice = house.administrator("root"), house.member("alice")
    assert root.administer("PUT", f"/{alice.user_id}", {"role": "admin"})["role"] == "admin"
    alice.refresh()
    assert alice.administer("GET").status == 200
    assert root.administer("PUT", f"/{alice.user_id}", {"role": "authenticated"})["role"] == "authenticated"
    assert alice.administer("GET").code == "session_not_found"


def test_who_has_confirmed_no_address_gets_no_role(house: Service) -> None:
    root, bob = house.administrator("root"), house.person("bob")
    user_id = bob.sign_up()["id"]
    for role in ("admin", "support"):
        assert root.administer("PUT", f"/{user_id}/roles/{role}").code == "not_confirmed"
    assert root.administer("PUT", f"/{user_id}", {"role": "admin", "email_confirm": True})["role"] == "admin"


def test_a_role_that_there_is_not_cannot_be_granted_and_one_that_is_no_more_has_no_scopes(
    house: Service, make_service: Make
) -> None:
    root, alice = house.administrator("root"), house.member("alice")
    for role in ("nothing", "authenticated", "service"):
        assert root.administer("PUT", f"/{alice.user_id}/roles/{role}").code == "role_unknown"
    root.administer("PUT", f"/{alice.user_id}/roles/support")
    url = house.parts.settings.database_url
    keys = house.parts.settings.secret_keys
    later = make_service(database_url=url, secret_keys=keys, role_scopes="")
    alice.service = later
    assert _scope(alice) == ""
    assert later.call("DELETE", f"/admin/users/{alice.user_id}/roles/support", headers=root.headers)["roles"] == []


def test_the_command_grants_and_takes_back_by_name(house: Service, start: Start) -> None:
    alice, settings = house.member("alice"), house.parts.settings

    def run(*arguments: str) -> tuple[int, str, str]:
        return output_of(start(settings, "admin", *arguments, ROLE_SCOPES=ROLES))

    assert run("grant", alice.email, "--role", "support") == (0, "", "")
    assert _scope(alice) == "tickets:read tickets:write"
    assert run("grant", alice.email, "--role", "nothing") == (1, "", "There is no such role: see ROLE_SCOPES.\n")
    assert run("revoke", alice.email, "--role", "support") == (0, "", "")
    assert alice.refresh().code == "session_not_found"


@pytest.mark.parametrize(
    "wrong",
    [
        "support",
        "support=",
        "Support=a:b",
        "service=a:b",
        "authenticated=a:b",
        "support=auth:admin",
        'support=a"b',
        "support=a:b,support=c:d",
        "support=" + "x" * 70,
        "support=" + "a:b " * 300,
    ],
)
def test_wrong_roles_are_found_at_the_start(make_service: Make, wrong: str) -> None:
    with pytest.raises(ValidationError):
        make_service(role_scopes=wrong)
