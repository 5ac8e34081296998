"""A third party's token is no session of the person: the house refuses it everywhere but at userinfo."""

import base64

import pytest
from jwt import get_unverified_header

from services.auth.oauth.issuing import ACCESS_TYP
from shared.errors import Unauthorized
from shared.tokens import Verifier
from tests.auth.browsers import Tab
from tests.auth.conftest import Make, Person, Service, claims_of
from tests.auth.oauth.apps import ISSUER, App, browser_of, person_of, register

API = "https://app.example.com"
ELSEWHERE = "https://prints.test/api"


def _at_home(service: Service, token: str, method: str, path: str) -> tuple[int, str | None]:
    reply = service.call(method, path, headers={"Authorization": f"Bearer {token}"})
    return reply.status, reply.code


@pytest.mark.parametrize("resource", [None, ELSEWHERE])
def test_the_house_refuses_its_tokens(service: Service, tab: Tab, resource: str | None) -> None:
    app = register(service, resources=[ELSEWHERE])
    changes = {"resource": resource} if resource else {}
    tokens = app.tokens(tab, scope="openid email offline_access", **changes)
    for token in (tokens["access_token"], tokens["id_token"]):
        for method, path in (
            ("GET", "/user"), ("PUT", "/user"), ("POST", "/logout"), ("GET", "/sessions"), ("POST", "/factors"),
            ("GET", "/admin/users"), ("GET", "/user/oauth/grants"), ("POST", "/passkeys/registration/options"),
        ):  # fmt: skip
            assert _at_home(service, token, method, path) == (401, "token_issuer"), (method, path)
        verifier: Verifier = service.app.extensions["verifier"]
        with pytest.raises(Unauthorized) as refused:
            verifier.verify(token)
        assert refused.value.code == "token_issuer"


def test_its_tokens_say_what_they_are_and_for_whom(service: Service, alice: Person, tab: Tab) -> None:
    """RFC 9068, section 2; RFC 8725, 3.11: a type of its own, so that no token is taken for another."""
    app = register(service, resources=[ELSEWHERE])
    token = app.tokens(tab)["access_token"]
    claims = claims_of(token)
    assert get_unverified_header(token)["typ"] == ACCESS_TYP == "at+jwt"
    assert claims.keys() == {
        "iss", "sub", "aud", "grant_id", "scope", "auth_time", "acr", "amr", "client_id", "iat", "exp", "jti",
    }  # fmt: skip
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (ISSUER, ISSUER, app.client_id)
    assert (claims["sub"], claims["exp"] - claims["iat"]) == (alice.user_id, 600)
    other = app.tokens(tab, resource=ELSEWHERE)["access_token"]
    assert claims_of(other)["aud"] == ELSEWHERE
    assert person_of(service, other).status == 401, "a token for an API is not for us"


def test_only_a_client_of_the_house_may_ask_for_the_house(service: Service, tab: Tab, app: App, website: App) -> None:
    greedy = register(service, resources=["https://prints.test/api", "gatehouse", ISSUER, f"{API}/"])
    for one in (app, website, greedy):
        page = tab.open(one.request(resource=API))
        assert "error=invalid_target" in page.headers["Location"]


def test_no_scope_makes_a_third_party_more(service: Service, root: Person) -> None:
    """Whatever it was registered for: the audience is what the house looks at."""
    app = register(service, scopes=["openid", "auth:admin", "messages:send"])
    tokens = app.tokens(browser_of(root), scope="openid auth:admin messages:send")
    assert _at_home(service, tokens["access_token"], "GET", "/admin/users") == (401, "token_issuer")


def test_an_app_of_the_house_gets_a_session_that_its_owner_sees_and_ends(
    service: Service, alice: Person, tab: Tab, own_app: App
) -> None:
    tokens = own_app.tokens(tab, resource=API)
    claims = claims_of(tokens["access_token"])
    assert (claims["aud"], claims["client_id"], claims["role"]) == ("gatehouse", own_app.client_id, "authenticated")
    assert _at_home(service, tokens["access_token"], "GET", "/user") == (200, None)
    assert person_of(service, tokens["access_token"])["email"] == "alice@example.com"
    listed = {item["id"]: item for item in alice.get("/sessions")["items"]}
    assert claims["sid"] in listed and claims["sid"] != tab.session_id()
    methods = [one["method"] for one in listed[claims["sid"]]["amr"]]
    assert methods == ["password", "oauth_provider/authorization_code"]
    again = own_app.refresh(tokens["refresh_token"])
    assert claims_of(again["access_token"])["sid"] == claims["sid"]
    assert alice.delete(f"/sessions/{claims['sid']}").status == 204
    assert _at_home(service, again["access_token"], "GET", "/user") == (401, "session_not_found")
    assert person_of(service, again["access_token"]).status == 401
    assert own_app.refresh(again["refresh_token"])["error"] == "invalid_grant"


def test_without_asking_for_it_an_app_of_the_house_gets_no_session(service: Service, tab: Tab, own_app: App) -> None:
    token = own_app.tokens(tab)["access_token"]
    assert _at_home(service, token, "GET", "/user") == (401, "token_issuer")


def test_a_session_of_an_app_ends_with_its_grant(service: Service, tab: Tab, own_app: App) -> None:
    tokens = own_app.tokens(tab, resource=API)
    assert own_app.call("revoke", token=tokens["refresh_token"]).status == 200
    assert _at_home(service, tokens["access_token"], "GET", "/user") == (401, "session_not_found")
    ended = [event.data["session_id"] for event in service.events("session.revoked")]
    assert claims_of(tokens["access_token"])["sid"] in ended, "the gateway hears of it"


def test_an_app_of_the_house_cannot_give_more_than_the_person_has(service: Service, tab: Tab, root: Person) -> None:
    """Whatever it is registered for: an ordinary person's token says no scope that their role does not give."""
    console = register(service, is_first_party=True, scopes=["openid", "auth:admin", "messages:send"])
    of_alice = console.tokens(tab, scope="openid auth:admin messages:send", resource=API)["access_token"]
    assert claims_of(of_alice)["scope"] == "openid"
    of_root = console.tokens(browser_of(root), scope="openid auth:admin", resource=API)["access_token"]
    assert claims_of(of_root)["scope"] == "openid auth:admin"
    assert _at_home(service, of_root, "GET", "/admin/users")[0] == 200
    less = console.tokens(browser_of(root), scope="openid", resource=API)["access_token"]
    assert _at_home(service, less, "GET", "/admin/users") == (403, "insufficient_scope")


def test_a_service_gets_a_token_of_its_own_for_what_it_is_registered_for(service: Service) -> None:
    reports = register(
        service, secret="s3cret", grant_types=["client_credentials"], scopes=["messages:send", "x:y"], redirect_uris=[]
    )
    reply = reports.token(grant_type="client_credentials", scope="messages:send")
    assert "refresh_token" not in reply.json and "id_token" not in reply.json
    claims = service.app.extensions["verifier"].verify(reply["access_token"])
    assert (str(claims.sub), claims.role, claims.scope, claims.sid) == (
        reports.client_id, "service", "messages:send", None,
    )  # fmt: skip
    assert reports.token(grant_type="client_credentials")["scope"] == "messages:send x:y"
    assert reports.token(grant_type="client_credentials", scope="auth:admin")["error"] == "invalid_scope"
    assert reports.token(grant_type="client_credentials", resource=ELSEWHERE)["error"] == "invalid_target"
    assert _at_home(service, reply["access_token"], "GET", "/user")[0] == 401
    assert person_of(service, reply["access_token"]).status == 401


def test_a_hook_that_fails_refuses_the_house_s_token_in_the_words_of_the_protocol(make_service: Make) -> None:
    """The hook is asked for the house's tokens; a third party's say nothing that it could change."""
    secret = f"v1,whsec_{base64.b64encode(b'0' * 24).decode()}"
    house = make_service(hook_access_token_url="http://127.0.0.1:9/", hook_secrets=secret)
    bob = house.person("bob")
    bob.sign_up()
    bob.confirm()
    tab = browser_of(bob)
    reply = register(house, is_first_party=True).tokens(tab, resource=API)
    assert (reply.status, reply["error"]) == (503, "temporarily_unavailable"), reply.text
    assert reply.headers["Content-Type"] == "application/json" and "access_token" not in reply.json
    assert register(house).tokens(tab).status == 200
