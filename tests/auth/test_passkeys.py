"""/passkeys: registration, log-in without a name, list, rename, remove; and what attackers send instead."""

import os
from collections.abc import Callable
from typing import Any
from uuid import UUID

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from services.auth import challenges
from services.auth.worker import clean_up
from shared.ids import new_id
from tests.auth.authenticators import App
from tests.auth.conftest import Make, Person, Reply, Service, at_once, claims_of
from tests.support.authenticator import (
    BACKED_UP,
    BACKUP_ELIGIBLE,
    EDDSA,
    ES256,
    PRESENT,
    RS256,
    VERIFIED,
    Authenticator,
    decode,
    encode,
)

ORIGIN = "https://app.example.com"
ANDROID = "android:apk-key-hash:" + "A" * 43
Json = dict[str, Any]


def _begin(person: Person) -> Json:
    reply = person.post("/passkeys/registration/options", {})
    assert reply.status == 200, reply.text
    asked: Json = reply.json
    return asked


def _finish(person: Person, asked: Json, credential: Json) -> Reply:
    body = {"challenge_id": asked["challenge_id"], "credential": credential}
    return person.post("/passkeys/registration/verify", body)


def _register(person: Person, device: Authenticator) -> Reply:
    asked = _begin(person)
    return _finish(person, asked, device.create(asked["options"]))


def _ask(service: Service) -> Json:
    reply = service.post("/passkeys/authentication/options", {})
    assert reply.status == 200, reply.text
    asked: Json = reply.json
    return asked


def _answer(service: Service, asked: Json, credential: Json) -> Reply:
    body = {"challenge_id": asked["challenge_id"], "credential": credential}
    return service.post("/passkeys/authentication/verify", body)


def _log_in(service: Service, device: Authenticator) -> Reply:
    asked = _ask(service)
    return _answer(service, asked, device.get(asked["options"]))


@pytest.fixture
def phone(alice: Person) -> Authenticator:
    """A device that holds a passkey of Alice."""
    device = Authenticator(ORIGIN, counts=True, aaguid=UUID("d548826e-79b4-db40-a3d8-11116f7e8349").bytes)
    assert _register(alice, device).status == 200
    return device


def _refused(reply: Reply) -> bool:
    return (reply.status, reply.code) == (400, "webauthn_verification_failed")


def test_the_options_ask_for_a_discoverable_key_that_verifies_its_user(alice: Person) -> None:
    asked = _begin(alice)
    options = asked["options"]
    assert options["rp"] == {"id": "app.example.com", "name": "Gatehouse"}
    assert decode(options["user"]["id"]) == UUID(alice.user_id).bytes
    assert options["user"]["name"] == alice.email
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert [one["alg"] for one in options["pubKeyCredParams"]] == [ES256, EDDSA, RS256]
    assert (len(decode(options["challenge"])), options["attestation"]) == (32, "none")


def test_a_passkey_is_kept_with_the_name_of_its_maker_and_mailed_about(service: Service, alice: Person) -> None:
    device = Authenticator(ORIGIN, aaguid=UUID("d548826e-79b4-db40-a3d8-11116f7e8349").bytes)
    made = _register(alice, device)
    assert (made["friendly_name"], made["provider"]) == ("Bitwarden", "Bitwarden")
    assert (made["backup_eligible"], made["backed_up"]) == (True, True)
    assert made["transports"] == ["hybrid", "internal"]
    mail = service.mails_to(alice.email)[-1]
    assert (mail["template"], mail["params"]["provider"]) == ("passkey_added", "Bitwarden")
    assert service.events("user.security_changed")[0].data["change"] == "passkey_added"


def test_who_has_a_passkey_logs_in_without_naming_themselves(
    service: Service, alice: Person, phone: Authenticator
) -> None:
    asked = _ask(service)
    assert asked["options"]["allowCredentials"] == []
    assert asked["options"]["rpId"] == "app.example.com"
    reply = _answer(service, asked, phone.get(asked["options"]))
    assert (reply.status, reply["user"]["id"]) == (200, alice.user_id)
    claims = claims_of(reply["access_token"])
    assert (claims["aal"], [entry["method"] for entry in claims["amr"]]) == ("aal2", ["passkey"])
    assert claims["sid"] != alice.session_id
    assert service.events("session.created")[-1].subject == claims["sid"]
    alice.session = reply.json
    assert alice.get("/passkeys").json[0]["last_used_at"] is not None
    assert alice.refresh().status == 200
    assert claims_of(alice.session["access_token"])["aal"] == "aal2"


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
def test_every_algorithm_that_is_offered_works(service: Service, alice: Person, algorithm: int) -> None:
    device = Authenticator(ORIGIN, algorithm=algorithm)
    assert _register(alice, device).status == 200
    assert _log_in(service, device).status == 200


@pytest.mark.parametrize("origin", [ANDROID, "https://www.app.example.com", "https://app.example.com"])
def test_apps_and_pages_that_are_listed_may_ask(make_service: Make, origin: str) -> None:
    service = make_service(webauthn_origins=f"{ANDROID}, https://www.app.example.com")
    device = Authenticator(origin)
    assert _register(service.member("alice"), device).status == 200
    assert _log_in(service, device).status == 200


def test_of_twenty_answers_to_one_challenge_at_once_one_wins(service: Service, phone: Authenticator) -> None:
    phone.counts, phone.sign_count = False, 0
    service.rows("UPDATE webauthn_credentials SET sign_count = 0")
    asked = _ask(service)
    credential = phone.get(asked["options"])
    replies = at_once(lambda _: _answer(service, asked, credential))
    assert sorted(reply.status for reply in replies) == [200] + [400] * 19
    assert {reply.code for reply in replies} == {None, "webauthn_challenge_not_found"}


def test_of_twenty_registrations_with_one_challenge_at_once_one_wins(service: Service, alice: Person) -> None:
    asked = _begin(alice)
    devices = [Authenticator(ORIGIN) for _ in range(20)]
    replies = at_once(lambda n: _finish(alice, asked, devices[n].create(asked["options"])))
    assert sorted(reply.status for reply in replies) == [200] + [400] * 19


def test_an_answer_that_was_used_is_refused_again(service: Service, phone: Authenticator) -> None:
    asked = _ask(service)
    credential = phone.get(asked["options"])
    assert _answer(service, asked, credential).status == 200
    assert _answer(service, asked, credential).code == "webauthn_challenge_not_found"
    other = _ask(service)
    assert _refused(_answer(service, other, credential)), "nor does it answer another challenge"


def test_nothing_of_a_challenge_is_kept_before_it_is_answered(service: Service, phone: Authenticator) -> None:
    before = service.rows("SELECT id FROM used_challenges")
    for _ in range(5):
        _ask(service)
    assert service.rows("SELECT id FROM used_challenges") == before
    _log_in(service, phone)
    assert len(service.rows("SELECT id FROM used_challenges")) == len(before) + 1
    service.rows("UPDATE used_challenges SET expires_at = now() - interval '2 minutes'")
    assert clean_up(service.db, service.parts.settings) == len(before) + 1


@pytest.mark.parametrize("age_s", [-60, 301])
def test_a_challenge_is_good_for_five_minutes(service: Service, phone: Authenticator, age_s: int) -> None:
    made = new_id()
    old = UUID(int=made.int - (age_s * 1000 << 80))
    challenge = challenges.made(service.parts.sealer, challenges.LOG_IN, old)[0]
    reply = _answer(service, {"challenge_id": str(old)}, phone.get({"challenge": encode(challenge)}))
    assert (reply.status, reply.code) == (400, "webauthn_challenge_expired")


def test_a_challenge_is_good_for_its_purpose_and_session_only(
    service: Service, alice: Person, mallory: Person, phone: Authenticator
) -> None:
    for_registration = _begin(alice)
    assert _refused(_answer(service, for_registration, phone.get(for_registration["options"])))
    device = Authenticator(ORIGIN)
    assert _refused(_finish(mallory, for_registration, device.create(for_registration["options"])))
    for_log_in = _ask(service)
    options = for_registration["options"] | {"challenge": for_log_in["options"]["challenge"]}
    assert _refused(_finish(alice, for_log_in, device.create(options)))


def test_a_challenge_outlives_a_new_first_secret_key(make_service: Make) -> None:
    service = make_service()
    alice, device = service.member("alice"), Authenticator(ORIGIN)
    assert _register(alice, device).status == 200
    asked = _ask(service)
    keys = service.parts.settings.secret_keys.get_secret_value()
    new = make_service(
        secret_keys=f"{encode(os.urandom(32)).replace('-', '+').replace('_', '/')}=,{keys}",
        database_url=service.parts.settings.database_url.get_secret_value(),
    )
    assert _answer(new, asked, device.get(asked["options"])).status == 200


Lie = Callable[[Authenticator], None]
LIES: dict[str, Lie] = {
    "another site": lambda device: setattr(device, "origin", "https://app.example.com.evil.test"),
    "a page without TLS": lambda device: setattr(device, "origin", "http://app.example.com"),
    "another port": lambda device: setattr(device, "origin", "https://app.example.com:8443"),
    "another Android app": lambda device: setattr(device, "origin", "android:apk-key-hash:" + "B" * 43),
    "another rp id": lambda device: setattr(device, "rp_id", "evil.test"),
    "a parent domain": lambda device: setattr(device, "rp_id", "example.com"),
    "inside another page": lambda device: setattr(device, "cross_origin", True),
    "nobody there": lambda device: setattr(device, "flags", device.flags & ~PRESENT),
    "user not verified": lambda device: setattr(device, "flags", device.flags & ~VERIFIED),
    "backed up, but not to be backed up": lambda device: setattr(device, "flags", PRESENT | VERIFIED | BACKED_UP),
}
each_lie = pytest.mark.parametrize("lie", LIES.values(), ids=LIES)


@each_lie
def test_a_log_in_that_lies_is_refused(service: Service, phone: Authenticator, lie: Lie) -> None:
    lie(phone)
    assert _refused(_log_in(service, phone))


@each_lie
def test_a_registration_that_lies_is_refused(alice: Person, lie: Lie) -> None:
    device = Authenticator(ORIGIN)
    lie(device)
    assert _refused(_register(alice, device))
    assert alice.get("/passkeys").json == []


def test_a_key_that_could_not_be_copied_and_now_can_is_refused(service: Service, alice: Person) -> None:
    device = Authenticator(ORIGIN, flags=PRESENT | VERIFIED)
    made = _register(alice, device)
    assert (made["backup_eligible"], made["backed_up"]) == (False, False)
    device.flags |= BACKUP_ELIGIBLE
    assert _refused(_log_in(service, device))


def test_whether_a_key_is_backed_up_is_noted_again_at_each_use(service: Service, alice: Person) -> None:
    device = Authenticator(ORIGIN, flags=PRESENT | VERIFIED | BACKUP_ELIGIBLE)
    assert _register(alice, device)["backed_up"] is False
    device.flags |= BACKED_UP
    assert _log_in(service, device).status == 200
    assert alice.get("/passkeys").json[0]["backed_up"] is True


@pytest.mark.parametrize("count", [0, 3, 4])
def test_a_counter_that_does_not_move_on_is_refused_and_the_owner_hears_of_it(
    service: Service, alice: Person, phone: Authenticator, count: int
) -> None:
    phone.sign_count = 3
    assert _log_in(service, phone).status == 200
    phone.sign_count, phone.counts = count, False
    assert _refused(_log_in(service, phone))
    mail = service.mails_to(alice.email)[-1]
    assert (mail["template"], mail["params"]["factor_type"]) == ("key_refused", "passkey")
    assert service.events("user.security_changed")[-1].data["change"] == "key_refused"
    phone.sign_count = 5
    assert _log_in(service, phone).status == 200, "the true key goes on"


def test_the_key_of_one_is_not_the_key_of_another(
    service: Service, alice: Person, mallory: Person, phone: Authenticator
) -> None:
    theirs = Authenticator(ORIGIN)
    assert _register(mallory, theirs).status == 200
    theirs.user_handle = phone.user_handle
    assert _refused(_log_in(service, theirs)), "mallory's key with alice's name"
    theirs.credential_id = phone.credential_id
    assert _refused(_log_in(service, theirs)), "mallory's signature under alice's key"
    theirs.user_handle = b""
    assert _refused(_log_in(service, theirs))
    again = Authenticator(ORIGIN, credential_id=phone.credential_id)
    reply = _register(mallory, again)
    assert (reply.status, reply.code) == (422, "webauthn_credential_exists")
    assert _log_in(service, phone)["user"]["id"] == alice.user_id


def test_an_unknown_key_is_refused_like_a_wrong_one(service: Service, phone: Authenticator) -> None:
    stranger = Authenticator(ORIGIN, rp_id="app.example.com", user_handle=phone.user_handle)
    unknown = _log_in(service, stranger)
    phone.private_key = ec.generate_private_key(ec.SECP256R1())
    wrong = _log_in(service, phone)
    assert _refused(unknown) and _refused(wrong)
    assert unknown.json["detail"] == wrong.json["detail"]


def _weak_rsa() -> bytes:
    device = Authenticator(ORIGIN, algorithm=RS256)
    device.private_key = rsa.generate_private_key(65537, 1024)  # noqa: S505 — the attack
    return device.cose_key()


def _modulus() -> bytes:
    numbers = Authenticator(ORIGIN, algorithm=RS256).private_key.public_key().public_numbers()
    modulus: bytes = numbers.n.to_bytes(256, "big")
    return modulus


def _of(algorithm: int, **changes: Any) -> bytes:
    return Authenticator(ORIGIN, algorithm=algorithm).cose_key(**changes)


KEYS: dict[str, Callable[[], bytes]] = {
    "an EC key that claims EdDSA": lambda: _of(ES256, alg=EDDSA),
    "an EC key that claims RSA": lambda: _of(ES256, alg=RS256),
    "an RSA key that claims ECDSA": lambda: _of(RS256, alg=ES256),
    "an RSA key that claims RS1": lambda: _of(RS256, alg=-65535),
    "an Ed25519 key that claims ECDSA": lambda: _of(EDDSA, alg=ES256),
    "an HMAC": lambda: cbor2.dumps({1: 4, 3: 5, -1: b"k" * 32}),
    "no algorithm": lambda: cbor2.dumps({1: 2, 3: 0, -1: 1, -2: b"x" * 32, -3: b"y" * 32}),
    "a point that is not on the curve": lambda: cbor2.dumps({1: 2, 3: -7, -1: 1, -2: b"x" * 32, -3: b"y" * 32}),
    "another curve": lambda: cbor2.dumps({1: 2, 3: -7, -1: 2, -2: b"x" * 48, -3: b"y" * 48}),
    "RSA of 1024 bits": _weak_rsa,
    "an RSA exponent of 3": lambda: cbor2.dumps({1: 3, 3: RS256, -1: _modulus(), -2: b"\x03"}),
    "an RSA exponent that takes long": lambda: cbor2.dumps({1: 3, 3: RS256, -1: _modulus(), -2: b"\xff" * 200}),
    "a key given twice": lambda: b"\xa2\x01\x02\x01\x03",
    "no map": lambda: cbor2.dumps([1, 2, 3]),
    "text for numbers": lambda: cbor2.dumps({1: 2, 3: -7, -1: 1, -2: "x" * 32, -3: "y" * 32}),
    "endless nesting": lambda: b"\x81" * 2000,
    "a huge length": lambda: b"\x5b" + b"\xff" * 8,
    "an integer without end": lambda: cbor2.dumps({1: 3, 3: -257, -1: b"\xff" * 4000, -2: b"\x03"}),
    "nothing": lambda: b"",
    "half a key": lambda: _of(ES256)[:-7],
    "more than a key": lambda: _of(ES256) + b"\x00",
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_what_is_no_sound_key_is_refused_when_it_is_registered(alice: Person, key: Callable[[], bytes]) -> None:
    asked = _begin(alice)
    credential = Authenticator(ORIGIN).create(asked["options"], public_key=key())
    assert _refused(_finish(alice, asked, credential))
    assert alice.get("/passkeys").json == []


def test_an_id_longer_than_the_standard_allows_is_refused(alice: Person) -> None:
    assert _refused(_register(alice, Authenticator(ORIGIN, credential_id=os.urandom(1024))))


BROKEN: dict[str, Callable[[Json], Any]] = {
    "no response": lambda credential: credential | {"response": None},
    "a list": lambda credential: credential | {"response": []},
    "no id": lambda credential: {name: value for name, value in credential.items() if name != "rawId"},
    "an id that is no base64": lambda credential: credential | {"rawId": "ä!"},
    "two ids": lambda credential: credential | {"id": "AAAA"},
    "another type": lambda credential: credential | {"type": "password"},
    "no JSON": lambda credential: _changed(credential, clientDataJSON=encode(b"{")),
    "JSON that is no object": lambda credential: _changed(credential, clientDataJSON=encode(b"[1]")),
    "deep JSON": lambda credential: _changed(credential, clientDataJSON=encode(b"[" * 100_000)),
    "not UTF-8": lambda credential: _changed(credential, clientDataJSON=encode(b"\xff\xfe")),
    "a challenge that is no text": lambda credential: _changed(credential, clientDataJSON=encode(b'{"challenge":5}')),
    "no client data": lambda credential: _changed(credential, clientDataJSON=None),
    "short data": lambda credential: _changed(credential, authenticatorData=encode(b"x"), attestationObject="AA"),
    "CBOR cut off": lambda credential: _changed(
        credential, authenticatorData="", attestationObject=encode(b"\xa3\x63")
    ),
    "CBOR that is no map": lambda credential: _changed(
        credential, authenticatorData=7, attestationObject=encode(b"\x01")
    ),
    "deep CBOR": lambda credential: _changed(
        credential, authenticatorData=[], attestationObject=encode(b"\x81" * 20_000)
    ),
    "a wrong signature": lambda credential: _changed(
        credential, signature=encode(b"\x30\x06\x02\x01\x01\x02\x01\x01"), attestationObject=None
    ),
}


def _changed(credential: Json, **members: Any) -> Json:
    response = {name: members.get(name, value) for name, value in credential["response"].items()}
    return credential | {"response": response}


@pytest.mark.parametrize("breaking", BROKEN.values(), ids=BROKEN)
def test_what_makes_no_sense_is_refused_at_both_ends(
    service: Service, alice: Person, phone: Authenticator, breaking: Callable[[Json], Any]
) -> None:
    asked = _ask(service)
    assert _refused(_answer(service, asked, breaking(phone.get(asked["options"]))))
    asked = _begin(alice)
    assert _refused(_finish(alice, asked, breaking(Authenticator(ORIGIN).create(asked["options"]))))


@pytest.mark.parametrize("type", ["webauthn.create", "payment.get", None])
def test_data_signed_for_something_else_is_no_log_in(service: Service, phone: Authenticator, type: str) -> None:
    asked = _ask(service)
    assert _refused(_answer(service, asked, phone.get(asked["options"], type=type)))


def test_any_byte_that_is_changed_is_noticed(service: Service, phone: Authenticator) -> None:
    phone.counts, phone.sign_count = False, 0
    service.rows("UPDATE webauthn_credentials SET sign_count = 0")
    asked = _ask(service)
    right = phone.get(asked["options"])
    for member in ("authenticatorData", "signature", "clientDataJSON"):
        data = decode(right["response"][member])
        for position in range(0, len(data), 3):
            changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
            assert _refused(_answer(service, asked, _changed(right, **{member: encode(changed)})))
    assert _answer(service, asked, right).status == 200


def test_passkeys_are_listed_renamed_and_removed_by_their_owner_only(
    service: Service, alice: Person, mallory: Person, phone: Authenticator
) -> None:
    (listed,) = alice.get("/passkeys").json
    path = f"/passkeys/{listed['id']}"
    assert mallory.get("/passkeys").json == []
    for method, body in (("PATCH", {"friendly_name": "mine"}), ("DELETE", None)):
        reply = service.call(method, path, body=body, headers=mallory.headers)
        assert (reply.status, reply.code) == (404, "passkey_not_found")
    renamed = service.call("PATCH", path, body={"friendly_name": "The old phone"}, headers=alice.headers)
    assert (renamed.status, renamed["friendly_name"], renamed["provider"]) == (200, "The old phone", "Bitwarden")
    for name in ("", "x" * 121):
        assert service.call("PATCH", path, body={"friendly_name": name}, headers=alice.headers).status == 400
    removed = alice.delete(path)
    assert (removed.status, removed.text) == (204, "")
    assert service.mails_to(alice.email)[-1]["template"] == "passkey_removed"
    assert _refused(_log_in(service, phone))


def test_a_session_that_stands_on_a_passkey_falls_back_without_it(service: Service, alice: Person) -> None:
    device = Authenticator(ORIGIN)
    made = _register(alice, device)
    alice.session = _log_in(service, device).json
    assert alice.delete(f"/passkeys/{made['id']}").status == 204
    assert alice.refresh().status == 200
    claims = claims_of(alice.session["access_token"])
    assert (claims["aal"], [entry["method"] for entry in claims["amr"]]) == ("aal1", ["passkey"])


def test_who_knows_only_the_password_opens_no_way_past_the_second_factor(
    service: Service, alice: Person, phone: Authenticator
) -> None:
    assert App(alice).answer().status == 200
    thief = Person(service, alice.email)
    assert thief.log_in().status == 200
    (listed,) = alice.get("/passkeys").json
    asked = _begin(alice)
    for reply in (
        thief.post("/passkeys/registration/options", {}),
        _finish(thief, asked, Authenticator(ORIGIN).create(asked["options"])),
        thief.delete(f"/passkeys/{listed['id']}"),
    ):
        assert (reply.status, reply.code) == (403, "insufficient_aal")
    thief.session = _log_in(service, phone).json
    assert thief.delete(f"/passkeys/{listed['id']}").status == 204, "the passkey itself is as good as the factor"


def test_there_are_ten_passkeys_at_most_also_at_once(service: Service, alice: Person) -> None:
    asked = [_begin(alice) for _ in range(12)]
    replies = at_once(lambda n: _finish(alice, asked[n], Authenticator(ORIGIN).create(asked[n]["options"])), 12)
    assert sorted(reply.status for reply in replies) == [200] * 10 + [422] * 2
    refused = alice.post("/passkeys/registration/options", {})
    assert (refused.status, refused.code) == (422, "too_many_passkeys")
    assert len(alice.get("/passkeys").json) == 10


def test_the_devices_that_have_one_already_are_named_to_the_next(alice: Person, phone: Authenticator) -> None:
    excluded = _begin(alice)["options"]["excludeCredentials"]
    assert [decode(one["id"]) for one in excluded] == [phone.credential_id]
    assert excluded[0]["transports"] == ["hybrid", "internal"]
