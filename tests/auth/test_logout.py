"""POST /logout."""

import pytest

from tests.auth.conftest import Person, Service


@pytest.fixture
def phones(service: Service, alice: Person) -> tuple[Person, Person, Person]:
    """Alice on three phones."""
    second, third = Person(service, alice.email), Person(service, alice.email)
    second.log_in()
    third.log_in()
    return alice, second, third


def _alive(*phones: Person) -> list[bool]:
    return [phone.get("/user").status == 200 for phone in phones]


@pytest.mark.parametrize(
    ("query", "alive"),
    [
        ("", [False, False, False]),
        ("?scope=global", [False, False, False]),
        ("?scope=local", [False, True, True]),
        ("?scope=others", [True, False, False]),
    ],
)
def test_the_scope_says_which_sessions_end(
    service: Service, phones: tuple[Person, Person, Person], query: str, alive: list[bool]
) -> None:
    reply = service.call("POST", f"/logout{query}", headers=phones[0].headers)
    assert (reply.status, reply.text) == (204, "")
    assert _alive(*phones) == alive
    told = {event.subject for event in service.events("session.revoked")}
    assert told == {phone.session_id for phone, is_alive in zip(phones, alive, strict=True) if not is_alive}
    assert {event.data["reason"] for event in service.events("session.revoked")} == {"logout"}


def test_mallory_ends_nobody_elses_sessions(service: Service, alice: Person, mallory: Person) -> None:
    assert service.call("POST", "/logout?scope=global", headers=mallory.headers).status == 204
    assert _alive(alice, mallory) == [True, False]


def test_the_token_of_an_ended_session_ends_nothing(service: Service, phones: tuple[Person, Person, Person]) -> None:
    service.call("POST", "/logout?scope=local", headers=phones[0].headers)
    reply = service.call("POST", "/logout?scope=global", headers=phones[0].headers)
    assert (reply.status, reply.code) == (401, "session_not_found")
    assert _alive(*phones) == [False, True, True]
    assert len(service.events("session.revoked")) == 1


def test_a_body_is_not_needed_and_not_minded(service: Service, alice: Person) -> None:
    headers = {**alice.headers, "Content-Type": "application/json;charset=UTF-8"}
    assert service.call("POST", "/logout", headers=headers).status == 204
