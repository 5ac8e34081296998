"""/factors with `factor_type` webauthn: a security key as the second factor."""

from typing import Any

import pytest

from tests.auth.authenticators import SecurityKey
from tests.auth.conftest import Person, Service, claims_of
from tests.support.authenticator import PRESENT, VERIFIED, Authenticator


@pytest.fixture
def key(alice: Person) -> SecurityKey:
    """Alice's key, verified: her session is aal2."""
    made = SecurityKey(alice)
    assert made.answer().status == 200
    return made


@pytest.fixture
def elsewhere(service: Service, alice: Person, key: SecurityKey) -> Person:
    other = Person(service, alice.email)
    assert other.log_in().status == 200
    return other


def test_a_key_is_made_for_the_factor_and_then_asked_for(service: Service, alice: Person) -> None:
    key = SecurityKey(alice)
    made = key.challenge()
    assert (made["type"], made["webauthn"]["type"]) == ("webauthn", "create")
    options = made["webauthn"]["credential_options"]["publicKey"]
    assert options["authenticatorSelection"]["residentKey"] == "discouraged", "it is to be no passkey"
    assert key.answer().status == 200
    assert claims_of(alice.session["access_token"])["amr"][0]["method"] == "mfa/webauthn"
    assert alice.get("/user")["factors"][0]["factor_type"] == "webauthn"
    asked = key.challenge()["webauthn"]
    assert (asked["type"], len(asked["credential_options"]["publicKey"]["allowCredentials"])) == ("request", 1)


def test_the_key_lifts_another_session_to_aal2(elsewhere: Person, key: SecurityKey) -> None:
    assert key.answer(elsewhere).status == 200
    claims = claims_of(elsewhere.session["access_token"])
    assert (claims["aal"], [entry["method"] for entry in claims["amr"]]) == ("aal2", ["mfa/webauthn", "password"])


def test_a_key_that_only_knows_a_touch_is_enough_beside_a_password(alice: Person) -> None:
    key = SecurityKey(alice, flags=PRESENT)
    assert key.answer().status == 200
    assert key.answer().status == 200


def test_the_key_of_a_factor_is_no_passkey(service: Service, alice: Person, key: SecurityKey) -> None:
    asked = service.post("/passkeys/authentication/options").json
    body = {"challenge_id": asked["challenge_id"], "credential": key.device.get(asked["options"])}
    assert service.post("/passkeys/authentication/verify", body).code == "webauthn_verification_failed"
    assert alice.get("/passkeys").json == []
    (row,) = service.rows("SELECT id FROM webauthn_credentials")
    assert alice.delete(f"/passkeys/{row['id']}").code == "passkey_not_found"


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "https://evil.test"},
        {"rp_id": "evil.test"},
        {"flags": VERIFIED},
        {"cross_origin": True},
        {"credential_id": b"another"},
        {"user_handle": b""},
    ],
    ids=str,
)
def test_an_answer_that_lies_is_refused(elsewhere: Person, key: SecurityKey, lie: dict[str, Any]) -> None:
    for name, value in lie.items():
        setattr(key.device, name, value)
    reply = key.answer(elsewhere)
    if "user_handle" in lie:
        assert reply.status == 200, "a factor's key need not know its user"
    else:
        assert (reply.status, reply.code) == (422, "mfa_verification_failed")


def test_another_key_is_refused(elsewhere: Person, key: SecurityKey) -> None:
    key.device.private_key = Authenticator("").private_key
    assert key.answer(elsewhere).code == "mfa_verification_failed"


def test_an_answer_to_the_challenge_of_another_session_is_refused(
    alice: Person, elsewhere: Person, key: SecurityKey
) -> None:
    theirs, own = key.challenge(alice), key.challenge(elsewhere)
    signed = key.device.get(theirs["webauthn"]["credential_options"]["publicKey"])
    assert key.send(elsewhere, own["id"], "request", signed).code == "mfa_verification_failed"
    assert key.send(elsewhere, theirs["id"], "request", signed).code == "mfa_factor_not_found"


def test_an_answer_works_once(elsewhere: Person, key: SecurityKey) -> None:
    asked = key.challenge(elsewhere)
    signed = key.device.get(asked["webauthn"]["credential_options"]["publicKey"])
    assert key.send(elsewhere, asked["id"], "request", signed).status == 200
    assert key.send(elsewhere, asked["id"], "request", signed).code == "mfa_challenge_expired"


def test_a_verified_factor_takes_no_new_key(elsewhere: Person, key: SecurityKey) -> None:
    asked = key.challenge(elsewhere)
    options = asked["webauthn"]["credential_options"]["publicKey"]
    other = Authenticator("https://app.example.com")
    made = other.create(options | {"user": {"id": "AAAA"}, "rp": {"id": options["rpId"]}})
    assert key.send(elsewhere, asked["id"], "create", made).code == "validation_failed"


def test_a_counter_that_fell_back_is_refused_and_the_owner_hears_of_it(
    service: Service, elsewhere: Person, key: SecurityKey
) -> None:
    key.device.sign_count, key.device.counts = 7, True
    assert key.answer(elsewhere).status == 200
    key.device.sign_count = 2
    assert key.answer(elsewhere).code == "mfa_verification_failed"
    mail = service.mails_to(elsewhere.email)[-1]
    assert (mail["template"], mail["params"]["factor_type"]) == ("key_refused", "webauthn")


@pytest.mark.parametrize(
    "webauthn",
    [None, {}, {"type": "request"}, {"type": "request", "credential_response": "x"}, {"type": "steal"}],
    ids=str,
)
def test_an_answer_without_a_response_is_refused(elsewhere: Person, key: SecurityKey, webauthn: Any) -> None:
    body = {"challenge_id": key.challenge(elsewhere)["id"], "code": "123456", "webauthn": webauthn}
    assert elsewhere.post(f"/factors/{key.factor_id}/verify", body).code == "validation_failed"


def test_one_key_is_not_two_factors(alice: Person, key: SecurityKey) -> None:
    again = SecurityKey(alice, "again")
    again.device.credential_id = key.device.credential_id
    assert again.answer().code == "webauthn_credential_exists"
    assert alice.delete(f"/factors/{key.factor_id}").status == 200
