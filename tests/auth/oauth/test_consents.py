"""What people granted, listed and taken back by themselves; and consent in a page of the app's own."""

from collections.abc import Iterator

import pytest

from services.auth.app import create_app
from tests.auth.browsers import ORIGIN, Tab
from tests.auth.conftest import Person, Service, at_once, settings_on
from tests.auth.oauth.apps import ISSUER, PHONE_PLACE, PLACE, App, browser_of, parameters, person_of, query_of, register
from tests.support.databases import Databases

NOBODY = "00000000-0000-7000-8000-000000000000"


def test_a_person_sees_what_they_granted_and_takes_it_back(service: Service, mallory: Person) -> None:
    bob = service.member("bob.grants")
    tab = browser_of(bob)
    app = register(service, client_uri="https://prints.test", logo_uri="https://prints.test/logo.png")
    tokens = app.tokens(tab, scope="openid email offline_access")
    (grant,) = bob.get("/user/oauth/grants").json
    assert sorted(grant.pop("scopes")) == ["email", "offline_access", "openid"] and grant.pop("granted_at")
    assert grant == {
        "client": {
            "id": app.client_id, "name": "Photo Prints", "uri": "https://prints.test",
            "logo_uri": "https://prints.test/logo.png",
        }
    }  # fmt: skip
    assert mallory.get("/user/oauth/grants").json == []
    for client_id in (app.client_id, NOBODY):
        assert mallory.delete(f"/user/oauth/grants?client_id={client_id}").code == "oauth_consent_not_found"
    assert person_of(service, tokens["access_token"]).status == 200
    assert bob.delete(f"/user/oauth/grants?client_id={app.client_id}").status == 204
    assert bob.get("/user/oauth/grants").json == []
    assert person_of(service, tokens["access_token"]).status == 401
    assert app.refresh(tokens["refresh_token"])["error"] == "invalid_grant"
    assert tab.open(app.request(scope="openid")).status == 200, "it has to ask anew"
    logged = [deed for deed, _ in service.deeds(bob)]
    assert logged[-2:] == ["grant.made", "grant.revoked"]


def test_taking_back_one_leaves_the_others(service: Service, tab: Tab, alice: Person, app: App) -> None:
    other = register(service)
    app.tokens(tab)
    kept = other.tokens(tab)
    assert alice.delete(f"/user/oauth/grants?client_id={app.client_id}").status == 204
    assert person_of(service, kept["access_token"]).status == 200


def test_which_app_must_be_said(alice: Person) -> None:
    for query in ("", "?client_id=", "?client_id=x"):
        assert alice.delete(f"/user/oauth/grants{query}").code == "validation_failed"


@pytest.fixture(scope="module")
def elsewhere(databases: Databases) -> Iterator[Service]:
    """A service whose operator has a page of their own for consent."""
    url = databases.fresh("auth")
    page = "https://www.example.com/consent?lang=en"
    settings = settings_on(url, oauth_consent_url=page, guests=True, password_reauthentication=True)
    made = Service(create_app(settings), databases.owners_url(url))
    yield made
    made.db.close()
    databases.drop(url)


@pytest.fixture(scope="module")
def carol(elsewhere: Service) -> Person:
    return elsewhere.member("carol")


def _waiting(app: App, **changes: str) -> str:
    """The id that the app's own page is opened with."""
    answer = Tab(app.service).open(app.request(**changes))
    place, _, _ = answer.headers["Location"].partition("?")
    assert (answer.status, place) == (303, "https://www.example.com/consent")
    said = parameters(answer)
    assert said["lang"] == "en"
    return said["authorization_id"]


def test_the_app_s_own_page_asks_and_leads_on(elsewhere: Service, carol: Person) -> None:
    app = register(elsewhere)
    waiting = _waiting(app)
    details = carol.get(f"/oauth/authorizations/{waiting}")
    assert details.json == {
        "authorization_id": waiting,
        "redirect_uri": PLACE,
        "client": {"id": app.client_id, "name": "Photo Prints", "uri": "", "logo_uri": ""},
        "user": {"id": carol.user_id, "email": "carol@example.com"},
        "scope": "openid email",
    }
    onward = carol.post(f"/oauth/authorizations/{waiting}/consent", {"action": "approve"})["redirect_url"]
    told = query_of(onward)
    assert (onward.split("?")[0], told["state"], told["iss"]) == (PLACE, "the state", ISSUER)
    assert app.redeem(told["code"]).status == 200
    again = carol.get(f"/oauth/authorizations/{_waiting(app)}")
    assert "code" in query_of(again["redirect_url"]), "who agreed before is led on"
    asked = carol.get(f"/oauth/authorizations/{_waiting(app, prompt='consent')}")
    assert asked["authorization_id"]


def test_who_does_not_agree_there_gives_nothing(elsewhere: Service, carol: Person) -> None:
    waiting = _waiting(register(elsewhere))
    onward = carol.post(f"/oauth/authorizations/{waiting}/consent", {"action": "deny"})["redirect_url"]
    assert query_of(onward) == {
        "error": "access_denied",
        "error_description": "The resource owner or authorization server denied the request",
        "state": "the state",
        "iss": ISSUER,
    }


def test_guests_strangers_and_old_requests_get_nowhere(elsewhere: Service, carol: Person) -> None:
    app = register(elsewhere, redirect_uris=[PLACE, PHONE_PLACE])
    waiting = _waiting(app)
    guest = elsewhere.guest("dora")
    assert guest.get(f"/oauth/authorizations/{waiting}").code == "no_authorization"
    assert elsewhere.get(f"/oauth/authorizations/{waiting}").status == 401
    for wrong in ("x", "x" * 65, waiting[:-1]):
        assert carol.get(f"/oauth/authorizations/{wrong}").status in (400, 404)
    elsewhere.rows("UPDATE oauth_requests SET expires_at = now() WHERE id = %(id)s", id=waiting)
    for reply in (
        carol.get(f"/oauth/authorizations/{waiting}"),
        carol.post(f"/oauth/authorizations/{waiting}/consent", {"action": "approve"}),
    ):
        assert (reply.status, reply.code) == (404, "oauth_authorization_not_found")


def test_a_place_that_is_registered_no_more_is_not_led_to(elsewhere: Service, carol: Person) -> None:
    app = register(elsewhere)
    waiting = _waiting(app)
    elsewhere.rows("UPDATE oauth_clients SET redirect_uris = '{https://new.test/}' WHERE id = %(id)s", id=app.client_id)
    reply = carol.post(f"/oauth/authorizations/{waiting}/consent", {"action": "approve"})
    assert (reply.status, reply.code) == (400, "oauth_authorization_not_found")


def test_a_newer_log_in_is_wanted_there_too_and_nothing_is_silent(elsewhere: Service, carol: Person) -> None:
    app = register(elsewhere)
    sql = "UPDATE sessions SET amr = jsonb_set(amr, '{0,timestamp}', '1000') WHERE id = %(id)s"
    elsewhere.rows(sql, id=carol.session_id)
    for changes in ({"prompt": "login"}, {"max_age": "60"}):
        reply = carol.get(f"/oauth/authorizations/{_waiting(app, **changes)}")
        assert (reply.status, reply.code) == (403, "reauthentication_needed")
    assert parameters(Tab(elsewhere).open(app.request(prompt="none")))["error"] == "interaction_required"
    assert Tab(elsewhere).open(app.request(redirect_uri="https://evil.test/")).status == 400


def test_of_twenty_decisions_at_once_one_counts(elsewhere: Service, carol: Person) -> None:
    app = register(elsewhere)
    waiting = f"/oauth/authorizations/{_waiting(app)}"
    replies = at_once(lambda n: carol.post(f"{waiting}/consent", {"action": ("approve", "deny")[n % 2]}))
    assert sorted(reply.status for reply in replies) == [200] + [404] * 19
    assert carol.get(waiting).code == "oauth_authorization_not_found"


def test_a_session_that_a_code_opened_is_as_old_as_the_log_in_it_came_from(elsewhere: Service) -> None:
    """Where an app asks for a newer log-in, and where a new password does: a code proves nothing anew."""
    dave = elsewhere.member("dave")
    own_app, asking = register(elsewhere, is_first_party=True), register(elsewhere)
    waiting = _waiting(own_app, resource=ORIGIN)
    sql = """
        UPDATE sessions SET amr = jsonb_set(amr, '{0,timestamp}', '1000'), created_at = to_timestamp(1000)
        WHERE id = %(id)s
    """
    elsewhere.rows(sql, id=dave.session_id)
    code = query_of(dave.get(f"/oauth/authorizations/{waiting}")["redirect_url"])["code"]
    headers = {"Authorization": f"Bearer {own_app.redeem(code)['access_token']}"}
    reply = elsewhere.get(f"/oauth/authorizations/{_waiting(asking, max_age='60')}", headers)
    assert (reply.status, reply.code) == (403, "reauthentication_needed")
    reply = elsewhere.call("PUT", "/user", body={"password": "another long password"}, headers=headers)
    assert (reply.status, reply.code) == (400, "reauthentication_needed")
