"""Apple's authorization code: exchanged with a secret that the .p8 key signs, kept sealed, given back in time."""

import base64
import json
import os

import jwt
import pytest

from services.auth import resealing
from services.auth.external.revocations import give_back_due
from services.auth.sealing import Sealer, context_of
from tests.auth.conftest import Person, Reply
from tests.auth.external.conftest import APP, KEY_ID, P8, TEAM, WEB, World, Worlds

REFRESH = "refresh-token-of-apple"


@pytest.fixture
def world(make_world: Worlds) -> World:
    world = make_world()
    world["apple"].refresh_token = REFRESH
    return world


def _come(world: World, code: str | None = None, sub: str = "001") -> Reply:
    realm = world["apple"]
    token = realm.token(APP, sub=sub, email="alice@example.com", email_verified="true")
    return world.log_in("apple", token, authorization_code=code or realm.device_code(APP))


def _work(world: World) -> int:
    return give_back_due(world.service.db, world.service.parts)


def _revoked(world: World) -> list[str]:
    return [call.form["token"] for call in world["apple"].calls if call.path == "/revoke"]


def test_the_code_is_exchanged_with_a_secret_that_the_key_signs(world: World) -> None:
    assert _come(world).status == 200
    (call,) = world["apple"].calls
    assert (call.path, call.form["client_id"], call.form["grant_type"]) == ("/token", APP, "authorization_code")
    assert jwt.get_unverified_header(call.form["client_secret"]) == {"alg": "ES256", "kid": KEY_ID, "typ": "JWT"}
    secret = jwt.decode(call.form["client_secret"], P8.public_key(), ["ES256"], audience=world["apple"].url)
    assert (secret["iss"], secret["sub"], secret["exp"] - secret["iat"]) == (TEAM, APP, 300)


def test_the_refresh_token_lies_sealed_and_is_in_no_answer(world: World) -> None:
    reply = _come(world)
    (row,) = world.service.rows("SELECT id, token_sealed, provider_tokens::text AS text FROM provider_tokens")
    assert REFRESH not in reply.text and REFRESH not in row["text"] and REFRESH.encode().hex() not in row["text"]
    opened = world.service.parts.sealer.open(bytes(row["token_sealed"]), context_of("provider_tokens", row["id"]))
    assert opened.decode() == REFRESH


def test_a_newer_one_takes_its_place(world: World) -> None:
    _come(world)
    world["apple"].refresh_token = "newer"
    _come(world)
    assert len(world.service.rows("SELECT 1 FROM provider_tokens")) == 1
    world.service.rows("DELETE FROM users")
    assert (_work(world), _revoked(world)) == (1, ["newer"])


def test_it_is_given_back_when_the_identity_is_unlinked(world: World) -> None:
    alice = world.service.member("alice")
    realm = world["apple"]
    token = realm.token(APP, email="alice@elsewhere.example", email_verified=True)
    linked = world.log_in("apple", token, alice.headers, link_identity=True, authorization_code=realm.device_code(APP))
    assert (_work(world), _revoked(world)) == (0, [])
    identity = linked["user"]["identities"][1]["identity_id"]
    assert alice.delete(f"/user/identities/{identity}").status == 200
    assert (_work(world), _revoked(world)) == (1, [REFRESH])
    assert realm.calls[-1].form["client_id"] == APP
    assert world.service.rows("SELECT 1 FROM provider_tokens") == []
    assert _work(world) == 0


def test_it_is_given_back_when_the_account_is_deleted_though_the_user_is_gone(world: World) -> None:
    user_id = _come(world)["user"]["id"]
    root = world.service.administrator("root")
    assert root.administer("DELETE", f"/{user_id}", {}).status == 200
    assert world.service.rows("SELECT 1 FROM users WHERE id = %(id)s", id=user_id) == []
    assert (_work(world), _revoked(world)) == (1, [REFRESH])


def test_apple_is_asked_again_until_it_takes_it(world: World) -> None:
    _come(world)
    world.service.rows("DELETE FROM users")
    realm = world["apple"]
    realm.is_down = True
    assert (_work(world), _work(world)) == (0, 0), "not at once again"
    (row,) = world.service.rows("SELECT attempts, due_at > now() + interval '20 seconds' AS waits FROM provider_tokens")
    assert row == {"attempts": 1, "waits": True}
    realm.is_down = False
    realm.answers["/revoke"] = (400, {"error": "invalid_client"})
    world.service.rows("UPDATE provider_tokens SET due_at = now()")
    assert _work(world) == 0
    del realm.answers["/revoke"]
    world.service.rows("UPDATE provider_tokens SET due_at = now()")
    assert _work(world) == 1


def test_what_apple_does_not_know_any_more_is_done_with(world: World) -> None:
    _come(world)
    world.service.rows("DELETE FROM users")
    world["apple"].answers["/revoke"] = (400, {"error": "invalid_grant"})
    assert _work(world) == 1 and world.service.rows("SELECT 1 FROM provider_tokens") == []


def test_a_code_sent_again_because_the_answer_was_lost_keeps_nobody_out(world: World) -> None:
    code = world["apple"].device_code(APP)
    assert [_come(world, code).status for _ in range(2)] == [200, 200]
    assert len(world.service.rows("SELECT 1 FROM provider_tokens")) == 1


def test_apple_that_is_down_costs_a_try_and_not_the_code(world: World) -> None:
    assert _come(world).status == 200
    code = world["apple"].device_code(APP)
    world["apple"].answers["/token"] = (503, {})
    reply = _come(world, code)
    assert (reply.status, reply.code) == (503, "provider_unavailable")
    del world["apple"].answers["/token"]
    assert _come(world, code).status == 200


def test_without_a_key_the_code_is_left_alone(make_world: Worlds) -> None:
    world = make_world(more={"apple": {"team_id": "", "key_id": "", "private_key": ""}})
    assert _come(world).status == 200
    assert world["apple"].calls == [] and world.service.rows("SELECT 1 FROM provider_tokens") == []


def test_after_a_change_of_secret_keys_it_can_still_be_given_back(make_world: Worlds) -> None:
    old = os.urandom(32)
    world = make_world(secret_keys=base64.b64encode(old).decode())
    world["apple"].refresh_token = REFRESH
    _come(world)
    (column,) = [one for one in resealing.SEALED if one.table == "provider_tokens"]
    new = os.urandom(32)
    assert resealing.reseal(world.service.db, Sealer([new, old]), column).resealed == 1
    world.service.rows("DELETE FROM users")
    keys = {"secret_keys": base64.b64encode(new).decode(), "providers": json.dumps(world.given)}
    url = world.service.parts.settings.database_url.get_secret_value()
    later = world.make_service(**keys, database_url=url)
    assert give_back_due(later.db, later.parts) == 1
    assert _revoked(world) == [REFRESH]


def test_a_person_who_comes_by_the_web_and_by_the_app_has_a_token_of_each(world: World) -> None:
    _come(world)
    realm = world["apple"]
    token = realm.token(WEB, sub="001", email="alice@example.com", email_verified=True)
    assert world.log_in("apple", token, authorization_code=realm.device_code(WEB)).status == 200
    alice = Person(world.service, "alice@example.com")
    alice.keep(_come(world))
    world.service.rows("DELETE FROM users")
    assert _work(world) == 2
    assert {call.form["client_id"] for call in realm.calls if call.path == "/revoke"} == {APP, WEB}
