"""GET, POST, DELETE /factors/recovery-codes, POST …/verify and …/regenerate."""

import pytest

from services.auth import recovery_codes
from tests.auth.authenticators import App
from tests.auth.conftest import Person, Reply, Service, at_once, claims_of

PATH = "/factors/recovery-codes"


@pytest.fixture
def app(alice: Person) -> App:
    made = App(alice)
    assert made.answer().status == 200
    return made


@pytest.fixture
def codes(alice: Person, app: App) -> list[str]:
    """Alice's ten codes."""
    reply = alice.post(PATH)
    assert reply.status == 200, reply.text
    made: list[str] = reply["codes"]
    return made


@pytest.fixture
def elsewhere(service: Service, alice: Person, codes: list[str]) -> Person:
    """Alice on a new device: the old one, with the app, is lost."""
    other = Person(service, alice.email)
    assert other.log_in().status == 200
    return other


def _use(person: Person, code: str) -> Reply:
    return person.keep(person.post(f"{PATH}/verify", {"code": code}))


def test_ten_codes_of_eighty_bits_are_shown_once(service: Service, alice: Person, codes: list[str]) -> None:
    assert len(set(codes)) == 10
    assert all(len(code) == 16 and set(code) <= set(recovery_codes.ALPHABET) for code in codes)
    assert 32**16 == 2**80 == len(recovery_codes.ALPHABET) ** 16
    status = alice.get(PATH)
    assert (status["type"], status["total"], status["remaining"]) == ("recovery_code", 10, 10)
    assert not any(code in status.text for code in codes)
    kept = service.rows("SELECT code_hash FROM recovery_codes")
    assert all(code.encode() not in bytes(row["code_hash"]) for row in kept for code in codes)
    assert [factor["factor_type"] for factor in alice.get("/user")["factors"]] == ["totp", "recovery_code"]


def test_the_set_may_bear_a_name(alice: Person, app: App) -> None:
    assert alice.post(PATH, {"friendly_name": "phone"}).code == "mfa_factor_name_conflict"
    assert alice.post(PATH, {"friendly_name": 5}).code == "validation_failed"
    reply = alice.post(PATH, {"friendly_name": "in the safe"})
    assert (reply.status, reply["friendly_name"]) == (200, "in the safe")


def test_the_document_of_the_api_says_that_the_body_may_be_missing(service: Service) -> None:
    document = service.app.test_client().get("/openapi.json").get_json()
    body = document["paths"]["/auth/v1/factors/recovery-codes"]["post"]["requestBody"]
    assert body["required"] is False and body["content"]["application/json"]["schema"]


def test_a_code_lets_in_whoever_lost_the_other_factor_and_the_owner_hears_of_it(
    service: Service, elsewhere: Person, codes: list[str]
) -> None:
    assert _use(elsewhere, codes[3]).status == 200
    claims = claims_of(elsewhere.session["access_token"])
    assert claims["aal"] == "aal2"
    assert [entry["method"] for entry in claims["amr"]] == ["mfa/recovery_code", "password"]
    mail = service.mails_to(elsewhere.email)[-1]
    assert (mail["template"], mail["params"]["remaining"]) == ("recovery_code_used", "9")
    assert elsewhere.get(PATH)["remaining"] == 9


def test_a_code_may_be_typed_as_people_type(elsewhere: Person, codes: list[str]) -> None:
    code = codes[0].upper().replace("0", "O").replace("1", "l")
    assert _use(elsewhere, f" {code[:4]}-{code[4:8]} {code[8:12]}-{code[12:]}").status == 200


def test_a_code_works_once(elsewhere: Person, codes: list[str]) -> None:
    assert _use(elsewhere, codes[0]).status == 200
    again = _use(elsewhere, codes[0])
    assert (again.status, again.code) == (422, "mfa_verification_failed")


def test_of_twenty_tries_with_one_code_at_once_one_wins(elsewhere: Person, codes: list[str]) -> None:
    replies = at_once(lambda _: _use(elsewhere, codes[0]))
    assert sorted(reply.status for reply in replies) == [200] + [422] * 19


def test_ten_codes_at_once_all_work(elsewhere: Person, codes: list[str]) -> None:
    replies = at_once(lambda n: _use(elsewhere, codes[n]), 10)
    assert [reply.status for reply in replies] == [200] * 10
    assert elsewhere.get(PATH)["remaining"] == 0


def test_however_many_wrong_codes_a_stranger_tries_the_right_one_works(elsewhere: Person, codes: list[str]) -> None:
    assert {_use(elsewhere, f"{n:016d}").code for n in range(30)} == {"mfa_verification_failed"}
    assert _use(elsewhere, codes[9]).status == 200


def test_a_code_of_another_person_is_wrong(mallory: Person, codes: list[str]) -> None:
    theirs = App(mallory)
    assert theirs.answer().status == 200
    assert mallory.post(PATH).status == 200
    assert _use(mallory, codes[0]).code == "mfa_verification_failed"


def test_new_codes_void_the_old(service: Service, alice: Person, codes: list[str]) -> None:
    reply = alice.post(f"{PATH}/regenerate")
    assert reply.status == 200 and not set(reply["codes"]) & set(codes)
    assert service.mails_to(alice.email)[-1]["template"] == "recovery_codes_replaced"
    assert _use(alice, codes[0]).code == "mfa_verification_failed"
    assert _use(alice, reply["codes"][0]).status == 200


def test_who_knows_only_the_password_makes_replaces_and_removes_no_codes(elsewhere: Person) -> None:
    for reply in (elsewhere.post(PATH), elsewhere.post(f"{PATH}/regenerate"), elsewhere.delete(PATH)):
        assert (reply.status, reply.code) == (403, "insufficient_aal")


def test_there_is_one_set_and_it_never_stands_alone(
    service: Service, alice: Person, app: App, codes: list[str]
) -> None:
    assert alice.post(PATH).code == "mfa_verified_factor_exists"
    alone = alice.delete(f"/factors/{app.factor_id}")
    assert (alone.status, alone.code) == (422, "mfa_recovery_codes_sole_factor")
    factor_id = alice.get(PATH)["id"]
    assert alice.delete(f"/factors/{factor_id}").code == "validation_failed"
    assert alice.post(f"/factors/{factor_id}/challenge").code == "validation_failed"
    assert alice.delete(PATH).json == {"id": factor_id}
    assert alice.delete(f"/factors/{app.factor_id}").status == 200


def test_without_another_factor_there_are_none(service: Service, alice: Person) -> None:
    assert alice.get(PATH).code == "mfa_factor_not_found"
    service.rows("UPDATE sessions SET aal = 'aal2'")
    assert alice.post(PATH).code == "mfa_recovery_codes_sole_factor"
    assert alice.post(f"{PATH}/regenerate").code == "mfa_factor_not_found"
    assert alice.delete(PATH).code == "mfa_factor_not_found"


def test_of_two_first_sets_at_once_one_is_made(alice: Person, app: App) -> None:
    replies = at_once(lambda _: alice.post(PATH), 6)
    assert sorted(reply.status for reply in replies) == [200] + [422] * 5
