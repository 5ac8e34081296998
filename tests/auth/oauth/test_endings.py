"""When what people granted ends: with the browser, the account, the password, the client, or their word."""

from collections.abc import Callable

import pytest

from services.auth.worker import clean_up
from tests.auth.browsers import Tab
from tests.auth.conftest import PASSWORD, Person, Service
from tests.auth.oauth.apps import App, agree, browser_of, parameters, person_of, register

API = "https://app.example.com"
AWAY = "openid offline_access"


def _is_alive(service: Service, app: App, access: str, refresh: str) -> bool:
    alive = person_of(service, access).status == 200
    assert (app.refresh(refresh).status == 200) is alive, "both at once, or neither"
    return alive


Ending = Callable[[Service, Person, Person, Tab], object]
ENDINGS: dict[str, Ending] = {
    "another password": lambda service, bob, root, tab: bob.change(password="another long password"),
    "a ban": lambda service, bob, root, tab: root.administer("PUT", f"/{bob.user_id}", {"ban_duration": "1h"}),
    "a password set by an administrator": lambda service, bob, root, tab: root.administer(
        "PUT", f"/{bob.user_id}", {"password": "another long password"}
    ),
    "a log-out by an administrator": lambda service, bob, root, tab: root.administer("POST", f"/{bob.user_id}/logout"),
    "deletion": lambda service, bob, root, tab: root.administer("DELETE", f"/{bob.user_id}", {}),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_grant_ends_with(service: Service, root: Person, ending: str) -> None:
    bob = service.member(f"bob.{list(ENDINGS).index(ending)}")
    tab, theirs, ours = browser_of(bob), register(service), register(service, is_first_party=True)
    granted = [theirs.tokens(tab, scope="openid"), theirs.tokens(tab, scope=AWAY), ours.tokens(tab, resource=API)]
    ENDINGS[ending](service, bob, root, tab)
    for app, tokens in zip([theirs, theirs, ours], granted, strict=True):
        assert not _is_alive(service, app, tokens["access_token"], tokens["refresh_token"])
    assert service.rows("SELECT count(*) AS n FROM oauth_grants WHERE user_id = %(id)s", id=bob.user_id) == [{"n": 0}]


def test_logging_the_browser_out_ends_what_hangs_on_it_and_not_what_was_granted_for_later(service: Service) -> None:
    bob = service.member("bob.out")
    tab, theirs, ours = browser_of(bob), register(service), register(service, is_first_party=True)
    now, later = theirs.tokens(tab, scope="openid"), theirs.tokens(tab, scope=AWAY)
    own = ours.tokens(tab, resource=API)
    assert bob.delete(f"/sessions/{tab.session_id()}").status == 204
    assert not _is_alive(service, theirs, now["access_token"], now["refresh_token"])
    assert _is_alive(service, theirs, later["access_token"], later["refresh_token"])
    assert _is_alive(service, ours, own["access_token"], own["refresh_token"]), "it has a session of its own"


def test_logging_in_anew_with_the_same_browser_ends_nothing(service: Service, alice: Person, app: App) -> None:
    """Another app may want a newer log-in; what hung on the browser's session hangs on the next one."""
    tab = browser_of(alice)
    tokens = app.tokens(tab)
    before = tab.session_id()
    assert tab.log_in(alice).status == 303 and tab.session_id() != before
    assert _is_alive(service, app, tokens["access_token"], tokens["refresh_token"])


def test_another_person_at_the_same_browser_takes_nothing_over(
    service: Service, alice: Person, mallory: Person, app: App
) -> None:
    tab = browser_of(alice)
    tokens = app.tokens(tab)
    tab.log_in(mallory)
    assert not _is_alive(service, app, tokens["access_token"], tokens["refresh_token"])


def test_a_new_password_leaves_the_session_it_was_set_in_and_what_hangs_on_it(service: Service) -> None:
    bob = service.member("bob.stays")
    own = register(service, is_first_party=True)
    tokens = own.tokens(browser_of(bob), resource=API)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    changed = service.call("PUT", "/user", body={"password": "another long password"}, headers=headers)
    assert changed.status == 200, changed.text
    assert _is_alive(service, own, tokens["access_token"], tokens["refresh_token"])
    assert bob.get("/user").code == "session_not_found"
    assert PASSWORD != "another long password"


def test_the_worker_deletes_what_nobody_came_for_or_refreshed(service: Service, alice: Person, app: App) -> None:
    tab = browser_of(alice)
    agree(tab, app.request())
    tokens = app.tokens(tab)
    kept = register(service)
    kept.tokens(tab)
    sql = "UPDATE oauth_grants SET expires_at = now() - interval '1 second' WHERE client_id = %(id)s"
    service.rows(sql, id=app.client_id)
    service.rows(
        """
        INSERT INTO oauth_requests (id, client_id, parameters, expires_at) VALUES ('old', %(id)s, '{}', now())
        """,
        id=app.client_id,
    )
    clean_up(service.db, service.parts.settings)
    assert service.rows("SELECT count(*) AS n FROM oauth_grants WHERE client_id = %(id)s", id=app.client_id) == [
        {"n": 0}
    ]
    assert service.rows("SELECT count(*) AS n FROM oauth_requests WHERE id = 'old'") == [{"n": 0}]
    assert service.rows("SELECT count(*) AS n FROM oauth_grants WHERE client_id = %(id)s", id=kept.client_id) == [
        {"n": 1}
    ]
    assert app.refresh(tokens["refresh_token"])["error"] == "invalid_grant"


def test_a_grant_lives_as_long_as_it_is_refreshed(service: Service, tab: Tab, app: App) -> None:
    tokens = app.tokens(tab)
    sql = """
        SELECT round(extract(epoch FROM expires_at - now()) / 86400)::int AS days FROM oauth_grants
        WHERE client_id = %(id)s
    """
    assert service.rows(sql, id=app.client_id) == [{"days": 90}]
    service.rows(
        "UPDATE oauth_grants SET expires_at = now() + interval '1 day' WHERE client_id = %(id)s", id=app.client_id
    )
    app.refresh(tokens["refresh_token"])
    assert service.rows(sql, id=app.client_id) == [{"days": 90}]
    short = register(service, grant_types=["authorization_code"])
    short.redeem(parameters(agree(tab, short.request()))["code"])
    assert service.rows(sql, id=short.client_id) == [{"days": 0}]
