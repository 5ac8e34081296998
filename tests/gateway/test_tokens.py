"""Access tokens at the door: every attack is a 401 with its reason; services never see the request."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from shared.ids import new_id
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Upstream
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.waiting import eventually

PATH = "/data/v1/documents"


def ask(gateway: GatewayProcess, token: str, path: str = PATH):
    return gateway.ask("GET", path, headers={"Authorization": f"Bearer {token}"})


def segment(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def unsigned(issuer: Issuer) -> str:
    _, payload, _ = issuer.token(new_id()).split(".")
    return f"{segment({'alg': 'none', 'typ': 'JWT', 'kid': issuer.kid})}.{payload}."


def signed_with_the_public_key_as_secret(issuer: Issuer) -> str:
    public = issuer.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    claims = jwt.decode(issuer.token(new_id()), options={"verify_signature": False})
    signed = f"{segment({'alg': 'HS256', 'typ': 'JWT', 'kid': issuer.kid})}.{segment(claims)}"
    return f"{signed}.{base64.urlsafe_b64encode(hmac.digest(public, signed.encode(), 'sha256')).rstrip(b'=').decode()}"


def signed_by_another_key(issuer: Issuer) -> str:
    claims = jwt.decode(issuer.token(new_id()), options={"verify_signature": False})
    return jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": issuer.kid})


def with_another_payload(issuer: Issuer) -> str:
    head, _, signature = issuer.token(new_id()).split(".")
    claims = jwt.decode(issuer.token(new_id()), options={"verify_signature": False})
    return f"{head}.{segment({**claims, 'scope': 'everything'})}.{signature}"


def without_a_kid(issuer: Issuer) -> str:
    claims = jwt.decode(issuer.token(new_id()), options={"verify_signature": False})
    return jwt.encode(claims, issuer.key, algorithm="ES256")


def without_a_session(issuer: Issuer) -> str:
    claims = jwt.decode(issuer.token(new_id()), options={"verify_signature": False})
    del claims["sid"]
    return jwt.encode(claims, issuer.key, algorithm="ES256", headers={"kid": issuer.kid})


def with_a_claim_twice(issuer: Issuer, where: str) -> str:
    """Signed as it stands: `sub` is somebody else first, then the user; readers differ in which they take."""
    claims = jwt.decode(issuer.token(new_id()), options={"verify_signature": False})
    head, payload = json.dumps({"alg": "ES256", "kid": issuer.kid}), json.dumps(claims)
    if where == "payload":
        payload = f'{{"sub": "{new_id()}", {payload[1:]}'
    else:
        head = f'{{"kid": "other", {head[1:]}'
    signed = ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in (head, payload))
    signature = ECAlgorithm(ECAlgorithm.SHA256).sign(signed.encode(), issuer.key)
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def with_a_second_signature(issuer: Issuer) -> str:
    return issuer.token(new_id()) + ".x"


ATTACKS: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "alg none": (unsigned, "token_algorithm"),
    "HS256 with the public key": (signed_with_the_public_key_as_secret, "token_algorithm"),
    "another key": (signed_by_another_key, "token_signature"),
    "another payload": (with_another_payload, "token_signature"),
    "four parts": (with_a_second_signature, "token_malformed"),
    "expired": (lambda issuer: issuer.token(new_id(), exp=int(time.time()) - 60), "token_expired"),
    "not yet valid": (lambda issuer: issuer.token(new_id(), nbf=int(time.time()) + 600), "token_not_yet_valid"),
    "issued in the future": (lambda issuer: issuer.token(new_id(), iat=int(time.time()) + 600), "token_not_yet_valid"),
    "another issuer": (lambda issuer: issuer.token(new_id(), iss="https://evil.example"), "token_issuer"),
    "another audience": (lambda issuer: issuer.token(new_id(), aud="another"), "token_audience"),
    "no expiry": (lambda issuer: issuer.token(new_id(), exp=None), "token_malformed"),
    "no session": (without_a_session, "token_malformed"),
    "unknown kid": (lambda issuer: issuer.token(new_id(), headers={"kid": "nobody"}), "token_unknown_key"),
    "no kid": (without_a_kid, "token_unknown_key"),
    "kid is a path": (lambda issuer: issuer.token(new_id(), headers={"kid": "../../etc/passwd"}), "token_unknown_key"),
    "crit": (lambda issuer: issuer.token(new_id(), headers={"crit": ["x"], "x": 1}), "token_malformed"),
    "jku": (lambda issuer: issuer.token(new_id(), headers={"jku": "https://evil.example"}), "token_header"),
    "embedded jwk": (lambda issuer: issuer.token(new_id(), headers={"jwk": {"kty": "EC"}}), "token_header"),
    "x5u": (lambda issuer: issuer.token(new_id(), headers={"x5u": "https://evil.example"}), "token_header"),
    "oversized": (lambda issuer: issuer.token(new_id(), padding="x" * 7000), "token_malformed"),
    "a claim twice": (lambda issuer: with_a_claim_twice(issuer, "payload"), "token_malformed"),
    "a header twice": (lambda issuer: with_a_claim_twice(issuer, "header"), "token_malformed"),
    "garbage": (lambda issuer: "garbage", "token_malformed"),
    "dots": (lambda issuer: "..", "token_malformed"),
    "not ascii": (lambda issuer: "\xe9.\xe9.\xe9", "token_malformed"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_token_that_is_not_right_is_refused_with_the_reason(
    gateway: GatewayProcess, issuer: Issuer, upstream: Upstream, attack: str
) -> None:
    make, reason = ATTACKS[attack]
    before = len(upstream.requests)
    for _ in range(2):  # a refusal is not remembered as a success
        answer = ask(gateway, make(issuer))
        assert (answer.status, answer.code) == (401, reason)
        assert 'Bearer error="invalid_token", error_description="' in answer.headers["WWW-Authenticate"]
    assert len(upstream.requests) == before


def test_without_a_token_the_answer_says_what_is_wanted(gateway: GatewayProcess) -> None:
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}):
        answer = gateway.ask("GET", PATH, headers=headers)
        assert (answer.status, answer.code, answer.headers["WWW-Authenticate"]) == (401, "token_missing", "Bearer")


def test_a_token_in_the_query_is_no_token(gateway: GatewayProcess, alice: Person) -> None:
    assert gateway.ask("GET", f"{PATH}?access_token={alice.token()}").code == "token_missing"


def test_two_authorizations_are_none(gateway: GatewayProcess, alice: Person, mallory: Person) -> None:
    head = f"GET {PATH} HTTP/1.1\r\nHost: a\r\n"
    fields = "".join(f"Authorization: Bearer {person.token()}\r\n" for person in (alice, mallory))
    with gateway.wire() as wire:
        answer = wire.ask(head + fields + "\r\n")
        assert (answer.status, answer.code) == (400, "malformed_request")
        assert wire.is_closed()


def test_a_good_token_passes_and_services_get_it_to_verify_again(gateway: GatewayProcess, alice: Person) -> None:
    token = alice.token()
    for scheme in ("Bearer", "bearer", "BEARER"):
        answer = gateway.ask("GET", PATH, headers={"Authorization": f"{scheme} {token}"})
        assert answer.status == 200
        assert ["authorization", f"{scheme} {token}"] in answer.json["fields"]


def test_public_routes_do_not_look_at_tokens_and_optional_ones_refuse_a_bad_one(
    gateway: GatewayProcess, alice: Person
) -> None:
    assert ask(gateway, "garbage", "/open/x").status == 200
    assert gateway.ask("GET", "/optional/x").status == 200
    assert gateway.ask("GET", "/optional/x", headers=alice.headers).status == 200
    assert ask(gateway, "garbage", "/optional/x").code == "token_malformed"


@pytest.mark.parametrize(
    ("path", "scope", "status"),
    [
        ("/scoped/all/x", "a:read a:write other", 200),
        ("/scoped/all/x", "a:read", 403),
        ("/scoped/all/x", "", 403),
        ("/scoped/any/x", "b:read", 200),
        ("/scoped/any/x", "a:readonly", 403),
    ],
)
def test_scopes_are_asked_for_by_the_route(
    gateway: GatewayProcess, alice: Person, path: str, scope: str, status: int
) -> None:
    answer = ask(gateway, alice.token(scope=scope), path)
    assert answer.status == status
    if status == 403:
        assert answer.code == "insufficient_scope"
        assert 'error="insufficient_scope", scope="a:read' in answer.headers["WWW-Authenticate"]


def test_a_route_may_ask_for_a_second_factor(gateway: GatewayProcess, issuer: Issuer, alice: Person) -> None:
    for token in (alice.token(), alice.token(aal="aal3"), issuer.service_token("all")):
        answer = ask(gateway, token, "/careful/x")
        assert (answer.status, answer.code) == (403, "insufficient_aal")
        assert 'error="insufficient_user_authentication"' in answer.headers["WWW-Authenticate"]
        assert 'acr_values="aal2"' in answer.headers["WWW-Authenticate"]
    assert ask(gateway, alice.token(aal="aal2"), "/careful/x").status == 200
    assert gateway.ask("GET", "/careful/x").code == "token_missing"


def test_a_token_is_verified_once_and_refused_once_it_has_expired(gateway: GatewayProcess, alice: Person) -> None:
    token = alice.token(exp=int(time.time()) - 1)  # within the leeway of five seconds
    time.sleep(1)  # the numbers are handed over twice a second
    before = gateway.metric("gateway_verified_tokens_total")
    assert [ask(gateway, token).status for _ in range(5)] == [200] * 5
    time.sleep(1)
    assert gateway.metric("gateway_verified_tokens_total") == before + 1
    deadline = time.monotonic() + 6
    while (answer := ask(gateway, token)).status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert answer.code == "token_expired"


def test_invented_key_names_do_not_become_load_on_the_issuer(gateway: GatewayProcess, issuer: Issuer) -> None:
    before = issuer.fetches
    for number in range(30):
        assert ask(gateway, issuer.token(new_id(), headers={"kid": f"k{number}"})).code == "token_unknown_key"
    assert issuer.fetches <= before + 1


def test_keys_outlive_their_issuer_and_without_any_the_answer_is_503(
    upstream: Upstream, folder: Path, alice: Person
) -> None:
    issuer = Issuer()
    gateway = GatewayProcess(issuer, upstream.url, folder, JWKS_REFRESH_S="0.3").start()
    try:
        token = issuer.token(new_id())
        assert ask(gateway, token).status == 200
        issuer.key, issuer.kid = ec.generate_private_key(ec.SECP256R1()), "another"
        eventually(lambda: ask(gateway, token).status == 401, what="what a withdrawn key has signed is refused")
        assert ask(gateway, issuer.token(new_id())).status == 200
        issuer.close()
        time.sleep(1)
        assert ask(gateway, issuer.token(new_id())).status == 200
    finally:
        gateway.stop()
    gateway = GatewayProcess(issuer, upstream.url, folder).start()
    try:
        answer = ask(gateway, issuer.token(new_id()))
        assert (answer.status, answer.code) == (503, "unavailable") and answer.headers["Retry-After"]
        assert gateway.ask("GET", "/open/x").status == 200
    finally:
        gateway.stop()
