"""Sessions of browsers: a cookie of the provider's pages, an ordinary session behind it, forms bound to it."""

import hashlib
from urllib.parse import quote

import pytest
from flask import Response

from services.auth import browser
from services.auth.browser import form_token, log_out, require_form_token, signed_in, to_log_in, visitor
from services.auth.worker import clean_up
from shared.errors import BadRequest, Forbidden
from tests.auth.browsers import LOG_IN, RETURN_TO, Tab
from tests.auth.conftest import Make, Person, Service


def test_a_log_in_leads_back_and_the_browser_has_a_session_that_its_owner_sees_and_ends(
    service: Service, alice: Person
) -> None:
    tab = Tab(service, **{"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)"})
    page = tab.log_in(alice)
    assert (page.status, page.headers["Location"]) == (303, RETURN_TO)
    (listed,) = [item for item in alice.get("/sessions")["items"] if not item["is_current"]]
    assert (listed["id"], listed["device_name"]) == (tab.session_id(), "iPhone")
    assert [one["method"] for one in listed["amr"]] == ["password"]
    assert alice.delete(f"/sessions/{listed['id']}").status == 204
    assert tab.session_id() is None


def test_the_cookie_is_for_this_host_alone_and_out_of_reach_of_scripts_and_other_sites(
    service: Service, alice: Person
) -> None:
    tab = Tab(service)
    for page in (tab.open(LOG_IN), tab.log_in(alice)):
        name, *attributes = page.headers["Set-Cookie"].split("; ")
        assert name.startswith("__Host-gatehouse=")
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
        assert not [attribute for attribute in attributes if attribute.startswith("Domain")]
    assert "Max-Age=1209600" in attributes


def test_on_loopback_without_tls_the_cookie_has_a_name_that_needs_none(make_service: Make) -> None:
    plain = make_service(public_url="http://127.0.0.1:8080").app.test_client().get(LOG_IN)
    assert plain.headers["Set-Cookie"].startswith("gatehouse_loopback=") and "Secure" not in plain.headers["Set-Cookie"]
    other = make_service(public_url="http://app.example.com").app.test_client().get(LOG_IN)
    assert other.headers["Set-Cookie"].startswith("__Host-gatehouse=") and "Secure" in other.headers["Set-Cookie"]


def test_a_planted_cookie_is_worth_nothing_after_the_log_in_and_only_hashes_are_at_rest(
    service: Service, alice: Person
) -> None:
    tab = Tab(service)
    tab.open(LOG_IN)
    planted = tab.cookie
    tab.log_in(alice)
    assert planted and tab.cookie and tab.cookie != planted
    attacker = Tab(service)
    attacker.client.set_cookie(browser.COOKIE, planted, domain="app.example.com")
    assert attacker.session_id() is None
    (row,) = service.rows("SELECT token_hash FROM browsers")
    assert bytes(row["token_hash"]) == hashlib.sha256(tab.cookie.encode()).digest()


def test_another_log_in_ends_the_session_that_the_browser_had(service: Service, alice: Person, mallory: Person) -> None:
    tab = Tab(service)
    tab.log_in(alice)
    first, cookie = tab.session_id(), tab.cookie
    tab.log_in(mallory)
    assert tab.session_id() not in (None, first) and tab.cookie != cookie
    assert [item["id"] for item in alice.get("/sessions")["items"]] == [alice.session_id]
    assert [event.data["reason"] for event in service.events("session.revoked")] == ["logout"]


def test_a_browser_that_was_not_seen_for_long_is_asked_again_and_the_clean_up_ends_its_session(
    service: Service, alice: Person
) -> None:
    tab = Tab(service)
    tab.log_in(alice)
    service.rows("UPDATE sessions SET refreshed_at = refreshed_at - interval '2 hours'")
    before = service.rows("SELECT seen_at FROM browsers")
    assert tab.session_id()
    assert service.rows("SELECT seen_at FROM browsers") != before, "it was seen just now"
    service.rows("UPDATE browsers SET seen_at = seen_at - interval '15 days'")
    assert tab.session_id() is None
    clean_up(service.db, service.parts.settings)
    assert [item["id"] for item in alice.get("/sessions")["items"]] == [alice.session_id]
    assert [event.data["reason"] for event in service.events("session.revoked")] == ["expired"]


def test_no_endpoint_but_the_pages_takes_the_cookie(service: Service, alice: Person) -> None:
    tab = Tab(service)
    tab.log_in(alice)
    rules = [rule for rule in service.app.url_map.iter_rules() if rule.rule.startswith("/auth/v1/")]
    guarded = [rule for rule in rules if service.app.view_functions[rule.endpoint].access.kind != "public"]  # type: ignore[attr-defined]
    assert len(guarded) > 20
    for rule in guarded:
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            path = rule.rule.replace("<", "").replace(">", "")
            answer = tab.client.open(path, method=method, base_url="https://app.example.com")
            assert answer.status_code == 401, rule


def test_logging_out_ends_the_session_and_takes_the_cookie_away(service: Service, alice: Person) -> None:
    tab = Tab(service)
    tab.log_in(alice)
    cookies = {"Cookie": f"{browser.COOKIE}={tab.cookie}"}
    with service.app.test_request_context(headers=cookies), service.db.transaction() as conn:
        found = signed_in(conn)
        assert found and found.user.email == alice.email and found.auth_time == found.session.amr[0]["timestamp"]
        gone = log_out(conn, found, Response())
    assert gone.headers["Set-Cookie"].startswith("__Host-gatehouse=; Expires=Thu, 01 Jan 1970")
    assert "Secure" in gone.headers["Set-Cookie"] and "Path=/" in gone.headers["Set-Cookie"]
    assert tab.session_id() is None
    assert [event.data["reason"] for event in service.events("session.revoked")] == ["logout"]


BAD_PLACES = [
    "", "//evil.example", "\\\\evil.example", "/\\evil.example", "https://evil.example", "https:evil.example",
    "javascript:alert(1)", "/auth/oauth/authorize/../../evil", "/auth/oauth/authorize\\@evil.example",
    "/auth/oauth/authorize@evil.example", "/auth/oauth/authorize.evil.example", "/auth/oauth/authorize#evil",
    "%2f%2fevil.example", "/%2fevil.example", "%5c%5cevil.example", "/auth/oauth/%61uthorize?a=b",
    "/auth/oauth/authorize?a=b\r\nSet-Cookie: x=y", "/auth/oauth/authorize?a=b\n", "/auth/oauth/authorize?\t",
    "/auth/oauth/authorize?\u2028", "/auth/oauth/authorize?é", "/auth/oauth/authorize?a\\b", " /auth/oauth/authorize",
    "/auth/oauth/login?return_to=x",
    "//app.example.com/auth/oauth/authorize", "https://app.example.com/auth/oauth/authorize", "auth/oauth/authorize",
    "/auth/oauth/authorize?" + "x" * 9_000, "/AUTH/oauth/authorize", "/auth//oauth/authorize",
]  # fmt: skip


def test_a_log_in_leads_back_to_a_request_for_authorization_and_nowhere_else(service: Service, alice: Person) -> None:
    tab = Tab(service)
    good = tab.open(LOG_IN).form
    for place in BAD_PLACES:
        for page in (
            tab.open(f"/auth/oauth/login?return_to={quote(place, safe='')}"),
            tab.send(good, return_to=place, email=alice.email, password=alice.password),
        ):
            assert page.status == 400 and "Location" not in page.headers and not page.links, place
        with service.app.test_request_context(), pytest.raises(BadRequest):
            to_log_in(place)
    with service.app.test_request_context():
        answer = to_log_in(RETURN_TO, login_hint="alice@example.com")
    assert answer.status_code == 303
    page = tab.open(answer.headers["Location"])
    assert (page.form.fields["return_to"], page.form.fields["email"]) == (RETURN_TO, "alice@example.com")


def test_a_form_counts_for_its_purpose_and_for_the_browser_that_saw_it(service: Service) -> None:
    tab, other = Tab(service), Tab(service)
    for one in (tab, other):
        one.open(LOG_IN)
    with _request(service, tab):
        good, of_another_purpose = form_token(visitor(), "consent"), form_token(visitor(), "log in")
    with _request(service, other):
        of_another_browser = form_token(visitor(), "consent")
    for token in ("", "x", good[:-1], good.upper(), "é", of_another_purpose, of_another_browser):
        with _request(service, tab, token), pytest.raises(Forbidden):
            require_form_token(visitor(), "consent")
    with _request(service, tab, good):
        require_form_token(visitor(), "consent")


OTHERS_PAGES = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example.com"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "https://app.example.com.evil.example"},
    {"Origin": "http://app.example.com"},
    {"Origin": "https://app.example.com:8443"},
]


@pytest.mark.parametrize("headers", OTHERS_PAGES, ids=str)
def test_a_form_sent_by_somebody_elses_page_is_refused_even_with_the_right_token(
    service: Service, headers: dict[str, str]
) -> None:
    tab = Tab(service)
    tab.open(LOG_IN)
    with _request(service, tab):
        token = form_token(visitor(), "consent")
    with _request(service, tab, token, **headers), pytest.raises(Forbidden):
        require_form_token(visitor(), "consent")


def _request(service: Service, tab: Tab, token: str = "", **headers: str):  # type: ignore[no-untyped-def]
    cookies = {"Cookie": f"{browser.COOKIE}={tab.cookie}", **headers}
    return service.app.test_request_context(method="POST", headers=cookies, data={"form_token": token})
