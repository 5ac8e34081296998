"""Authorization codes: for one client, one place, one use, and worth nothing to whoever finds one (RFC 9700)."""

import pytest

from tests.auth.browsers import Tab
from tests.auth.conftest import Person, Service, at_once
from tests.auth.oauth.apps import PHONE_PLACE, App, agree, browser_of, parameters, person_of, register


def _code(app: App, tab: Tab, **changes: str) -> str:
    return parameters(agree(tab, app.request(**changes)))["code"]


def test_of_twenty_at_once_one_gets_tokens_and_the_others_end_them(service: Service, tab: Tab, app: App) -> None:
    """RFC 9700, 2.1.1 and 4.2.4: a code is used once; a second use takes back what it gave."""
    code = _code(app, tab)
    replies = at_once(lambda _: app.redeem(code))
    assert sorted(reply.status for reply in replies) == [200] + [400] * 19
    assert {reply["error"] for reply in replies if reply.status == 400} == {"invalid_grant"}
    (winner,) = [reply for reply in replies if reply.status == 200]
    assert person_of(service, winner["access_token"]).status == 401
    assert app.refresh(winner["refresh_token"])["error"] == "invalid_grant"


def test_a_code_that_is_used_again_later_ends_what_it_gave(service: Service, tab: Tab, app: App) -> None:
    code = _code(app, tab)
    tokens = app.redeem(code)
    tokens = app.refresh(tokens["refresh_token"])
    assert person_of(service, tokens["access_token"]).status == 200
    assert app.redeem(code)["error"] == "invalid_grant"
    assert person_of(service, tokens["access_token"]).status == 401
    assert app.refresh(tokens["refresh_token"])["error"] == "invalid_grant"


def test_whoever_finds_a_code_that_was_used_logs_nobody_out_with_it(service: Service, tab: Tab, app: App) -> None:
    """It may lie in a log or a history for as long as the grant lives."""
    code = _code(app, tab)
    tokens = app.redeem(code)
    other = register(service)
    tries = [
        app.redeem(code, code_verifier=None),
        app.redeem(code, code_verifier="x" * 43),
        other.redeem(code, code_verifier="x" * 43),
        other.redeem(code, code_verifier=app.verifier),
    ]
    assert {reply["error"] for reply in tries} == {"invalid_grant"}
    assert person_of(service, tokens["access_token"]).status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"code_verifier": "x" * 43},
        {"code_verifier": None},
        {"code_verifier": ""},
        {"redirect_uri": PHONE_PLACE},
        {"redirect_uri": None},
        {"resource": "https://app.example.com"},
    ],
)
def test_whoever_found_a_code_gets_nothing_and_uses_it_up(tab: Tab, app: App, wrong: dict[str, str | None]) -> None:
    """RFC 9700, 4.5: without the verifier, or for another place, an injected code is worth nothing."""
    code = _code(app, tab)
    for _ in range(2):
        reply = app.redeem(code, **wrong)
        assert (reply.status, reply["error"]) == (400, "invalid_grant")
    assert app.redeem(code)["error"] == "invalid_grant"


def test_a_refused_code_of_an_app_of_the_house_ends_nobody_s_session(service: Service, tab: Tab, own_app: App) -> None:
    code = _code(own_app, tab, resource="https://app.example.com")
    assert own_app.redeem(code, code_verifier="x" * 43)["error"] == "invalid_grant"
    assert tab.session_id() is not None, "who found the code is no reason to log its owner out"
    code = _code(own_app, tab, resource="https://app.example.com")
    tokens = own_app.redeem(code)
    own_app.redeem(code)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert service.get("/user", headers).code == "session_not_found"
    assert tab.session_id() is not None, "only what the code gave has ended"


def test_the_challenge_is_no_verifier(tab: Tab, app: App) -> None:
    """RFC 9700, 4.8: no downgrade to plain."""
    assert app.redeem(_code(app, tab), code_verifier=app.challenge)["error"] == "invalid_grant"


def test_a_code_of_another_client_is_worth_nothing(service: Service, tab: Tab, app: App, website: App) -> None:
    """RFC 9700, 4.5: the code is bound to who asked, even for who has the verifier."""
    code = _code(app, tab)
    assert website.redeem(code, code_verifier=app.verifier, client_id=None)["error"] == "invalid_grant"
    assert app.redeem(code)["error"] == "invalid_grant"


def test_a_code_is_good_for_a_minute(service: Service, tab: Tab, app: App) -> None:
    code = _code(app, tab)
    service.rows("UPDATE oauth_grants SET expires_at = now() WHERE client_id = %(id)s", id=app.client_id)
    assert app.redeem(code)["error"] == "invalid_grant"
    code = _code(app, tab)
    sql = """
        SELECT extract(epoch FROM expires_at - created_at)::int AS s FROM oauth_grants
        WHERE client_id = %(id)s ORDER BY id DESC LIMIT 1
    """
    assert service.rows(sql, id=app.client_id) == [{"s": 60}]


def test_neither_codes_nor_secrets_nor_tokens_are_at_rest(service: Service, tab: Tab) -> None:
    app = register(service, secret="the secret of the website")
    code = _code(app, tab)
    refresh_token = app.redeem(code)["refresh_token"]
    for table in ("oauth_grants", "oauth_clients", "oauth_consents", "audit_log", "outbox"):
        text = "".join(row["row"] for row in service.rows(f"SELECT t::text AS row FROM {table} t"))  # noqa: S608
        assert not [secret for secret in (code, app.secret, refresh_token) if secret and secret in text], table


def test_a_code_does_not_outlive_the_session_of_its_browser(service: Service, app: App) -> None:
    alice = service.person("alice")
    tab = Tab(service)
    tab.log_in(alice)
    code = _code(app, tab)
    service.rows("UPDATE sessions SET ended_at = now(), end_reason = 'logout' WHERE id = %(id)s", id=tab.session_id())
    assert app.redeem(code)["error"] == "invalid_grant"


def _how_many(service: Service, app: App) -> int:
    (row,) = service.rows("SELECT count(*) AS n FROM oauth_grants WHERE client_id = %(id)s", id=app.client_id)
    return int(row["n"])


def test_of_codes_that_nobody_comes_for_twenty_are_kept_and_no_device_is_logged_out_by_them(
    service: Service, tab: Tab, app: App
) -> None:
    """A stranger's page can have a browser ask for codes, as often as it likes."""
    phone = app.tokens(tab, scope="openid offline_access")
    codes = [_code(app, tab) for _ in range(21)]
    assert _how_many(service, app) == 21
    assert app.refresh(phone["refresh_token"]).status == 200
    assert app.redeem(codes[0])["error"] == "invalid_grant"
    assert app.redeem(codes[1]).status == app.redeem(codes[20]).status == 200


def test_a_person_has_a_client_on_twenty_devices_and_the_one_that_is_used_least_ends(
    service: Service, tab: Tab, app: App
) -> None:
    unused, phone = (app.tokens(tab, scope="openid offline_access") for _ in range(2))
    for number in range(19):
        app.tokens(tab, scope="openid offline_access")
        if number == 9:
            phone = app.refresh(phone["refresh_token"])
    assert _how_many(service, app) == 20
    assert app.refresh(unused["refresh_token"])["error"] == "invalid_grant"
    assert app.refresh(phone["refresh_token"]).status == 200


def test_a_website_that_renews_silently_in_one_browser_takes_no_other_devices_place(
    service: Service, alice: Person, app: App
) -> None:
    tab = browser_of(alice)
    phone = app.tokens(tab, scope="openid offline_access")
    renewed = [app.tokens(tab, scope="openid") for _ in range(21)]
    assert _how_many(service, app) == 20
    assert app.refresh(phone["refresh_token"]).status == app.refresh(renewed[20]["refresh_token"]).status == 200
    assert app.refresh(renewed[0]["refresh_token"])["error"] == "invalid_grant"
