"""Revocation (RFC 7009), introspection (RFC 7662) and userinfo: what a token is worth, and to whom it is told."""

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.auth.oauth.issuing import ACCESS_TYP
from services.auth.tokens import signed_jwt
from tests.auth.browsers import Tab
from tests.auth.conftest import Person, Service, at_once, claims_of
from tests.auth.oauth.apps import ISSUER, App, person_of, register, send

ELSEWHERE = "https://prints.test/api"


def _introspect(app: App, token: str, **more: str) -> dict[str, object]:
    reply = app.call("introspect", token=token, **more)
    assert reply.status == 200 and reply.headers["Cache-Control"] == "no-store"
    found: dict[str, object] = reply.json
    return found


@pytest.fixture
def api(service: Service) -> App:
    """An API that is no part of the house."""
    return register(service, secret="s3cret", grant_types=[], redirect_uris=[], scopes=[], resources=[ELSEWHERE])


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token"])
def test_revoking_any_token_ends_the_grant(service: Service, tab: Tab, app: App, which: str, hint: str | None) -> None:
    """Whatever the hint says: it is a hint (section 2.1)."""
    tokens = app.tokens(tab)
    for _ in range(2):
        assert app.call("revoke", token=tokens[which], token_type_hint=hint).status == 200
    assert person_of(service, tokens["access_token"]).status == 401
    assert app.refresh(tokens["refresh_token"])["error"] == "invalid_grant"


def test_an_old_refresh_token_revokes_too(service: Service, tab: Tab, app: App) -> None:
    old = app.tokens(tab)["refresh_token"]
    new = app.refresh(old)
    assert app.call("revoke", token=old).status == 200
    assert app.refresh(new["refresh_token"])["error"] == "invalid_grant"


def test_nobody_revokes_for_another_client_and_the_answer_tells_nothing(
    service: Service, tab: Tab, app: App, website: App
) -> None:
    tokens = app.tokens(tab)
    for other in (website, register(service)):
        for token in (tokens["access_token"], tokens["refresh_token"], "x", "a.b.c", tokens["id_token"]):
            reply = other.call("revoke", token=token)
            assert (reply.status, reply.json) == (200, {})
    assert person_of(service, tokens["access_token"]).status == 200


def test_revoking_needs_the_client_and_a_token(service: Service, app: App, website: App) -> None:
    assert send(service, "revoke", {"token": "x"})["error"] == "invalid_client"
    assert send(service, "revoke", {"token": "x", "client_id": website.client_id})["error"] == "invalid_client"
    assert app.call("revoke")["error"] == "invalid_request"
    assert app.call("revoke", token="x", token_type_hint="cookie")["error"] == "unsupported_token_type"


def test_a_client_learns_of_its_own_tokens(service: Service, alice: Person, tab: Tab, website: App) -> None:
    tokens = website.tokens(tab)
    claims = claims_of(tokens["access_token"])
    about = _introspect(website, tokens["access_token"])
    assert about == {
        "active": True, "client_id": website.client_id, "token_type": "Bearer", "sub": alice.user_id, "aud": ISSUER,
        **{name: claims[name] for name in ("iss", "scope", "exp", "iat", "jti", "auth_time", "acr", "amr")},
    }  # fmt: skip
    assert _introspect(website, tokens["refresh_token"])["active"] is True
    newer = website.refresh(tokens["refresh_token"])
    assert _introspect(website, tokens["refresh_token"]) == {"active": False}, "it was exchanged"
    website.call("revoke", token=newer["refresh_token"])
    for token in (newer["access_token"], newer["refresh_token"]):
        assert _introspect(website, token) == {"active": False}


def test_an_api_learns_of_tokens_that_were_made_for_it_and_of_no_others(service: Service, tab: Tab, api: App) -> None:
    """RFC 7662, section 4: no fishing for tokens."""
    app = register(service, resources=[ELSEWHERE], secret="another secret")
    for_it, other = app.tokens(tab, resource=ELSEWHERE), app.tokens(tab)
    assert _introspect(api, for_it["access_token"])["client_id"] == app.client_id
    for token in (other["access_token"], for_it["refresh_token"], for_it["id_token"]):
        assert _introspect(api, token) == {"active": False}
    rival = register(service, resources=[ELSEWHERE], secret="a third secret")
    assert _introspect(rival, for_it["access_token"]) == {"active": False}, "it may ask for it, but is not it"


def test_public_clients_and_strangers_introspect_nothing(service: Service, tab: Tab, app: App) -> None:
    token = app.tokens(tab)["access_token"]
    assert app.call("introspect", token=token)["error"] == "invalid_client"
    assert send(service, "introspect", {"token": token})["error"] == "invalid_client"


def test_a_service_s_own_token_is_active_as_long_as_its_client_is_there(service: Service) -> None:
    reports = register(
        service, secret="s3cret", grant_types=["client_credentials"], scopes=["messages:send"], redirect_uris=[]
    )
    token = reports.token(grant_type="client_credentials")["access_token"]
    assert _introspect(reports, token)["scope"] == "messages:send"
    website = register(service, secret="s3cret")
    assert _introspect(website, token) == {"active": False}


def _forgeries(service: Service, good: str) -> dict[str, str]:
    claims, key = claims_of(good), service.parts.keys.signing_key()
    stranger = ec.generate_private_key(ec.SECP256R1())
    head = {"kid": key.kid, "typ": ACCESS_TYP}
    public = jwt.encode(claims, "x" * 64, "HS256", headers=head)
    return {
        "another key": jwt.encode(claims, stranger, "ES256", headers=head),
        "an unknown key": jwt.encode(claims, stranger, "ES256", headers={**head, "kid": "unknown"}),
        "no signature": jwt.encode(claims, None, "none", headers=head),
        "a secret in place of the key": public,
        "an embedded key": jwt.encode(claims, key.private_key, "ES256", headers={**head, "jwk": {"kty": "EC"}}),
        "another type": signed_jwt(key, claims, "JWT"),
        "the past": signed_jwt(key, {**claims, "exp": 1}, ACCESS_TYP),
        "another issuer": signed_jwt(key, {**claims, "iss": "https://evil.test"}, ACCESS_TYP),
        "another client": signed_jwt(key, {**claims, "client_id": register(service).client_id}, ACCESS_TYP),
        "another grant": signed_jwt(key, {**claims, "grant_id": register(service).client_id}, ACCESS_TYP),
        "no grant": signed_jwt(key, {k: v for k, v in claims.items() if k != "grant_id"}, ACCESS_TYP),
        "no client": signed_jwt(key, {k: v for k, v in claims.items() if k != "client_id"}, ACCESS_TYP),
        "odd claims": signed_jwt(key, {**claims, "grant_id": 7, "aud": ["x", {}]}, ACCESS_TYP),
        "cut": good[:-4],
        "nothing": "..",
    }


def test_no_forged_token_is_taken_for_one_of_ours(service: Service, tab: Tab, website: App) -> None:
    good = website.tokens(tab)["access_token"]
    for what, token in _forgeries(service, good).items():
        assert _introspect(website, token) == {"active": False}, what
        assert person_of(service, token).status == 401, what
        assert website.call("revoke", token=token).status == 200, what
    assert person_of(service, good).status == 200


def test_userinfo_tells_what_the_scopes_name_and_nothing_else(service: Service, alice: Person, tab: Tab) -> None:
    app = register(service)
    alice.change(data={"name": "Alice", "locale": "de", "picture": 7, "secret": "x", "website": "w" * 600})
    for scope, names in {
        "openid": {"sub"},
        "openid email": {"sub", "email", "email_verified"},
        "openid phone": {"sub"},
        "openid profile": {"sub", "name", "locale", "updated_at"},
    }.items():
        token = app.tokens(tab, scope=scope)["access_token"]
        reply = person_of(service, token)
        assert reply.json.keys() == names, scope
        assert reply.headers["Cache-Control"] == "no-store"
    without = app.tokens(tab, scope="email")["access_token"]
    refused = person_of(service, without)
    assert (refused.status, refused.code) == (403, "insufficient_scope")


def test_userinfo_answers_both_methods_and_wants_a_token_in_the_header(service: Service, tab: Tab, app: App) -> None:
    token = app.tokens(tab)["access_token"]
    posted = service.app.test_client().post("/auth/oauth/userinfo", headers={"Authorization": f"Bearer {token}"})
    assert (posted.status_code, posted.get_json()) == (200, person_of(service, token).json)
    in_query = service.app.test_client().get(f"/auth/oauth/userinfo?access_token={token}")
    assert in_query.status_code == 401 and in_query.headers["WWW-Authenticate"].startswith("Bearer")


def test_the_session_of_a_person_is_nothing_at_userinfo(service: Service, alice: Person) -> None:
    """It was granted to no client, with no scope."""
    refused = person_of(service, alice.session["access_token"])
    assert refused.status == 401 and 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


def test_revocations_at_once_are_no_failure(tab: Tab, app: App) -> None:
    token = app.tokens(tab)["refresh_token"]
    assert {reply.status for reply in at_once(lambda _: app.call("revoke", token=token), 8)} == {200}
