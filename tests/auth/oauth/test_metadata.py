"""What the provider says of itself is what it does, wherever a client reads it."""

import base64
import hashlib
import json
from typing import Any

import jwt
import pytest
from pydantic import ValidationError

from services.auth import keys
from tests.auth.browsers import Tab
from tests.auth.conftest import Person, Service, settings_on
from tests.auth.oauth.apps import ISSUER, App, browser_of

PLACES = (
    "/auth/oauth/.well-known/openid-configuration",
    "/auth/oauth/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/auth/oauth",
)


def test_it_is_the_same_at_every_address_and_names_the_issuer(service: Service) -> None:
    client = service.app.test_client()
    documents = [client.get(place) for place in PLACES]
    assert {json.dumps(document.get_json()) for document in documents} == {json.dumps(documents[0].get_json())}
    assert documents[0].get_json()["issuer"] == ISSUER
    assert {document.headers["Cache-Control"] for document in documents} == {"public, max-age=600"}


def test_every_address_it_names_is_there(service: Service) -> None:
    told = service.app.test_client().get(PLACES[0]).get_json()
    rules = {rule.rule for rule in service.app.url_map.iter_rules()}
    named = {value for name, value in told.items() if name.endswith(("_endpoint", "_uri"))}
    assert {place.removeprefix("https://app.example.com") for place in named} <= rules and len(named) == 7


def test_it_offers_nothing_that_oauth_2_1_took_away(service: Service) -> None:
    told = service.app.test_client().get(PLACES[0]).get_json()
    assert told["response_types_supported"] == ["code"]
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["response_modes_supported"] == ["query"]
    assert set(told["grant_types_supported"]) == {"authorization_code", "refresh_token", "client_credentials"}
    assert told["id_token_signing_alg_values_supported"] == ["ES256"]
    assert told["authorization_response_iss_parameter_supported"] is True
    assert (told["request_parameter_supported"], told["request_uri_parameter_supported"]) == (False, False)


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def _verified(service: Service, token: str, audience: str) -> dict[str, object]:
    public = {jwk["kid"]: jwk for jwk in service.get("/.well-known/jwks.json")["keys"]}
    found: dict[str, object] = jwt.decode(
        token, jwt.PyJWK(public[_kid(token)]), algorithms=["ES256"], issuer=ISSUER, audience=audience
    )
    return found


def test_its_tokens_verify_with_the_published_keys_through_a_rotation(
    service: Service, alice: Person, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "FRESH_S", 0.0)
    tab = browser_of(alice)
    before = app.tokens(tab)
    for _ in range(2):
        with service.db.transaction() as conn:
            keys.rotate(conn, service.parts.sealer, publish_s=0, retire_s=3600)
    after = app.refresh(before["refresh_token"])
    assert _kid(before["id_token"]) != _kid(after["id_token"])
    for tokens in (before, after):
        assert _verified(service, tokens["id_token"], app.client_id)["aud"] == app.client_id
        assert _verified(service, tokens["access_token"], ISSUER)["client_id"] == app.client_id
    hint = f"/auth/oauth/logout?id_token_hint={before['id_token']}&post_logout_redirect_uri=https://app.test/bye"
    assert tab.open(hint).headers["Location"] == "https://app.test/bye", "an old key still says who it was"


def test_at_hash_binds_the_id_token_to_the_access_token(tab: Tab, app: App) -> None:
    """OpenID Connect Core, 3.1.3.6: half of the hash, computed here by another hand."""
    tokens = app.tokens(tab)
    half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    claims = jwt.decode(tokens["id_token"], options={"verify_signature": False})
    assert claims["at_hash"] == base64.urlsafe_b64encode(half).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": ISSUER},
        {"oauth_consent_url": "javascript:alert(1)"},
        {"oauth_consent_url": "https://www.example.com/#consent"},
        {"oauth_consent_url": "/consent"},
        {"oauth_code_lifetime_s": 3600},
    ],
)
def test_settings_that_would_open_the_house_to_third_parties_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"provider's own|address of a page|less than or equal"):
        settings_on("postgresql://nobody:nothing@127.0.0.1:1/none", **wrong)
