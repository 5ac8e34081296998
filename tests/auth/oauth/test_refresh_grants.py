"""Refresh tokens of clients: they rotate, a lost answer costs nothing, a copy ends the grant (RFC 9700, 4.14)."""

import pytest

from tests.auth.browsers import ORIGIN, Tab
from tests.auth.conftest import Person, Service, at_once, claims_of
from tests.auth.oauth.apps import App, person_of, register


def _let_time_pass(service: Service, app: App) -> None:
    """As if the newest token were older than the interval in which the last one may be repeated."""
    service.rows(
        "UPDATE oauth_grants SET refreshed_at = refreshed_at - interval '1 minute' WHERE client_id = %(id)s",
        id=app.client_id,
    )


def test_a_refresh_token_is_exchanged_for_the_next(service: Service, tab: Tab, app: App) -> None:
    tokens, seen = app.tokens(tab), set()
    for _ in range(3):
        seen.add(tokens["refresh_token"])
        tokens = app.refresh(tokens["refresh_token"])
        assert tokens.status == 200 and tokens["refresh_token"] not in seen
        assert person_of(service, tokens["access_token"]).status == 200


def test_a_copy_that_turns_up_ends_the_grant_and_its_owner_gets_a_mail(
    service: Service, alice: Person, tab: Tab
) -> None:
    app = register(service, name="Photo Prints of the thief")
    stolen = app.tokens(tab)["refresh_token"]
    tokens = app.refresh(stolen)
    tokens = app.refresh(tokens["refresh_token"])
    _let_time_pass(service, app)
    reply = app.refresh(stolen)
    assert (reply.status, reply["error"]) == (400, "invalid_grant")
    assert app.refresh(tokens["refresh_token"])["error"] == "invalid_grant"
    assert person_of(service, tokens["access_token"]).status == 401
    mail = service.mails_to(alice.email)[-1]
    assert (mail["template"], mail["params"]["device"]) == ("reuse_detected", "Photo Prints of the thief")
    sql = "SELECT details FROM audit_log WHERE action = 'grant.ended' AND subject = %(id)s ORDER BY id DESC LIMIT 1"
    (row,) = service.rows(sql, id=alice.user_id)
    assert row["details"] == {"client": app.client_id, "reason": "refresh_reused"}


def test_a_thief_who_comes_first_is_found_out_by_the_client(service: Service, tab: Tab, app: App) -> None:
    stolen = app.tokens(tab)["refresh_token"]
    mine = app.refresh(stolen)
    _let_time_pass(service, app)
    theirs = app.refresh(stolen)
    assert theirs.status == 200, "it might have been a lost answer"
    assert app.refresh(mine["refresh_token"])["error"] == "invalid_grant"
    assert app.refresh(theirs["refresh_token"])["error"] == "invalid_grant"


def test_twenty_refreshes_at_once_agree_on_one_result(tab: Tab, app: App) -> None:
    token = app.tokens(tab)["refresh_token"]
    replies = at_once(lambda _: app.refresh(token))
    assert {reply.status for reply in replies} == {200}
    assert len({reply["refresh_token"] for reply in replies}) == 1
    assert app.refresh(replies[0]["refresh_token"]).status == 200


def test_a_refresh_token_is_good_for_its_client_alone_and_a_strangers_try_uses_nothing_up(
    service: Service, tab: Tab, app: App, website: App
) -> None:
    """RFC 9700, 2.2.2: bound to the client."""
    token = app.tokens(tab)["refresh_token"]
    for other in (website, register(service)):
        assert other.refresh(token)["error"] == "invalid_grant"
    assert app.refresh(token).status == 200


def test_a_session_s_refresh_token_is_no_grant_s_and_the_other_way_round(
    service: Service, alice: Person, tab: Tab, app: App
) -> None:
    assert app.refresh(alice.session["refresh_token"])["error"] == "invalid_grant"
    token = app.tokens(tab)["refresh_token"]
    reply = service.post("/token?grant_type=refresh_token", {"refresh_token": token})
    assert (reply.status, reply.code) == (400, "refresh_token_not_found")


def test_a_refresh_may_ask_for_less_and_never_for_more(service: Service, tab: Tab, app: App) -> None:
    """RFC 9700, 2.3: tokens with no more than is needed."""
    token = app.tokens(tab, scope="openid email")["refresh_token"]
    for changes in ({"scope": "openid profile"}, {"scope": "offline_access"}):
        assert app.refresh(token, **changes)["error"] == "invalid_scope"
    assert app.refresh(token, resource="https://app.example.com")["error"] == "invalid_target"
    less = app.refresh(token, scope="openid")
    assert less["scope"] == claims_of(less["access_token"])["scope"] == "openid"
    assert "email" not in person_of(service, less["access_token"]).json
    assert "email" not in claims_of(less["id_token"])
    assert app.refresh(less["refresh_token"])["scope"] == "openid email", "the grant is as wide as before"


@pytest.mark.parametrize("column", ["refresh_issued", "expires_at"])
def test_what_was_set_back_or_is_over_cannot_be_refreshed(service: Service, tab: Tab, app: App, column: str) -> None:
    token = app.refresh(app.tokens(tab)["refresh_token"])["refresh_token"]
    value = {"refresh_issued": "0", "expires_at": "now()"}[column]
    service.rows(f"UPDATE oauth_grants SET {column} = {value} WHERE client_id = %(id)s", id=app.client_id)  # noqa: S608
    assert app.refresh(token)["error"] == "invalid_grant"


def test_a_session_of_an_app_of_the_house_that_is_over_is_not_revived(service: Service, tab: Tab, own_app: App) -> None:
    """Whether the worker has come by and ended it, or not."""
    tokens = own_app.tokens(tab, resource=ORIGIN)
    sql = """
        UPDATE sessions SET refreshed_at = now() - make_interval(secs => %(idle_s)s) - interval '1 minute'
        WHERE id = %(id)s
    """
    idle_s = service.parts.settings.session_idle_s
    service.rows(sql, id=claims_of(tokens["access_token"])["sid"], idle_s=idle_s)
    assert own_app.refresh(tokens["refresh_token"])["error"] == "invalid_grant"
