"""Signing keys: their making, sealing and rotation."""

import os
from base64 import b64encode

import jwt
import pytest

from services.auth import keys, store
from services.auth.keys import KeyRing
from services.auth.sealing import CannotOpen, Sealer
from tests.auth.conftest import Make, Person, Service, at_once


def _kid(person: Person) -> str:
    return str(jwt.get_unverified_header(person.session["access_token"])["kid"])


def test_of_twenty_processes_that_start_at_once_one_makes_the_key(service: Service) -> None:
    rings = [KeyRing(service.db, service.parts.sealer) for _ in range(20)]
    kids = {key.kid for key in at_once(lambda n: rings[n].signing_key())}
    assert len(kids) == 1
    assert [row["state"] for row in service.rows("SELECT state FROM signing_keys")] == ["active"]


def test_a_replica_signs_with_the_key_that_is_there(make_service: Make) -> None:
    secret = b64encode(os.urandom(32)).decode()
    first = make_service(secret_keys=secret)
    alice = first.member("alice")
    second = make_service(secret_keys=secret, database_url=first.parts.settings.database_url.get_secret_value())
    assert second.get("/user", alice.headers).status == 200
    alice.service = second
    kid = _kid(alice)
    alice.log_in()
    assert _kid(alice) == kid


def test_the_private_key_is_sealed_in_its_row(service: Service, alice: Person) -> None:
    (row,) = service.rows("SELECT kid, private_key_sealed FROM signing_keys")
    sealed, sealer = bytes(row["private_key_sealed"]), service.parts.sealer
    assert sealer.open(sealed, f"signing_keys/{row['kid']}").startswith(b"\x30")
    with pytest.raises(CannotOpen):
        Sealer([os.urandom(32)]).open(sealed, f"signing_keys/{row['kid']}")
    with pytest.raises(CannotOpen):
        sealer.open(sealed, "signing_keys/another")
    with pytest.raises(CannotOpen):
        sealer.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), f"signing_keys/{row['kid']}")


def test_a_lost_secret_key_is_told_and_no_new_signing_key_is_made(make_service: Make) -> None:
    first = make_service()
    first.member("alice")
    second = make_service(database_url=first.parts.settings.database_url.get_secret_value())
    assert second.get("/.well-known/jwks.json").status == 500
    assert second.app.test_client().get("/readyz").get_json()["detail"] == "Not ready: signing_key."
    assert len(first.rows("SELECT 1 FROM signing_keys")) == 1


def _rotate(service: Service) -> str:
    with service.db.transaction() as conn:
        settings = service.parts.settings
        return keys.rotate(conn, service.parts.sealer, publish_s=settings.key_publish_s, retire_s=settings.key_retire_s)


def _read_again(service: Service) -> None:
    service.parts.keys._read_at = float("-inf")
    service.app.extensions["verifier"].keys.refresh(force=True)


def test_a_rotation_refuses_no_valid_token(service: Service, alice: Person) -> None:
    old = _kid(alice)
    _rotate(service)
    _read_again(service)
    assert len(service.get("/.well-known/jwks.json")["keys"]) == 2
    alice.refresh()
    assert _kid(alice) == old
    with pytest.raises(keys.TooEarly):
        _rotate(service)

    service.rows("UPDATE signing_keys SET created_at = now() - interval '11 minutes' WHERE state = 'pre_published'")
    before = alice.headers
    _rotate(service)
    _read_again(service)
    assert service.get("/user", before).status == 200
    alice.refresh()
    assert _kid(alice) != old
    assert alice.get("/user").status == 200
    assert {jwk["kid"] for jwk in service.get("/.well-known/jwks.json")["keys"]} == {old, _kid(alice)}


def test_a_retired_key_goes_when_its_last_token_is_dead(service: Service, alice: Person) -> None:
    _rotate(service)
    service.rows("UPDATE signing_keys SET created_at = now() - interval '11 minutes' WHERE state = 'pre_published'")
    _rotate(service)
    with service.db.transaction() as conn:
        assert store.delete_retired_keys(conn, kept_s=service.parts.settings.key_retire_s) == 0
    service.rows("UPDATE signing_keys SET retired_at = now() - interval '25 hours' WHERE state = 'retiring'")
    with service.db.transaction() as conn:
        assert store.delete_retired_keys(conn, kept_s=service.parts.settings.key_retire_s) == 1
    assert [row["state"] for row in service.rows("SELECT state FROM signing_keys")] == ["active"]


def _revoke(service: Service, kid: str) -> str:
    with service.db.transaction() as conn:
        return keys.revoke(conn, service.parts.sealer, kid)


def test_tokens_of_a_revoked_key_are_refused_and_people_stay_logged_in(service: Service, alice: Person) -> None:
    leaked, before = _kid(alice), alice.headers
    assert service.get("/user", before).status == 200
    assert "signs from now on" in _revoke(service, leaked)
    _read_again(service)
    assert service.get("/user", before).code == "token_unknown_key"
    assert leaked not in service.get("/.well-known/jwks.json").text
    assert alice.refresh().status == 200
    assert _kid(alice) != leaked
    assert alice.get("/user").status == 200


def test_the_next_key_takes_the_place_of_a_revoked_one(service: Service, alice: Person) -> None:
    _rotate(service)
    (waiting,) = service.rows("SELECT kid FROM signing_keys WHERE state = 'pre_published'")
    _revoke(service, _kid(alice))
    assert service.rows("SELECT kid, state FROM signing_keys") == [{"kid": waiting["kid"], "state": "active"}]


def test_a_key_that_is_not_there_cannot_be_revoked(service: Service, alice: Person) -> None:
    with pytest.raises(LookupError):
        _revoke(service, "unknown")
    assert alice.get("/user").status == 200
