"""Only a token that the issuer signed with ES256, for us, and for now, is believed (RFC 8725)."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.errors import Unauthorized, Unavailable
from shared.ids import new_id
from shared.tokens import MAX_TOKEN_BYTES, KeySet, Verifier
from tests.support.issuer import Issuer

IN_2100 = 4_102_444_800


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """One of its own, because these tests change its keys and count its answers."""
    made = Issuer()
    yield made
    made.close()


@pytest.fixture
def verifier(issuer: Issuer) -> Verifier:
    return Verifier(issuer.jwks_url, issuer.issuer, issuer.audience)


def refused(verifier: Verifier, token: str) -> str:
    """The reason code."""
    with pytest.raises(Unauthorized) as raised:
        verifier.verify(token)
    assert raised.value.status == 401 and 'error="invalid_token"' in raised.value.headers["WWW-Authenticate"]
    return raised.value.code


def encode(part: object) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_a_token_of_the_issuer_tells_who_calls(issuer: Issuer, verifier: Verifier) -> None:
    user_id, sid = new_id(), new_id()
    claims = verifier.verify(issuer.token(user_id, sid=sid, scope="a:read b:write", aal="aal2"))
    assert (claims.user_id, claims.session_id, claims.aal, claims.role) == (user_id, sid, "aal2", "authenticated")
    assert claims.has_scope("b:write") and not claims.has_scope("b:writ") and not claims.has_scope("a:read b:write")


def test_a_services_token_has_no_session(issuer: Issuer, verifier: Verifier) -> None:
    assert verifier.verify(issuer.service_token("messages:send")).session_id is None


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": "https://evil.example"}, "token_issuer"),
        ({"iss": None}, "token_malformed"),
        ({"iss": ""}, "token_issuer"),
        ({"aud": "other"}, "token_audience"),
        ({"aud": None}, "token_malformed"),
        ({"aud": ["gatehouse", "other"]}, "token_malformed"),
        ({"aud": ["gatehouse"]}, "token_malformed"),
        ({"aud": 7}, "token_audience"),
        ({"exp": 1_000_000_000}, "token_expired"),
        ({"exp": None}, "token_malformed"),
        ({"exp": "soon"}, "token_malformed"),
        ({"exp": 1e400}, "token_malformed"),
        ({"iat": IN_2100}, "token_not_yet_valid"),
        ({"iat": None}, "token_malformed"),
        ({"nbf": IN_2100}, "token_not_yet_valid"),
        ({"sub": None}, "token_malformed"),
        ({"sub": "alice"}, "token_malformed"),
        ({"sub": 5}, "token_malformed"),
        ({"sid": "x"}, "token_malformed"),
        ({"role": 5}, "token_malformed"),
        ({"scope": ["messages:send"]}, "token_malformed"),
        ({"is_anonymous": "perhaps"}, "token_malformed"),
        ({"act": "somebody"}, "token_malformed"),
        ({"act": {}}, "token_malformed"),
    ],
    ids=str,
)
def test_a_token_whose_claims_are_wrong_is_refused(
    issuer: Issuer, verifier: Verifier, claims: dict[str, Any], code: str
) -> None:
    assert refused(verifier, issuer.token(new_id(), **claims)) == code


def test_a_clock_that_is_a_few_seconds_off_is_forgiven(issuer: Issuer, verifier: Verifier) -> None:
    verifier.verify(issuer.token(new_id(), exp=int(time.time()) - 2))
    verifier.verify(issuer.token(new_id(), iat=int(time.time()) + 3))


@pytest.mark.parametrize("name", ["crit", "jku", "jwk", "x5u", "x5c"])
def test_a_header_that_points_to_another_key_is_refused_though_the_signature_is_good(
    issuer: Issuer, verifier: Verifier, name: str
) -> None:
    value = {"crit": ["exp"], "jwk": issuer.jwks()["keys"][0], "x5c": ["MII"]}.get(name, "https://evil.example/keys")
    assert refused(verifier, issuer.token(new_id(), headers={name: value})) in ("token_header", "token_malformed")


def test_a_key_that_the_token_brings_along_is_not_looked_at(issuer: Issuer, verifier: Verifier) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(own.public_key()))
    token = jwt.encode(claims_of(issuer.token(new_id())), own, "ES256", headers={"kid": issuer.kid, "jwk": jwk})
    assert refused(verifier, token) == "token_header"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None, "HS256", "RS256", "ES384", "EdDSA", ["ES256"], 5])
def test_an_unsigned_token_and_one_of_another_algorithm_are_refused(
    issuer: Issuer, verifier: Verifier, alg: object
) -> None:
    good = issuer.token(new_id())
    forged = f"{encode({'alg': alg, 'kid': issuer.kid, 'typ': 'JWT'})}.{good.split('.')[1]}"
    for signature in ("", good.split(".")[2], encode(b"x" * 64)):
        assert refused(verifier, f"{forged}.{signature}") in ("token_algorithm", "token_malformed")


def test_the_public_key_as_a_shared_secret_does_not_work(issuer: Issuer, verifier: Verifier) -> None:
    public = issuer.key.public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(issuer.jwks()["keys"][0]).encode(),
    ):
        signed = f"{encode({'alg': 'HS256', 'kid': issuer.kid})}.{issuer.token(new_id()).split('.')[1]}"
        signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        assert refused(verifier, f"{signed}.{encode(signature)}") == "token_algorithm"


@pytest.mark.parametrize("kid", [None, "", 5, ["test-key"], {"a": 1}, True, "../../etc/passwd", "other"])
def test_a_token_without_a_known_key_id_is_refused(issuer: Issuer, verifier: Verifier, kid: object) -> None:
    good = issuer.token(new_id())
    header = {"alg": "ES256", "kid": kid} if kid is not None else {"alg": "ES256"}
    token = f"{encode(header)}.{good.split('.')[1]}.{good.split('.')[2]}"
    assert refused(verifier, token) in ("token_unknown_key", "token_malformed")


def test_a_token_signed_with_somebody_elses_key_is_refused(issuer: Issuer, verifier: Verifier) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    token = jwt.encode(claims_of(issuer.token(new_id())), own, "ES256", headers={"kid": issuer.kid})
    assert refused(verifier, token) == "token_signature"


def test_a_token_that_was_changed_anywhere_is_refused(issuer: Issuer, verifier: Verifier) -> None:
    good = issuer.token(new_id(), scope="")
    header, payload, signature = good.split(".")
    risen = encode({**claims_of(good), "role": "service", "scope": "messages:send"})
    assert refused(verifier, f"{header}.{risen}.{signature}") == "token_signature"
    assert refused(verifier, f"{header}.{payload}.{encode(b'0' * 64)}") == "token_signature"
    assert refused(verifier, f"{header}.{payload}.{encode(bytes(64))}") == "token_signature"


def test_no_truncation_of_a_token_is_believed(issuer: Issuer, verifier: Verifier) -> None:
    good = issuer.token(new_id())
    verifier.verify(good)
    for length in range(0, len(good) - 1, 7):
        refused(verifier, good[:length])


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d.e",
        "é.é.é",
        "\ud800.x.y",
        f"{encode([1])}.{encode({})}.x",
        f"{encode(b'null')}.{encode({})}.x",
        f"{encode(b'[' * 3000)}.{encode({})}.x",
        f"{encode({'alg': 'ES256', 'kid': 'test-key'})}.{encode(b'[' * 3000)}.x",
        f"{encode({'alg': 'ES256', 'kid': 'test-key', 'b64': False})}.{encode({})}.x",
        "a" * (MAX_TOKEN_BYTES + 1),
    ],
    ids=lambda token: repr(token[:20]),
)
def test_what_is_no_token_is_refused_without_a_fuss(verifier: Verifier, token: str) -> None:
    refused(verifier, token)


def test_a_token_above_the_size_limit_is_refused_before_it_is_read(issuer: Issuer, verifier: Verifier) -> None:
    assert refused(verifier, issuer.token(new_id(), scope="s " * MAX_TOKEN_BYTES)) == "token_malformed"
    assert issuer.fetches == 0


def test_keys_that_do_not_sign_with_es256_are_passed_over(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    others = [
        {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key.public_key())), "kid": "rsa"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
        {**issuer.jwks()["keys"][0], "kid": "for-encryption", "use": "enc"},
        {**issuer.jwks()["keys"][0], "kid": None},
    ]
    own = issuer.jwks()["keys"]
    monkeypatch.setattr(issuer, "jwks", lambda: {"keys": [*others, *own]})
    keys = KeySet(issuer.jwks_url)
    assert keys.get(issuer.kid).algorithm_name == "ES256"
    for kid in ("rsa", "oct", "for-encryption"):
        with pytest.raises(Unauthorized):
            keys.get(kid)


def test_old_keys_stay_good_while_the_issuer_does_not_answer(issuer: Issuer) -> None:
    verifier = Verifier(issuer.jwks_url, issuer.issuer, issuer.audience)
    verifier.keys = KeySet(issuer.jwks_url, max_age_s=0.05, cooldown_s=0.05)
    token = issuer.token(new_id())
    verifier.verify(token)
    issuer.close()
    time.sleep(0.1)
    for _ in range(3):
        verifier.verify(token)
        time.sleep(0.06)


@pytest.mark.parametrize(
    "answer", [[], {}, {"keys": 5}, {"keys": ["x"]}, {"keys": [{"kty": "EC", "crv": "P-256", "kid": "a"}]}]
)
def test_old_keys_stay_good_when_the_issuer_answers_nonsense(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    keys = KeySet(issuer.jwks_url, max_age_s=0.01, cooldown_s=0.01)
    keys.get(issuer.kid)
    monkeypatch.setattr(issuer, "jwks", lambda: answer)
    time.sleep(0.05)
    assert keys.get(issuer.kid)
    assert issuer.fetches >= 2


def test_without_any_key_ever_it_is_a_503_and_not_a_401(verifier: Verifier, issuer: Issuer) -> None:
    token = issuer.token(new_id())
    issuer.close()
    with pytest.raises(Unavailable) as raised:
        verifier.verify(token)
    assert "Retry-After" in raised.value.headers


def test_many_callers_of_an_issuer_that_is_silent_at_the_start_do_not_wait_for_one_another(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = threading.Event()
    monkeypatch.setattr(issuer, "jwks", lambda: silent.wait(5) and {"keys": []})
    keys = KeySet(issuer.jwks_url, timeout_s=0.5)

    def ask(_: int) -> float:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            keys.get("any")
        return time.monotonic() - started

    with ThreadPoolExecutor(20) as pool:
        assert max(pool.map(ask, range(20))) < 3, "one wait for all, not one after the other"
    silent.set()


def test_fifty_threads_with_invented_key_ids_make_the_issuer_answer_once(issuer: Issuer, verifier: Verifier) -> None:
    verifier.verify(issuer.token(new_id()))
    verifier.keys._tried_at = float("-inf")  # as if the first fetch were long ago
    before = issuer.fetches
    tokens = [issuer.token(new_id(), headers={"kid": f"invented-{n}"}) for n in range(50)]
    with ThreadPoolExecutor(50) as pool:
        codes = set(pool.map(lambda token: refused(verifier, token), tokens))
    assert codes == {"token_unknown_key"}
    assert issuer.fetches - before == 1


def test_fifty_first_callers_make_the_issuer_answer_once(issuer: Issuer, verifier: Verifier) -> None:
    token = issuer.token(new_id())
    with ThreadPoolExecutor(50) as pool:
        assert len(list(pool.map(lambda _: verifier.verify(token), range(50)))) == 50
    assert issuer.fetches == 1


def test_a_key_that_the_issuer_began_to_use_is_picked_up_and_the_old_one_stays_good(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = Verifier(issuer.jwks_url, issuer.issuer, issuer.audience)
    verifier.keys = KeySet(issuer.jwks_url, cooldown_s=0.2)
    old = issuer.token(new_id())
    verifier.verify(old)
    retiring = issuer.jwks()["keys"]
    monkeypatch.setattr(issuer, "key", ec.generate_private_key(ec.SECP256R1()))
    monkeypatch.setattr(issuer, "kid", "next-key")
    active = issuer.jwks()["keys"]
    monkeypatch.setattr(issuer, "jwks", lambda: {"keys": [*active, *retiring]})
    time.sleep(0.25)
    verifier.verify(issuer.token(new_id()))
    verifier.verify(old)
    monkeypatch.setattr(issuer, "jwks", lambda: {"keys": active})
    time.sleep(0.25)
    verifier.keys.refresh()
    assert refused(verifier, old) == "token_unknown_key", "a key that was withdrawn is forgotten"


def test_a_token_that_was_verified_is_refused_when_it_has_expired(
    issuer: Issuer, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issuer.token(new_id())
    assert verifier.verify(token) is verifier.verify(token), "the second time it is known by its text"
    late = time.time() + 606
    monkeypatch.setattr("shared.tokens.time.time", lambda: late)
    assert refused(verifier, token) == "token_expired"


def test_a_verified_token_is_refused_when_its_key_is_another_now(
    issuer: Issuer, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issuer.token(new_id())
    verifier.verify(token)
    monkeypatch.setattr(issuer, "key", ec.generate_private_key(ec.SECP256R1()))
    verifier.keys.refresh(force=True)
    assert refused(verifier, token) == "token_signature"


def test_verified_tokens_are_kept_within_a_bound(
    issuer: Issuer, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.tokens.KEPT_TOKENS", 3)
    for _ in range(10):
        verifier.verify(issuer.token(new_id()))
        assert len(verifier._verified) <= 3


def test_while_one_thread_fetches_again_the_others_go_on_with_the_keys_they_have(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeySet(issuer.jwks_url, max_age_s=0.05, cooldown_s=0.01)
    keys.get(issuer.kid)
    known, gate = issuer.jwks(), threading.Event()
    monkeypatch.setattr(issuer, "jwks", lambda: gate.wait(3) and known)
    time.sleep(0.1)
    slow = ThreadPoolExecutor(1).submit(keys.get, issuer.kid)
    time.sleep(0.1)
    started = time.monotonic()
    assert keys.get(issuer.kid)
    assert time.monotonic() - started < 1
    gate.set()
    assert slow.result(5)
