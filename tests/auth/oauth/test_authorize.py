"""The authorization endpoint: whom it asks, where it leads, and where it never does."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.auth.browsers import ORIGIN, Tab
from tests.auth.conftest import Person, Service, claims_of
from tests.auth.oauth.apps import (
    ISSUER,
    PHONE_PLACE,
    PLACE,
    App,
    agree,
    browser_of,
    parameters,
    place_of,
    query_of,
    register,
)

EVIL = [
    None, "", "https://evil.test/", "https://app.test/back/", "https://app.test/back?x=1", "https://app.test/back#x",
    "https://app.test/Back", "HTTPS://app.test/back", "https://app.test:443/back", "https://app.test./back",
    "https://app.test/back/../back", "https://app.test/%62ack", "https://app.test@evil.test/back",
    "https://app.test\\@evil.test/back", "//app.test/back", "https:/app.test/back", "javascript:alert(1)",
    "data:text/html,x", "com.example.app://back", "com.example.app:/back/", "com.example.application:/back",
    "http://127.0.0.1.evil.test/back", "http://127.0.0.1@evil.test/back", "http://localhost/back",
    "http://127.0.0.1:99999/back", "http://127.0.0.1:x/back", "http://127.0.0.1/back?x", "http://127.0.0.1/back#x",
    "http://127.1/back", "http://2130706433/back", "http://[::1]/back", "https://127.0.0.1/back", " https://app.test/back",
    "https://app.test/back\r\nX: y", "https://app.test/back\x00", "https://äpp.test/back", "x" * 3000,
]  # fmt: skip
GOOD = [PLACE, PHONE_PLACE, "http://127.0.0.1/back", "http://127.0.0.1:1/back", "http://127.0.0.1:65535/back"]
WRONG: list[tuple[dict[str, str | None], str]] = [
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code id_token"}, "unsupported_response_type"),
    ({"response_type": None}, "unsupported_response_type"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge": "short"}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge_method": "s256"}, "invalid_request"),
    ({"scope": "openid admin"}, "invalid_scope"),
    ({"scope": "auth:admin"}, "invalid_scope"),
    ({"prompt": "none login"}, "invalid_request"),
    ({"max_age": "soon"}, "invalid_request"),
    ({"max_age": "-1"}, "invalid_request"),
    ({"nonce": "n" * 256}, "invalid_request"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"response_mode": "form_post"}, "invalid_request"),
    ({"request": "x.y.z"}, "request_not_supported"),
    ({"request_uri": "https://evil.test/"}, "request_uri_not_supported"),
    ({"resource": "https://app.example.com"}, "invalid_target"),
    ({"resource": "gatehouse"}, "invalid_target"),
    ({"resource": "https://elsewhere.test/api"}, "invalid_target"),
]


def _is_page(page: Any, status: int) -> bool:
    """A page that can be neither framed nor made to load or send anything."""
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
    assert page.headers["X-Frame-Options"] == "DENY" and page.headers["Cache-Control"] == "no-store"
    return bool(page.status == status and "Location" not in page.headers)


@pytest.mark.parametrize("place", EVIL)
def test_nobody_is_led_to_a_place_that_is_not_registered(tab: Tab, app: App, place: str | None) -> None:
    """RFC 9700, 4.1: neither with a code nor with an error; it ends on a page."""
    for changes in ({}, {"response_type": "token"}, {"prompt": "none"}, {"scope": "openid admin"}):
        assert _is_page(tab.open(app.request(redirect_uri=place, **changes)), 400), changes


@pytest.mark.parametrize("place", GOOD)
def test_a_registered_place_gets_the_code_and_on_loopback_the_app_chooses_the_port(
    tab: Tab, app: App, place: str
) -> None:
    answer = agree(tab, app.request(redirect_uri=place))
    assert place_of(answer) == place
    assert app.redeem(parameters(answer)["code"], redirect_uri=place).status == 200


@pytest.mark.parametrize("client_id", [None, "", "x", "00000000-0000-0000-0000-000000000000", "%00"])
def test_an_unknown_client_ends_on_a_page(tab: Tab, app: App, client_id: str | None) -> None:
    assert _is_page(tab.open(app.request(client_id=client_id)), 400)


def test_another_spelling_of_a_client_is_another_client(tab: Tab, app: App) -> None:
    for spelling in (app.client_id.upper(), f"{{{app.client_id}}}", app.client_id.replace("-", "")):
        assert _is_page(tab.open(app.request(client_id=spelling)), 400)


@pytest.mark.parametrize(("changes", "error"), WRONG)
def test_a_wrong_request_is_told_to_the_app_with_its_state_and_who_says_so(
    tab: Tab, app: App, changes: dict[str, str | None], error: str
) -> None:
    answer = tab.open(app.request(**changes))
    assert (answer.status, place_of(answer)) == (303, PLACE)
    told = parameters(answer)
    assert (told["error"], told["state"], told["iss"]) == (error, "the state", ISSUER)
    assert "code" not in told
    assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "scope", "state", "code_challenge", "prompt", "nonce"])
def test_a_parameter_that_stands_twice_is_refused(tab: Tab, app: App, name: str) -> None:
    """RFC 9700, 4.1 and 4.10: two readers must not read two requests."""
    twice = f"{app.request()}&{name}=x&{name}={quote('https://evil.test/')}"
    assert _is_page(tab.open(twice), 400)


def test_state_scope_and_errors_cannot_break_out_of_the_address_that_leads_back(tab: Tab, app: App) -> None:
    """RFC 9700, 4.5 and 4.11: what the request says stays a value."""
    for said in ("x&code=evil", "x\r\nSet-Cookie: a=b", "x#y", 'x"<script>', "é😀", "x" * 2000):
        answer = agree(tab, app.request(state=said))
        assert parameters(answer)["state"] == said and list(parameters(answer)) == ["code", "state", "iss"]
        answer = tab.open(app.request(state=said, scope=f"openid {said}"))
        assert (parameters(answer)["state"], parameters(answer)["error"]) == (said, "invalid_scope")


def test_who_is_not_logged_in_logs_in_and_comes_back_to_the_same_request(service: Service, app: App) -> None:
    tab, alice = Tab(service), service.person("alice")
    to_log_in = tab.open(app.request(login_hint="alice@example.com", prompt="login"))
    assert (to_log_in.status, place_of(to_log_in)) == (303, "/auth/oauth/login")
    page = tab.open(to_log_in.headers["Location"])
    assert page.form.fields["email"] == "alice@example.com"
    back = tab.send(page.form, email=alice.email, password=alice.password)
    asked = tab.open(back.headers["Location"])
    assert asked.status == 200, "prompt=login was met by this very log-in"
    answer = tab.send(asked.form, decision="allow")
    assert app.redeem(parameters(answer)["code"]).status == 200


def test_prompt_none_never_shows_a_page(service: Service, tab: Tab, app: App) -> None:
    assert parameters(Tab(service).open(app.request(prompt="none")))["error"] == "login_required"
    assert parameters(tab.open(app.request(prompt="none")))["error"] == "consent_required"
    agree(tab, app.request())
    assert "code" in parameters(tab.open(app.request(prompt="none")))


def _age(service: Service, tab: Tab, seconds: int) -> None:
    """Let the log-in of a browser be so long ago."""
    sql = """
        UPDATE sessions SET amr = jsonb_set(amr, '{0,timestamp}', to_jsonb((amr #>> '{0,timestamp}')::bigint - %(s)s))
        WHERE id = %(id)s
    """
    service.rows(sql, s=seconds, id=tab.session_id())


def test_max_age_and_prompt_login_want_a_newer_log_in_and_nobody_can_date_the_request_back(
    service: Service, alice: Person, app: App
) -> None:
    tab = browser_of(alice)
    agree(tab, app.request())
    _age(service, tab, 1000)
    assert "code" in parameters(tab.open(app.request(max_age="2000")))
    for changes in ({"max_age": "500"}, {"max_age": "0"}, {"prompt": "login"}, {"prompt": "select_account"}):
        assert place_of(tab.open(app.request(**changes))) == "/auth/oauth/login"
        for begun in ("0", "1", "x", f"1.{'0' * 64}", "9999999999"):
            page = tab.open(app.request(**changes, begun=begun))
            assert place_of(page) == "/auth/oauth/login", (changes, begun)
    assert parameters(tab.open(app.request(prompt="none", max_age="500")))["error"] == "login_required"


def test_the_mark_of_one_request_dates_no_other_one_back(service: Service, alice: Person, app: App) -> None:
    tab = browser_of(alice)
    _age(service, tab, 1000)
    marked = tab.open(app.request(prompt="login")).headers["Location"]
    begun = query_of(query_of(marked)["return_to"])["begun"]
    other = tab.open(app.request(prompt="login", state="another", begun=begun))
    assert place_of(other) == "/auth/oauth/login"


def test_consent_is_remembered_and_asked_for_again_when_there_is_more_to_agree_to(tab: Tab, app: App) -> None:
    agree(tab, app.request(scope="openid"))
    assert tab.open(app.request(scope="openid")).status == 303
    assert tab.open(app.request(scope="openid email")).status == 200, "more"
    assert tab.open(app.request(scope="openid", prompt="consent")).status == 200, "the app wants it"
    agree(tab, app.request(scope="openid email"))
    assert tab.open(app.request(scope="email")).status == 303, "less"


def test_where_any_app_could_take_the_answer_the_person_is_asked_each_time(tab: Tab, app: App, own_app: App) -> None:
    """RFC 8252, 8.6: a scheme can be claimed by another app, a port by another program."""
    for one in (app, own_app):
        for place in (PHONE_PLACE, "http://127.0.0.1:5000/back"):
            agree(tab, one.request(redirect_uri=place))
            assert tab.open(one.request(redirect_uri=place)).status == 200
            silent = tab.open(one.request(redirect_uri=place, prompt="none"))
            assert parameters(silent)["error"] == "consent_required"


def test_an_app_of_the_house_needs_no_consent_at_a_place_of_its_own(tab: Tab, own_app: App) -> None:
    assert "code" in parameters(tab.open(own_app.request()))
    assert tab.open(own_app.request(prompt="consent")).status == 200


def test_who_does_not_agree_gives_nothing(service: Service, tab: Tab, app: App) -> None:
    before = service.rows("SELECT count(*) FROM oauth_grants")
    answer = tab.send(tab.open(app.request()).form, decision="deny")
    told = parameters(answer)
    assert (told["error"], told["state"], told["iss"]) == ("access_denied", "the state", ISSUER)
    assert service.rows("SELECT count(*) FROM oauth_grants") == before
    assert tab.open(app.request()).status == 200, "and is asked again"


def test_the_page_says_who_asks_where_it_leads_and_as_whom(service: Service, tab: Tab) -> None:
    app = register(service, name='<script>alert("Prints")</script>')
    page = tab.open(app.request())
    assert _is_page(page, 200)
    assert "&lt;script&gt;" in page.html and "<script>" not in page.html
    assert "app.test" in page.html and "alice@example.com" in page.html
    assert "form-action 'self' https://app.test" in page.headers["Content-Security-Policy"]


def test_whoever_is_asked_for_their_whole_access_reads_so(tab: Tab, own_app: App) -> None:
    page = tab.open(own_app.request(redirect_uri=PHONE_PLACE, resource="https://app.example.com"))
    assert "do everything here that you can do yourself" in page.html
    assert "do everything here" not in tab.open(own_app.request(redirect_uri=PHONE_PLACE)).html


def test_only_the_form_that_was_shown_to_this_browser_for_this_request_decides(
    service: Service, alice: Person, mallory: Person, tab: Tab, app: App
) -> None:
    """CSRF: not without the token, not with another person's, not for another request, not from another site."""
    form = tab.open(app.request()).form
    hers = browser_of(mallory).open(app.request()).form.fields["form_token"]
    wrong: list[dict[str, str]] = [
        {"form_token": ""}, {"form_token": "0" * 64}, {"form_token": hers}, {"scope": "openid profile"},
        {"redirect_uri": "http://127.0.0.1:9/back"}, {"code_challenge": register(service).challenge}, {"state": "hers"},
    ]  # fmt: skip
    for typed in wrong:
        page = tab.send(form, decision="allow", **typed)
        assert _is_page(page, 403), typed
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "", "Origin": "https://evil.test"}):
        assert _is_page(tab.send(form, headers, decision="allow"), 403), headers
    assert _is_page(Tab(service).send(form, decision="allow"), 403), "without the cookie"
    assert tab.send(form, decision="allow").status == 303, "the form itself was good"


def test_a_request_that_comes_as_a_form_goes_on_as_one_that_the_cookie_comes_with(tab: Tab, app: App) -> None:
    data = query_of(app.request())
    sent = tab.client.post("/auth/oauth/authorize", base_url=ORIGIN, data=data, headers={"Origin": "https://app.test"})
    assert sent.status_code == 303 and sent.headers["Location"].startswith("/auth/oauth/authorize?")
    assert tab.open(sent.headers["Location"]).status == 200


def test_the_id_token_says_how_and_when_somebody_logged_in(tab: Tab, app: App) -> None:
    tokens = app.tokens(tab, nonce="once")
    claims = claims_of(tokens["id_token"])
    assert (claims["acr"], claims["amr"], claims["nonce"]) == ("aal1", ["pwd"], "once")
    assert claims["iat"] - 600 <= claims["auth_time"] <= claims["iat"] and claims["sid"] == tab.session_id()
    later = claims_of(app.refresh(tokens["refresh_token"])["id_token"])
    assert {name: later[name] for name in ("iss", "sub", "aud", "auth_time")} == {
        name: claims[name] for name in ("iss", "sub", "aud", "auth_time")
    }


def test_somebody_else_may_log_in_from_the_page(tab: Tab, app: App) -> None:
    page = tab.open(app.request())
    (link,) = page.links
    assert link.startswith("/auth/oauth/login?return_to=%2Fauth%2Foauth%2Fauthorize%3F")
