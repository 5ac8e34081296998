"""GET /.well-known/jwks.json, /settings, /health; /livez, /readyz, /openapi.json."""

import jwt

from services.auth.keys import thumbprint
from shared.routing import Access
from tests.auth.conftest import Make, Person, Service, claims_of


def test_the_published_key_verifies_the_tokens(service: Service, alice: Person) -> None:
    reply = service.get("/.well-known/jwks.json")
    (jwk,) = reply["keys"]
    token = alice.session["access_token"]
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "JWT", "kid": jwk["kid"]}
    assert jwt.decode(token, jwt.PyJWK(jwk), ["ES256"], audience="gatehouse") == claims_of(token)


def test_keys_are_published_without_their_private_part_and_may_be_cached(service: Service) -> None:
    reply = service.get("/.well-known/jwks.json")
    (jwk,) = reply["keys"]
    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    assert jwk["kid"] == thumbprint(jwk)
    assert reply.headers["Cache-Control"] == "public, max-age=600"


def test_settings_say_how_one_can_log_in(service: Service, make_service: Make) -> None:
    reply = service.get("/settings")
    assert reply["external"]["email"] is True
    assert (reply["mailer_autoconfirm"], reply["disable_signup"]) == (False, False)
    assert make_service(autoconfirm=True).get("/settings")["mailer_autoconfirm"] is True


def test_health_is_public(service: Service) -> None:
    assert service.get("/health").status == 200


def test_readiness_asks_the_database(service: Service, make_service: Make) -> None:
    assert service.app.test_client().get("/readyz").status_code == 200
    broken = make_service(database_url="postgresql://nobody:nothing@127.0.0.1:1/none")
    reply = broken.app.test_client().get("/readyz")
    assert reply.status_code == 503
    assert reply.get_json()["code"] == "not_ready"
    assert broken.app.test_client().get("/livez").status_code == 200


def test_without_a_database_the_answer_is_503_and_says_when_to_come_back(make_service: Make) -> None:
    broken = make_service(database_url="postgresql://nobody:nothing@127.0.0.1:1/none")
    for reply in (
        broken.person("alice").sign_up(),
        broken.person("alice").log_in(),
        broken.get("/.well-known/jwks.json"),
    ):
        assert (reply.status, reply.code) == (503, "unavailable")
        assert int(reply.headers["Retry-After"]) > 0


PUBLIC = {
    "POST /auth/v1/signup",
    "POST /auth/v1/token",
    "POST /auth/v1/verify",
    "GET /auth/v1/verify",
    "POST /auth/v1/verify/confirm",
    "POST /auth/v1/resend",
    "POST /auth/v1/otp",
    "POST /auth/v1/magiclink",
    "POST /auth/v1/passkeys/authentication/options",
    "POST /auth/v1/passkeys/authentication/verify",
    "POST /auth/v1/recover",
    "GET /auth/v1/authorize",
    "GET /auth/v1/callback",
    "POST /auth/v1/callback",
    "GET /auth/v1/.well-known/jwks.json",
    "GET /auth/v1/settings",
    "GET /auth/v1/health",
}


def test_every_route_says_who_may_call_and_only_these_are_public(service: Service) -> None:
    public = set()
    for rule in service.app.url_map.iter_rules():
        if not rule.rule.startswith("/auth/v1"):
            continue
        access = getattr(service.app.view_functions[rule.endpoint], "access", None)
        assert isinstance(access, Access), rule
        if access.kind == "public":
            public |= {f"{method} {rule.rule}" for method in rule.methods or () if method not in ("HEAD", "OPTIONS")}
    assert public == PUBLIC


def test_the_openapi_document_describes_every_route(service: Service) -> None:
    document = service.app.test_client().get("/openapi.json").get_json()
    assert document["openapi"].startswith("3.1")
    assert "anyOf" in str(document["components"]["schemas"]["SignUpAnswer"])
    paths = {path for path in document["paths"] if path.startswith("/auth/v1")}
    rules = {rule.rule for rule in service.app.url_map.iter_rules() if rule.rule.startswith("/auth/v1")}
    assert paths == {rule.replace("<", "{").replace(">", "}") for rule in rules}
