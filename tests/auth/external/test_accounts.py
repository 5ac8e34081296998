"""What an account elsewhere does here: whom it lets in, when it joins an account, and what an intruder cannot keep."""

from typing import Any

import pytest

from tests.auth.conftest import Person, Service, at_once, claims_of
from tests.auth.external.conftest import APP, World, Worlds
from tests.support.hooks import HookReceiver


def _providers(reply: Any) -> list[str]:
    return [identity["provider"] for identity in reply["user"]["identities"]]


def test_an_address_that_the_provider_does_not_vouch_for_makes_no_account(world: World) -> None:
    for verified in (False, "false", None, "yes", "True", 1, ["true"]):
        reply = world.come("google", verified=verified)
        assert (reply.status, reply.code) == (422, "provider_email_needs_verification"), verified
    for email in (None, "", "no address", "a@b@c", 7, "x" * 300 + "@example.com"):
        assert world.come("google", email).code == "provider_email_needs_verification", email
    assert world.service.rows("SELECT 1 FROM users") == []


def test_where_no_address_is_needed_an_unproven_one_counts_for_nothing(make_world: Worlds) -> None:
    world = make_world(more={"corp": {"email_optional": True}})
    for number in range(2):
        reply = world.come("corp", verified=False)
        assert (reply.status, reply["user"]["email"], _providers(reply)) == (200, "", ["corp"]), number
    assert world.come("corp", None).status == 200


def test_an_account_here_with_a_confirmed_address_is_not_joined_unless_a_setting_says_so(world: World) -> None:
    alice = world.service.member("alice")
    reply = world.come("google")
    assert (reply.status, reply.code) == (422, "email_exists")
    assert [identity["provider"] for identity in alice.get("/user")["identities"]] == ["email"]


def test_with_the_setting_both_addresses_must_be_confirmed(make_world: Worlds) -> None:
    world = make_world(link_verified_addresses=True)
    alice = world.service.member("alice")
    assert world.come("google", verified=False).code == "provider_email_needs_verification"
    reply = world.come("google", "Alice@Example.com", name="Alice")
    assert (reply.status, reply["user"]["id"]) == (200, alice.user_id)
    assert _providers(reply) == ["email", "google"]
    assert reply["user"]["app_metadata"] == {"provider": "email", "providers": ["email", "google"]}
    assert alice.log_in().status == 200, "the password stays: its owner has confirmed the address"


@pytest.mark.parametrize("link_verified_addresses", [True, False])
def test_who_signed_up_with_somebody_elses_address_keeps_nothing_when_the_owner_comes(
    make_world: Worlds, link_verified_addresses: bool
) -> None:
    world = make_world(link_verified_addresses=link_verified_addresses)
    mallory = Person(world.service, "alice@example.com", "the password of mallory")
    mallory.sign_up(data={"name": "Mallory", "picture": "https://evil.test"})
    waiting = world.service.mail_to(mallory.email)
    world.service.post("/otp", {"email": mallory.email})
    magic = world.service.mail_to(mallory.email)
    reply = world.come("google", name="Alice")
    assert reply.status == 200 and _providers(reply) == ["google"]
    assert reply["user"]["user_metadata"]["name"] == "Alice" and "picture" not in reply["user"]["user_metadata"]
    assert reply["user"]["app_metadata"] == {"provider": "google", "providers": ["google"]}
    assert mallory.log_in().code == "invalid_credentials"
    for kind, secret in (("signup", waiting), ("magiclink", magic)):
        body = {"type": kind, "token_hash": secret["token_hash"]}
        assert world.service.post("/verify", body).code == "otp_expired"
    assert world.service.events("user.updated")[-1].data["email_confirmed_at"] is not None


def test_contested_sign_ups_leave_nothing_either(world: World) -> None:
    people = [Person(world.service, "alice@example.com", f"the password of {name}") for name in ("mallory", "alice")]
    for person in people:
        person.sign_up()
    assert world.come("google").status == 200
    assert {person.log_in().code for person in people} == {"invalid_credentials"}
    assert world.service.rows("SELECT is_contested FROM users") == [{"is_contested": False}]


def test_a_later_sign_up_with_the_address_gets_nothing(world: World) -> None:
    world.come("google")
    mallory = Person(world.service, "alice@example.com", "the password of mallory")
    assert mallory.sign_up().status == 200
    assert mallory.log_in().code == "invalid_credentials"
    assert world.service.mails_to("alice@example.com")[-1]["template"] == "account_exists"


def test_whoever_comes_first_with_a_new_account_twenty_times_at_once_is_one_user(world: World) -> None:
    token = world["google"].token(APP, sub="001", email="alice@example.com", email_verified=True)
    replies = at_once(lambda _: world.log_in("google", token))
    assert {reply.status for reply in replies} == {200}
    assert len({reply["user"]["id"] for reply in replies}) == 1
    assert len(world.service.events("user.registered")) == 1


def test_two_providers_with_one_address_at_once_make_one_user(make_world: Worlds) -> None:
    world = make_world(link_verified_addresses=True)
    replies = at_once(lambda n: world.come(("google", "apple", "corp")[n % 3], sub="001"), 12)
    assert {reply.status for reply in replies} == {200}
    assert len(world.service.rows("SELECT 1 FROM users")) == 1
    assert len(world.service.rows("SELECT 1 FROM identities")) == 3


def _link(world: World, person: Person, provider: str = "google", **claims: Any) -> Any:
    said = {"email": "alice@elsewhere.example", "email_verified": True, **claims}
    token = world[provider].token(APP, **said)
    return world.log_in(provider, token, person.headers, link_identity=True)


def test_an_account_elsewhere_is_linked_with_a_token_and_the_session_goes_on(world: World) -> None:
    alice = world.service.member("alice")
    reply = _link(world, alice, sub="001")
    assert (reply.status, _providers(reply)) == (200, ["email", "google"])
    assert claims_of(reply["access_token"])["sid"] == alice.session_id
    assert reply["user"]["email"] == alice.email
    assert reply["user"]["app_metadata"]["providers"] == ["email", "google"]
    assert world.come("google", "alice@elsewhere.example", sub="001")["user"]["id"] == alice.user_id


def test_linking_is_refused_without_a_session(world: World) -> None:
    alice = world.service.member("alice")
    token = world["google"].token(APP, email="a@example.com", email_verified=True)
    assert world.log_in("google", token, link_identity=True).status == 401
    alice.post("/logout")
    reply = world.log_in("google", token, alice.headers, link_identity=True)
    assert (reply.status, reply.code) == (401, "session_not_found")


def test_an_account_elsewhere_has_one_owner_here(world: World) -> None:
    alice, mallory = world.service.member("alice"), world.service.member("mallory")
    assert _link(world, alice, sub="001").status == 200
    again, stolen = _link(world, alice, sub="001"), _link(world, mallory, sub="001")
    assert (again.code, again["msg"]) == ("identity_already_exists", "Identity is already linked")
    assert (stolen.code, stolen["msg"]) == ("identity_already_exists", "Identity is already linked to another user")


def test_of_many_who_link_it_at_once_one_has_it(world: World) -> None:
    people = [world.service.member(name) for name in ("alice", "mallory")]
    replies = at_once(lambda n: _link(world, people[n % 2], sub="001"), 12)
    assert sorted(reply.status for reply in replies) == [200] + [422] * 11
    assert len(world.service.rows("SELECT 1 FROM identities")) == 1


def test_a_guest_becomes_an_account_with_the_same_id(make_world: Worlds) -> None:
    world = make_world(guests=True)
    guest = world.service.guest("alice")
    reply = _link(world, guest, sub="001")
    user = reply["user"]
    assert (reply.status, user["id"], user["is_anonymous"]) == (200, guest.user_id, False)
    assert (user["email"], _providers(reply)) == ("alice@elsewhere.example", ["google"])
    assert claims_of(reply["access_token"])["is_anonymous"] is False
    told = world.service.events("user.updated")[-1]
    assert (told.subject, told.data["email"]) == (guest.user_id, "alice@elsewhere.example")
    assert world.come("google", "alice@elsewhere.example", sub="001")["user"]["id"] == guest.user_id


def test_a_guest_whose_address_has_an_account_is_told_and_stays_a_guest(make_world: Worlds) -> None:
    world = make_world(guests=True)
    world.service.member("alice")
    guest = world.service.guest("someone")
    assert _link(world, guest, email="alice@example.com").code == "email_exists"
    assert _link(world, guest, email_verified=False).code == "provider_email_needs_verification"
    assert guest.get("/user")["is_anonymous"] is True
    assert guest.get("/user")["identities"] == []


def test_the_operator_is_asked_before_a_user_is_made_and_no_more_when_somebody_comes_back(
    make_world: Worlds,
) -> None:
    receiver = HookReceiver()
    try:
        world = make_world(
            hook_secrets=receiver.secret, hook_before_user_created_url=receiver.url("before_user_created")
        )
        assert world.come("google", sub="001").status == 200
        receiver.answer = lambda *_: (200, {"error": {"http_code": 403, "message": "Only colleagues."}})
        refused = world.come("google", "stranger@example.com")
        assert (refused.status, refused.code, refused["msg"]) == (403, "hook_refused", "Only colleagues.")
        assert world.come("google", sub="001").status == 200
        asked = [call.payload["user"] for call in receiver.of("before_user_created")]
        assert [user["email"] for user in asked] == ["alice@example.com", "stranger@example.com"]
        assert asked[0]["app_metadata"] == {"provider": "google", "providers": ["google"]}
        assert asked[0]["is_anonymous"] is False
    finally:
        receiver.close()


def test_a_banned_user_does_not_get_in_this_way(world: World) -> None:
    world.come("google", sub="001")
    world.service.rows("UPDATE users SET banned_until = now() + interval '1 day'")
    assert world.come("google", sub="001").code == "user_banned"


def test_who_has_a_second_factor_shows_it_before_another_way_in_is_added(world: World) -> None:
    alice = world.service.member("alice")
    world.service.rows(
        "INSERT INTO factors (id, user_id, kind, name) VALUES (gen_random_uuid(), %(id)s, 'totp', 'app')",
        id=alice.user_id,
    )
    reply = _link(world, alice)
    assert (reply.status, reply.code) == (403, "insufficient_aal")


def test_the_only_way_in_stays_and_one_of_two_may_go(service: Service, world: World) -> None:
    alice = Person(service, "alice@example.com")
    alice.keep(world.come("google"))
    (identity,) = alice.get("/user")["identities"]
    assert alice.delete(f"/user/identities/{identity['identity_id']}").code == "single_identity_not_deletable"
    assert _link(world, alice, "corp").status == 200
    assert alice.delete(f"/user/identities/{identity['identity_id']}").status == 200
    assert alice.get("/user")["app_metadata"] == {"provider": "corp", "providers": ["corp"]}
    assert world.come("google", "alice@example.com").code == "email_exists", "it is not known any more"
