"""POST /merge: a guest becomes part of an account."""

import pytest

from tests.auth.conftest import Make, Person, Reply, Service, at_once


@pytest.fixture
def service(make_service: Make) -> Service:
    return make_service(guests=True)


@pytest.fixture
def guest(service: Service) -> Person:
    return service.guest("guest")


def _merge(person: Person, guest: Person) -> Reply:
    return person.post("/merge", {"guest_token": guest.session["access_token"]})


def test_what_was_the_guests_is_the_accounts_and_everybody_is_told(
    service: Service, alice: Person, guest: Person
) -> None:
    reply = _merge(alice, guest)
    assert (reply.status, reply["id"], reply["is_anonymous"]) == (200, alice.user_id, False)
    (event,) = service.events("user.merged")
    assert (event.data["user_id"], event.data["merged_user_id"]) == (alice.user_id, guest.user_id)
    (ended,) = service.events("session.revoked")
    assert (ended.subject, ended.data["continued_by"]) == (guest.session_id, alice.session_id)
    assert guest.get("/user").code == "session_not_found"
    assert guest.refresh().status == 400
    assert alice.get("/user").status == 200


def test_asked_for_again_because_the_answer_was_lost_it_is_the_same(
    service: Service, alice: Person, guest: Person
) -> None:
    assert [_merge(alice, guest).status for _ in range(3)] == [200] * 3
    assert len(service.events("user.merged")) == 1


def test_of_twenty_at_once_one_merges(service: Service, alice: Person, guest: Person) -> None:
    assert {reply.status for reply in at_once(lambda _: _merge(alice, guest))} == {200}
    assert len(service.events("user.merged")) == 1


def test_of_two_accounts_at_once_one_gets_the_guest(service: Service, alice: Person, guest: Person) -> None:
    people = [alice, service.member("bob")]
    replies = at_once(lambda n: _merge(people[n % 2], guest))
    winners = {n % 2 for n, reply in enumerate(replies) if reply.status == 200}
    assert len(winners) == 1
    assert {reply.code for reply in replies if reply.status == 422} == {"guest_session_not_found"}
    assert len(service.events("user.merged")) == 1


def test_no_account_is_merged_into_another(service: Service, alice: Person, mallory: Person) -> None:
    reply = _merge(mallory, alice)
    assert (reply.status, reply.code) == (422, "not_a_guest")
    assert _merge(alice, alice).code == "not_a_guest"
    assert alice.get("/user").status == 200


def test_a_guest_keeps_nobody(service: Service, guest: Person) -> None:
    assert _merge(service.guest("other"), guest).code == "merge_into_guest"
    assert service.events("user.merged") == []


def test_the_guest_must_have_a_session_that_is_alive(service: Service, alice: Person, guest: Person) -> None:
    token = guest.session["access_token"]
    assert guest.post("/logout").status == 204
    reply = alice.post("/merge", {"guest_token": token})
    assert (reply.status, reply.code) == (422, "guest_session_not_found")
    assert reply["errors"][0]["pointer"] == "#/guest_token"


@pytest.mark.parametrize("token", ["x", "a.b.c", ""])
def test_what_is_no_token_merges_nobody(service: Service, alice: Person, token: str) -> None:
    assert alice.post("/merge", {"guest_token": token}).status in (400, 401)
    assert service.events("user.merged") == []


def test_a_forged_token_of_a_guest_merges_nobody(make_service: Make, alice: Person, guest: Person) -> None:
    elsewhere = make_service(guests=True).guest("guest")
    assert _merge(alice, elsewhere).code == "token_unknown_key"
    head, body, signature = guest.session["access_token"].split(".")
    reply = alice.post("/merge", {"guest_token": f"{head}.{body}.{signature[:-4]}AAAA"})
    assert reply.code == "token_signature"


def test_nobody_merges_without_a_session_of_their_own(service: Service, guest: Person) -> None:
    assert service.post("/merge", {"guest_token": guest.session["access_token"]}).status == 401
