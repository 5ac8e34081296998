"""POST /token?grant_type=id_token: what a provider signed for the app lets in, and nothing else does."""

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.auth.external.id_tokens import hash_of_nonce
from tests.auth.conftest import claims_of
from tests.auth.external.conftest import ANDROID, APP, WEB, World, Worlds
from tests.support.provider import at_hash, new_key


def test_a_new_person_comes_in_and_the_answer_is_a_session(world: World) -> None:
    said = {"sub": "001", "name": "Alice", "picture": "https://example.com/a.png", "hd": "example.com"}
    reply = world.come("google", **said)
    user, (identity,) = reply["user"], reply["user"]["identities"]
    assert (reply.status, reply["token_type"], user["email"]) == (200, "bearer", "alice@example.com")
    assert user["email_confirmed_at"] and not user["is_anonymous"]
    assert user["app_metadata"] == {"provider": "google", "providers": ["google"]}
    assert (identity["provider"], identity["id"], identity["email"]) == ("google", "001", "alice@example.com")
    data = {
        "iss": world["google"].url,
        "sub": "001",
        "provider_id": "001",
        "name": "Alice",
        "full_name": "Alice",
        "picture": "https://example.com/a.png",
        "avatar_url": "https://example.com/a.png",
        "email": "alice@example.com",
        "email_verified": True,
        "phone_verified": False,
        "custom_claims": {"hd": "example.com"},
    }
    assert identity["identity_data"] == user["user_metadata"] == data
    amr = claims_of(reply["access_token"])["amr"][0]
    assert (amr["method"], amr["provider"]) == ("oauth", "google")
    assert [event.type for event in world.service.events()][:2] == ["user.registered", "user.updated"]


def test_who_was_here_comes_back_whatever_the_address_is_today(world: World) -> None:
    first = world.come("google", sub="001", name="Alice")
    alice = world.service.person("alice")
    alice.keep(first)
    assert alice.change(data={"name": "Queen"}).status == 200
    again = world.come("google", "alice@elsewhere.example", sub="001", name="Alice", locale="de")
    assert again["user"]["id"] == first["user"]["id"]
    assert again["user"]["email"] == "alice@example.com"
    assert again["user"]["user_metadata"]["name"] == "Queen", "what a person sets stays"
    assert again["user"]["user_metadata"]["locale"] == "de"
    assert again["user"]["identities"][0]["identity_data"]["email"] == "alice@elsewhere.example"
    assert world.come("google", None, sub="001").status == 200, "Apple may leave the address out later"


def test_the_same_subject_of_another_provider_is_somebody_else(world: World) -> None:
    first = world.come("google", sub="001")
    second = world.come("corp", "bob@example.com", sub="001")
    assert first["user"]["id"] != second["user"]["id"]


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_every_usual_key_will_do(world: World, algorithm: str) -> None:
    world["corp"].keys[:] = [new_key(algorithm)]
    assert world.come("corp").status == 200


@pytest.mark.parametrize("client", [WEB, APP, ANDROID])
def test_every_client_of_the_list_may_ask(world: World, client: str) -> None:
    token = world["google"].token(client, email="a@example.com", email_verified=True)
    assert world.log_in("google", token).status == 200


def test_an_android_app_with_its_own_client_behind_the_one_of_the_web(world: World) -> None:
    token = world["google"].token(WEB, azp=ANDROID, email="a@example.com", email_verified=True)
    assert world.log_in("google", token).status == 200


def test_older_clients_name_issuer_and_client(world: World) -> None:
    token = world["corp"].token(APP, email="a@example.com", email_verified=True)
    body = {"id_token": token, "issuer": world["corp"].url, "client_id": APP}
    assert world.service.post("/token?grant_type=id_token", body).status == 200
    reply = world.service.post("/token?grant_type=id_token", {**body, "client_id": WEB})
    assert (reply.status, reply.code) == (400, "bad_id_token")


# What is sent, what the claim is, whether it will do.
NONCES: list[tuple[str | None, Any, bool]] = [
    (None, None, True),
    ("raw", hash_of_nonce("raw"), True),
    ("raw", "raw", False),
    ("raw", hash_of_nonce("other"), False),
    ("raw", None, False),
    (None, hash_of_nonce("raw"), False),
    ("raw", 7, False),
    ("raw", "\ud800", False),
]


def test_a_nonce_is_in_both_hashed_in_the_token_or_in_neither(world: World) -> None:
    for sent, claim, is_good in NONCES:
        token = world["apple"].token(APP, sub="001", email="a@example.com", email_verified=True, nonce=claim)
        reply = world.log_in("apple", token, **({"nonce": sent} if sent else {}))
        assert (reply.status, reply.code) == ((200, None) if is_good else (400, "bad_id_token")), (sent, claim)


def test_where_a_setting_says_so_no_nonce_is_looked_at(make_world: Worlds) -> None:
    world = make_world(more={"google": {"skip_nonce_check": True}})
    token = world["google"].token(APP, email="a@example.com", email_verified=True, nonce="whatever")
    assert world.log_in("google", token).status == 200


@pytest.mark.parametrize(("algorithm", "digest"), [("ES256", "sha256"), ("EdDSA", "sha512")])
def test_an_access_token_goes_with_the_hash_of_it(world: World, algorithm: str, digest: str) -> None:
    world["corp"].keys[:] = [new_key(algorithm)]
    token = world["corp"].token(APP, email="a@example.com", email_verified=True, at_hash=at_hash("right", digest))
    assert world.log_in("corp", token, access_token="wrong").code == "bad_id_token"
    assert world.log_in("corp", token, access_token="right").status == 200
    assert world.log_in("corp", token).status == 200, "clients may leave it out"
    without = world["corp"].token(APP, email="b@example.com", email_verified=True)
    assert world.log_in("corp", without, access_token="any").status == 200


@dataclass(frozen=True)
class FromNow:
    """A time that many seconds after the moment the token is made: the table is as old as the whole run."""

    seconds: int


def _at_once(claims: dict[str, Any]) -> dict[str, Any]:
    now = int(time.time())
    return {name: now + value.seconds if isinstance(value, FromNow) else value for name, value in claims.items()}


# Claims that differ from a good token's, each of them reason enough.
ATTACKS: list[dict[str, Any]] = [
    {"iss": "https://evil.test"},
    {"iss": "https://appleid.apple.com"},
    {"iss": None},
    {"aud": "com.evil.app"},
    {"aud": []},
    {"aud": ["com.evil.app"]},
    {"aud": [APP, "com.evil.app"]},
    {"aud": [APP, "com.evil.app"], "azp": "com.evil.app"},
    {"azp": "com.evil.app"},
    {"azp": {"a": 1}},
    {"aud": None},
    {"aud": f"{APP} "},
    {"exp": FromNow(-301)},
    {"exp": None},
    {"exp": "soon"},
    {"iat": FromNow(400), "exp": FromNow(4000)},
    {"iat": FromNow(-3_950)},
    {"iat": None},
    {"iat": "then"},
    {"nbf": FromNow(400)},
    {"sub": None},
    {"sub": ""},
    {"sub": 7},
    {"sub": "x" * 256},
    {"sub": "a\x00b"},
    {"sub": "\ud800"},
]


def test_a_token_with_such_claims_is_refused(world: World) -> None:
    good = {"audience": APP, "sub": "001", "email": "alice@example.com", "email_verified": True}
    for claims in ATTACKS:
        changed = {"audience" if name == "aud" else name: value for name, value in claims.items()}
        now = _at_once({"iat": FromNow(0), "exp": FromNow(600)})
        reply = world.log_in("apple", world["apple"].token(**{**good, **now, **_at_once(changed)}))
        assert (reply.status, reply.code) == (400, "bad_id_token"), (claims, reply.text)
    assert world.service.rows("SELECT 1 FROM users") == []


def test_clocks_may_differ_by_five_minutes(world: World) -> None:
    for claims in ({"exp": FromNow(-200)}, {"iat": FromNow(200)}, {"nbf": FromNow(200)}, {"iat": FromNow(-3_500)}):
        assert world.come("apple", **{"sub": "001", **_at_once(claims)}).status == 200, claims


def _unsigned(claims: dict[str, Any], **header: Any) -> str:
    parts = ({"typ": "JWT", **header}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in parts) + "."


def test_forged_signatures_are_refused(world: World) -> None:
    realm = world["google"]
    key, evil = realm.keys[0], new_key()
    good = realm.token(APP, email="alice@example.com", email_verified=True)
    claims = claims_of(good)
    public = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = base64.urlsafe_b64encode(public).decode()  # PyJWT itself takes no PEM for a secret
    jwk = {name: value for name, value in evil.public.items() if name != "kid"}

    def by_evil(**headers: Any) -> str:
        return realm.token(APP, key=evil, headers=headers, email="alice@example.com", email_verified=True)

    forged = {
        "alg none": _unsigned(claims, alg="none", kid=key.kid),
        "alg none in capitals": _unsigned(claims, alg="NONE", kid=key.kid),
        "no signature": good.rsplit(".", 1)[0] + ".",
        "HS256 with the public key": jwt.encode(claims, secret, algorithm="HS256", headers={"kid": key.kid}),
        "another key under its kid": by_evil(kid=key.kid),
        "a kid nobody knows": by_evil(),
        "a kid that is a path": by_evil(kid="../../../../dev/null"),
        "a kid that is an address": by_evil(kid="https://evil.test/keys.json"),
        "a kid that is SQL": by_evil(kid="' OR 1=1 --"),
        "a key in the header": by_evil(kid=key.kid, jwk=jwk),
        "an address of keys in the header": by_evil(kid=key.kid, jku=f"{world['corp'].url}/keys"),
        "an address of certificates in the header": by_evil(kid=key.kid, x5u="https://evil.test/"),
        "a certificate in the header": by_evil(kid=key.kid, x5c=["MIIB"]),
        "something critical that nobody understands": by_evil(kid=key.kid, crit=["exp"], exp=1),
        "no kid": by_evil(kid=""),
        "another algorithm of the same key": good.replace(
            good.split(".")[0], _unsigned({}, alg="RS256", kid=key.kid).split(".")[0]
        ),
        "a token of another provider": world["corp"].token(APP, email="alice@example.com", email_verified=True),
        "a token of another provider in its name": world["corp"].token(APP, iss=realm.url, email="alice@example.com"),
        "changed claims": ".".join(
            [good.split(".")[0], _unsigned({**claims, "sub": "0"}, alg="ES256").split(".")[1], good.split(".")[2]]
        ),
        "rubbish": "x.y.z",
        "two parts": "x.y",
        "an access token of this service": world.service.member("bob").session["access_token"],
        "much": "x." * 4000,
    }
    users = len(world.service.rows("SELECT 1 FROM users"))
    for name, token in forged.items():
        reply = world.log_in("google", token)
        assert (reply.status, reply.code) == (400, "bad_id_token"), name
    assert len(world.service.rows("SELECT 1 FROM users")) == users
    assert realm.fetches.count("/keys") <= 2, "invented kids are no load on the provider"
    assert world.log_in("google", good).status == 200


def test_too_much_is_refused_by_its_size(world: World) -> None:
    assert world.log_in("google", "x" * 9000).code == "validation_failed"


def test_new_keys_are_fetched_when_the_first_token_of_one_comes(world: World) -> None:
    assert world.come("corp").status == 200
    world["corp"].keys.append(new_key())
    world.service.parts.providers["corp"]._verifier.keys.cooldown_s = 0  # type: ignore[union-attr]
    assert world.come("corp", "bob@example.com").status == 200
    assert world["corp"].fetches.count("/keys") == 2


def test_a_provider_that_is_down_costs_a_try_and_nothing_else(world: World) -> None:
    realm = world["google"]
    token = realm.token(APP, email="alice@example.com", email_verified=True)
    realm.is_down = True
    reply = world.log_in("google", token)
    assert (reply.status, reply.code) == (503, "provider_unavailable") and int(reply.headers["Retry-After"]) > 0
    realm.is_down = False
    world.service.parts.providers["google"]._tried_at = 0
    assert world.log_in("google", token).status == 200
    realm.is_down = True
    assert world.come("google", "bob@example.com").status == 200, "known keys go on"
    realm.keys.append(new_key())
    world.service.parts.providers["google"]._verifier.keys.cooldown_s = 0  # type: ignore[union-attr]
    assert world.come("google", "carol@example.com").status == 503, "whether the key is good is not known now"


def test_what_is_missing_or_unknown_is_named(make_world: Worlds) -> None:
    world = make_world()
    ask = "/token?grant_type=id_token"
    assert world.service.post(ask, {"provider": "google"})["errors"][0]["pointer"] == "#/id_token"
    assert world.service.post(ask, {"id_token": "x.y.z"})["msg"] == "provider or client_id and issuer required"
    assert world.log_in("github", "x.y.z").code == "validation_failed"


def test_without_a_setting_a_provider_is_disabled(make_world: Worlds) -> None:
    service = make_world().make_service()
    reply = service.post("/token?grant_type=id_token", {"provider": "google", "id_token": "x.y.z"})
    assert (reply.status, reply.code) == (400, "provider_disabled")
    assert service.get("/settings")["external"]["google"] is False


def test_the_settings_say_which_providers_are_on(world: World) -> None:
    external = world.service.get("/settings")["external"]
    assert (external["google"], external["apple"], external["corp"], external["email"]) == (True, True, True, True)


def test_apples_private_addresses_and_words_for_true(world: World) -> None:
    reply = world.come("apple", "x7@privaterelay.appleid.com", "true", is_private_email="true", auth_time=7)
    assert reply["user"]["email"] == "x7@privaterelay.appleid.com"
    data = reply["user"]["identities"][0]["identity_data"]
    assert data["email_verified"] is True
    assert data["custom_claims"] == {"is_private_email": True, "auth_time": 7}


def test_what_a_database_stumbles_over_is_left_out(world: World) -> None:
    reply = world.come("google", name="a\x00b", picture="\ud800", given_name="x" * 5000, family_name=["list"])
    assert reply.status == 200
    assert not {"name", "picture", "given_name", "family_name"} & set(reply["user"]["user_metadata"])
