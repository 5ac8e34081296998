"""More issuers than auth: each with its own keys, algorithms and claims, and only where a route accepts it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway import routes
from shared.ids import new_id
from tests.gateway.process import ROUTES, GatewayProcess
from tests.gateway.upstream import Upstream
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.waiting import eventually

KINDS: dict[str, type[Algorithm]] = {"ES256": ECAlgorithm, "RS256": RSAAlgorithm, "EdDSA": OKPAlgorithm}
ROUTED = """  - {prefix: /corp, upstream: data, access: user, issuers: [corp]}
  - {prefix: /any, upstream: data, access: user, issuers: [gatehouse, corp]}
  - {prefix: /corp-scoped, upstream: data, access: user, issuers: [corp], scopes: {all: [read]}}
  - {prefix: /corp-careful, upstream: data, access: user, issuers: [corp], aal: aal2}
"""


class Company(Issuer):
    """An identity provider with a key of each kind; `weak` is too short, and P-256 is not in its list."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, Any]] = {
            "rsa": ("RS256", rsa.generate_private_key(65537, 2048)),
            "ed": ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
            "weak": ("RS256", rsa.generate_private_key(65537, 1024)),  # noqa: S505 - it is the attack
            "ec": ("ES256", ec.generate_private_key(ec.SECP256R1())),
        }
        super().__init__()

    def jwks(self) -> dict[str, Any]:
        return {
            "keys": [
                {**json.loads(KINDS[algorithm].to_jwk(key.public_key())), "kid": kid}
                for kid, (algorithm, key) in self.keys.items()
            ]
        }

    def sign(self, kid: str = "rsa", *, signed_by: str = "", **claims: Any) -> str:
        algorithm, key = self.keys[signed_by or kid]
        now = int(time.time())
        payload = {"iss": self.issuer, "aud": "app", "oid": "ann@corp.example", "iat": now, "exp": now + 600, **claims}
        payload = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    found = Company()
    yield found
    found.close()


def table(company: Company) -> str:
    entry = {
        "issuer": company.issuer,
        "jwks_url": company.jwks_url,
        "audience": ["app", "app-2"],
        "algorithms": ["RS256", "EdDSA"],
        "user_id_claim": "oid",
        "scope_claim": "scp",
    }
    return f"issuers: {json.dumps({'corp': entry})}\n{ROUTES.read_text()}{ROUTED}"


@pytest.fixture(scope="module")
def gateway(
    issuer: Issuer, upstream: Upstream, company: Company, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("issuers")
    file = folder / "routes.yaml"
    file.write_text(table(company))
    process = GatewayProcess(issuer, upstream.url, folder, ROUTES_FILE=str(file)).start()
    yield process
    assert process.stop() == 0


def ask(gateway: GatewayProcess, token: str, path: str = "/corp/x"):
    return gateway.ask("GET", path, headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize("kid", ["rsa", "ed"])
def test_a_token_of_the_other_issuer_passes_where_a_route_accepts_it(
    gateway: GatewayProcess, company: Company, alice: Person, kid: str
) -> None:
    token = company.sign(kid)
    assert [ask(gateway, token, path).status for path in ("/corp/x", "/any/x", "/corp/x")] == [200] * 3
    assert ask(gateway, company.sign(kid, aud=["other", "app-2"])).status == 200
    for path in ("/data/v1/x", "/optional/x", "/scoped/any/x"):
        for _ in range(2):
            answer = ask(gateway, token, path)
            assert (answer.status, answer.code) == (401, "token_issuer")
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert ask(gateway, alice.token()).code == "token_issuer"
    assert ask(gateway, alice.token(), "/any/x").status == ask(gateway, alice.token(), "/data/v1/x").status == 200


def test_its_claims_are_read_as_the_table_says(gateway: GatewayProcess, company: Company) -> None:
    for scope in ("read write", ["read"]):
        assert ask(gateway, company.sign(scp=scope), "/corp-scoped/x").status == 200
    for claims in ({"scope": "read"}, {"scp": 7}, {"scp": [["read"]]}):
        assert ask(gateway, company.sign(**claims), "/corp-scoped/x").code == "insufficient_scope"
    assert ask(gateway, company.sign(aal="aal2"), "/corp-careful/x").code == "insufficient_aal"
    answer = ask(gateway, company.sign())
    line = eventually(
        lambda: [found for found in gateway.lines() if found.get("request_id") == answer.headers["X-Request-Id"]]
    )[0]
    assert line["user_id"] == "corp:ann@corp.example"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # one attack is such a key
def test_what_it_has_not_signed_for_us_is_refused_with_the_reason(
    gateway: GatewayProcess, company: Company, issuer: Issuer
) -> None:
    now = int(time.time())
    shared_secret = jwt.encode({"iss": company.issuer}, "x" * 32, algorithm="HS256", headers={"kid": "rsa"})
    ours_in_their_name = issuer.token(new_id(), iss=company.issuer)
    attacks = {
        "a key of a kind that is not accepted": (company.sign("ec"), "token_algorithm"),
        "a key that is too short": (company.sign("weak"), "token_unknown_key"),
        "another key of the same issuer": (company.sign("rsa", signed_by="weak"), "token_signature"),
        "a key of another kind": (company.sign("rsa", signed_by="ed"), "token_malformed"),
        "a shared secret": (shared_secret, "token_algorithm"),
        "auth, in its name": (ours_in_their_name, "token_algorithm"),
        "it, in the name of auth": (company.sign(iss=issuer.issuer, sub=str(new_id())), "token_algorithm"),
        "it, in a third one's name": (company.sign(iss="https://evil.example"), "token_algorithm"),
        "another audience": (company.sign(aud="gatehouse"), "token_audience"),
        "no audience": (company.sign(aud=None), "token_malformed"),
        "expired": (company.sign(exp=now - 60), "token_expired"),
        "no end": (company.sign(exp=None), "token_malformed"),
        "not yet": (company.sign(nbf=now + 600), "token_not_yet_valid"),
        "nobody": (company.sign(oid=None), "token_malformed"),
        "a user who breaks the log": (company.sign(oid='a","b":"'), "token_malformed"),
        "a user who is a number": (company.sign(oid=7), "token_malformed"),
    }
    found = {}
    for name, (token, _) in attacks.items():
        answer = ask(gateway, token)
        found[name] = answer.code
        assert answer.status == 401
    assert found == {name: reason for name, (_, reason) in attacks.items()}


def test_an_issuer_comes_and_goes_with_the_table(
    issuer: Issuer, upstream: Upstream, folder: Path, alice: Person
) -> None:
    company = Company()
    file = folder / "routes.yaml"
    file.write_text(ROUTES.read_text())
    gateway = GatewayProcess(issuer, upstream.url, folder, ROUTES_FILE=str(file)).start()
    try:
        token = company.sign()
        assert ask(gateway, token, "/data/v1/x").status == 401
        file.write_text(table(company))
        eventually(lambda: ask(gateway, token).status == 200, what="the issuer is trusted")
        assert ask(gateway, alice.token(), "/data/v1/x").status == 200
        company.close()
        assert ask(gateway, company.sign()).status == 200  # its keys stay good
        file.write_text(ROUTES.read_text() + "  - {prefix: /corp, upstream: data, access: user}\n")
        eventually(lambda: ask(gateway, alice.token()).status == 200, what="the issuer is trusted no more")
        assert ask(gateway, token).status == ask(gateway, token, "/data/v1/x").status == 401
        file.write_text(table(company))  # and comes back while it is down: it alone cannot be verified
        eventually(lambda: ask(gateway, token).status == 503)
        assert ask(gateway, alice.token(), "/data/v1/x").status == 200
    finally:
        assert gateway.stop() == 0


ENTRY = "{issuer: 'https://i', jwks_url: 'https://i/jwks', audience: [a], algorithms: [RS256]}"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("issuers: {a: {issuer: x, jwks_url: 'https://i', audience: [a], algorithms: [HS256]}}", "algorithms[0]"),
        ("issuers: {a: {issuer: x, jwks_url: 'https://i', audience: [], algorithms: [ES256]}}", "issuers.a.audience"),
        (f"issuers: {{gatehouse: {ENTRY}}}", "issuers.gatehouse: gatehouse is auth"),
        (f"issuers: {{a: {ENTRY}, b: {ENTRY}}}", "no two have one `issuer`"),
        ("defaults: {issuers: [corp]}", "defaults.issuers[0]: 'corp' is not one of: gatehouse"),
    ],
)
def test_a_mistake_about_issuers_is_told_with_its_place(more: str, said: str) -> None:
    text = "upstreams: {a: {url: 'http://a'}}\nroutes:\n  - {path: /a, upstream: a, access: user}\n"
    with pytest.raises(routes.Mistakes) as caught:
        routes.parse(f"{text}{more}\n")
    assert said in str(caught.value)
