"""GET /authorize and GET, POST /callback: to a provider and back, in one browser, once."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from services.auth import resealing
from services.auth.external import provider
from services.auth.external.id_tokens import hash_of_nonce
from services.auth.worker import clean_up
from tests.auth.conftest import Reply, at_once, claims_of, fragment_of, query_of
from tests.auth.external.conftest import APP, PLACE, WEB, Browser, World, Worlds
from tests.auth.test_pkce import App

ALICE = {"sub": "001", "email": "alice@example.com", "email_verified": True, "name": "Alice"}


@pytest.fixture
def world(make_world: Worlds) -> World:
    world = make_world()
    for realm in world.realms.values():
        realm.person = dict(ALICE)
    return world


@pytest.fixture
def app(world: World) -> App:
    return App(world.service)


def _asked(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


def _error(reply: Reply) -> dict[str, str]:
    """What is on the place, in the query and in the fragment alike."""
    assert reply.status == 303, reply.text
    query, fragment = query_of(reply), fragment_of(reply)
    assert fragment.items() >= query.items() and "access_token" not in fragment and "code" not in query
    return query


def test_without_a_challenge_the_app_gets_a_session_and_the_tokens_of_the_provider(
    world: World, browser: Browser
) -> None:
    world["google"].refresh_token = "refresh-of-google"
    reply = browser.log_in()
    assert reply.status == 303 and reply.headers["Location"].startswith(f"{PLACE}#")
    assert (reply.headers["Cache-Control"], reply.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    said = fragment_of(reply)
    amr = claims_of(said["access_token"])["amr"][0]
    assert (amr["method"], amr["provider"]) == ("oauth", "google")
    assert said["token_type"] == "bearer" and said["provider_token"]
    assert said["provider_refresh_token"] == "refresh-of-google"
    user = world.service.get("/user", {"Authorization": f"Bearer {said['access_token']}"})
    assert (user["email"], user["app_metadata"]) == (
        "alice@example.com",
        {"provider": "google", "providers": ["google"]},
    )


def test_with_a_challenge_it_gets_a_code_and_the_tokens_with_the_session(
    world: World, browser: Browser, app: App
) -> None:
    world["corp"].refresh_token = "refresh-of-corp"
    reply = browser.log_in("corp", **app.challenge)
    assert reply.headers["Location"].startswith(f"{PLACE}?code=") and fragment_of(reply) == {}
    (row,) = world.service.rows("SELECT auth_codes::text AS text, carried_sealed FROM auth_codes")
    assert "refresh-of-corp" not in row["text"] and b"refresh-of-corp" not in bytes(row["carried_sealed"])
    answer = app.exchange(query_of(reply)["code"])
    assert (answer.status, answer["provider_refresh_token"]) == (200, "refresh-of-corp")
    assert answer["provider_token"] and claims_of(answer["access_token"])["amr"][0]["provider"] == "corp"
    assert app.exchange(query_of(reply)["code"]).code == "flow_state_not_found"


def test_a_wrong_verifier_gets_neither(world: World, browser: Browser, app: App) -> None:
    code = query_of(browser.log_in(**app.challenge))["code"]
    assert app.exchange(code, "x" * 64).code == "bad_code_verifier"


def test_what_waits_for_the_app_opens_after_a_change_of_keys(world: World, browser: Browser, app: App) -> None:
    code = query_of(browser.log_in(**app.challenge))["code"]
    sealer = world.service.parts.sealer
    (column,) = [one for one in resealing.SEALED if one.table == "auth_codes"]
    sealer._keys.insert(0, b"k" * 32)
    sealer.__init__(sealer._keys)  # type: ignore[misc]
    assert resealing.reseal(world.service.db, sealer, column).resealed == 1
    assert app.exchange(code).status == 200


def test_the_provider_is_asked_with_pkce_a_nonce_and_a_state_that_lie_nowhere(world: World, browser: Browser) -> None:
    address = browser.leave({"provider": "google", "redirect_to": PLACE})
    asked = _asked(address)
    assert address.startswith(world["google"].url)
    assert (asked["client_id"], asked["response_type"], asked["scope"]) == (WEB, "code", "openid email profile")
    assert asked["redirect_uri"] == "https://app.example.com/auth/v1/callback"
    assert asked["code_challenge_method"] == "S256" and len(asked["nonce"]) == 64
    (row,) = world.service.rows("SELECT external_flows::text AS text FROM external_flows")
    assert not any(asked[name] in row["text"] for name in ("state", "nonce", "code_challenge"))
    assert browser.come_back(address).status == 303
    (call,) = world["google"].calls
    assert call.authorization and call.authorization.startswith("Basic ")
    assert len(call.form["code_verifier"]) == 43 and call.form["redirect_uri"] == asked["redirect_uri"]


def test_more_scopes_and_parameters_go_along_but_none_of_ours_is_replaced(browser: Browser) -> None:
    query = {"provider": "google", "redirect_to": PLACE, "scopes": "calendar email", "prompt": "consent"}
    query |= {"access_type": "offline", "redirect_uri": "https://evil.test", "Client_ID": "evil", "state": "mine"}
    query |= {"nonce": "mine", "response_mode": "fragment", "request_uri": "https://evil.test", "hd": "a\r\nb"}
    asked = _asked(browser.leave(query))
    assert asked["scope"] == "openid email profile calendar"
    assert (asked["prompt"], asked["access_type"]) == ("consent", "offline")
    assert asked["redirect_uri"].startswith("https://app.example.com/") and asked["state"] != "mine"
    assert not {"Client_ID", "response_mode", "request_uri", "hd", "redirect_to", "scopes"} & set(asked)


def test_the_cookie_is_closed_to_everything_but_the_way_back(make_world: Worlds) -> None:
    for public_url, cookie in (
        ("https://app.example.com", "__Host-gatehouse-way"),
        ("http://127.0.0.1:8080", "gatehouse_way"),
    ):
        browser = Browser(make_world(public_url=public_url))
        reply = browser.open(f"/auth/v1/authorize?provider=google&redirect_to={PLACE}")
        said = reply.headers["Set-Cookie"]
        assert said.startswith(f"{cookie}=") and "HttpOnly" in said and "Path=/" in said and "Max-Age=600" in said
        assert ("Secure" in said, "SameSite=None" in said) == ((True, True) if cookie[0] == "_" else (False, False))
        assert "Domain" not in said


def test_apple_posts_the_way_back_and_says_a_name_once(world: World, browser: Browser) -> None:
    realm = world["apple"]
    realm.person.pop("name")
    realm.person["is_private_email"] = "true"
    realm.refresh_token = "refresh-of-apple"
    address = browser.leave({"provider": "apple", "redirect_to": PLACE})
    assert (_asked(address)["response_mode"], _asked(address)["scope"]) == ("form_post", "openid email name")
    user = {"name": {"firstName": "Alice", "lastName": "Liddell"}, "email": "evil@example.com"}
    reply = browser.come_back(address, user=json.dumps(user))
    access_token = fragment_of(reply)["access_token"]
    kept = world.service.get("/user", {"Authorization": f"Bearer {access_token}"})
    assert (kept["email"], kept["user_metadata"]["full_name"]) == ("alice@example.com", "Alice Liddell")
    assert kept["user_metadata"]["custom_claims"] == {"is_private_email": True}
    (row,) = world.service.rows("SELECT client_id FROM provider_tokens")
    assert row["client_id"] == WEB
    again = browser.log_in("apple", user="{")
    assert fragment_of(again)["access_token"], "it says nothing the second time, and rubbish is left alone"


def test_rubbish_for_a_name_is_left_alone(world: World, browser: Browser) -> None:
    for user in ("{", "[]", '{"name": 7}', '{"name": {"firstName": ["x"]}}', '"x"'):
        reply = browser.come_back(browser.leave({"provider": "apple", "redirect_to": PLACE}), user=user)
        assert "access_token" in fragment_of(reply), user


def test_a_form_that_is_nested_too_deeply_is_refused(browser: Browser) -> None:
    reply = browser.open("/auth/v1/callback", "POST", data={"state": "x", "user": "[" * 3000})
    assert (reply.status, reply.code) == (400, "validation_failed")


def test_an_address_that_only_the_userinfo_endpoint_says(world: World, browser: Browser, app: App) -> None:
    realm = world["corp"]
    realm.person = {"sub": "001"}
    realm.answers["/userinfo"] = (200, {"sub": "002", "email": "bob@example.com", "email_verified": True})
    assert _error(browser.log_in("corp"))["error_code"] == "provider_email_needs_verification", "of somebody else"
    realm.answers["/userinfo"] = (200, {**ALICE, "iss": "https://evil.test", "aud": "evil"})
    answer = app.exchange(query_of(browser.log_in("corp", **app.challenge))["code"])
    assert answer["user"]["email"] == "alice@example.com"
    assert realm.calls[-1].authorization == f"Bearer {answer['provider_token']}"


def test_a_state_works_once_in_the_browser_that_left_with_it(world: World, browser: Browser) -> None:
    address = browser.leave({"provider": "google", "redirect_to": PLACE})
    stranger = Browser(world)
    stranger.leave({"provider": "google", "redirect_to": PLACE})
    for other in (stranger, Browser(world)):
        reply = other.come_back(address)
        assert _error(reply)["error_code"] == "bad_oauth_state"
        assert reply.headers["Location"].startswith("https://www.example.com/welcome?")
    assert "access_token" in fragment_of(browser.come_back(address)), "strangers have not used it up"
    assert _error(browser.come_back(address))["error_code"] == "bad_oauth_state"
    assert len(world["google"].calls) == 1, "no code of a stranger was exchanged"


def test_two_ways_of_one_browser_do_not_disturb_each_other(browser: Browser) -> None:
    addresses = [browser.leave({"provider": name, "redirect_to": PLACE}) for name in ("google", "google")]
    assert all("access_token" in fragment_of(browser.come_back(address)) for address in reversed(addresses))


def test_of_twenty_who_come_back_at_once_with_one_state_one_is_let_in(world: World, browser: Browser) -> None:
    address = browser.leave({"provider": "google", "redirect_to": PLACE})
    cookie = browser.client.get_cookie("__Host-gatehouse-way", domain="app.example.com", path="/")
    assert cookie is not None
    answer, place, _ = world.providers.visit(address)

    def come(_: int) -> bool:
        same = Browser(world)
        same.client.set_cookie(cookie.key, cookie.value, domain="app.example.com", secure=True)
        return "access_token" in fragment_of(same.open(f"{place}?{urlencode(answer)}"))

    assert sorted(at_once(come)) == [False] * 19 + [True]
    assert len(world.service.rows("SELECT 1 FROM sessions")) == 1


def test_a_state_is_good_for_ten_minutes_and_then_cleaned_up(world: World, browser: Browser) -> None:
    address = browser.leave({"provider": "google", "redirect_to": PLACE})
    (row,) = world.service.rows("SELECT extract(epoch FROM expires_at - created_at)::int AS age_s FROM external_flows")
    assert 599 <= row["age_s"] <= 601
    world.service.rows("UPDATE external_flows SET expires_at = now()")
    assert _error(browser.come_back(address))["error_code"] == "bad_oauth_state"
    clean_up(world.service.db, world.service.parts.settings)
    assert world.service.rows("SELECT 1 FROM external_flows") == []


# What comes back changed, and what the app is told.
CHANGED: list[tuple[dict[str, Any], str, str]] = [
    ({"iss": "https://evil.test"}, "invalid_request", "bad_oauth_callback"),
    ({"iss": None}, "invalid_request", "bad_oauth_callback"),
    ({"code": None}, "invalid_request", "bad_oauth_callback"),
    ({"code": "invented"}, "server_error", "unexpected_failure"),
]


def test_an_answer_that_was_changed_lets_nobody_in(world: World, browser: Browser) -> None:
    for changes, error, code in CHANGED:
        address = browser.leave({"provider": "google", "redirect_to": PLACE})
        said = _error(browser.come_back(address, **changes))
        assert (said["error"], said["error_code"]) == (error, code), changes
    assert world.service.rows("SELECT 1 FROM users") == []


def test_a_provider_that_does_not_name_itself_need_not_but_must_not_be_another(world: World, browser: Browser) -> None:
    world["corp"].names_itself = False
    assert "access_token" in fragment_of(browser.log_in("corp"))
    address = browser.leave({"provider": "corp", "redirect_to": PLACE})
    assert _error(browser.come_back(address, iss=world["google"].url))["error_code"] == "bad_oauth_callback"


def test_a_code_of_another_provider_is_of_no_use(world: World, browser: Browser) -> None:
    """The mix-up of RFC 9700, section 4.4: the honest code is sent to who is not its own."""
    honest = browser.leave({"provider": "google", "redirect_to": PLACE})
    answer, _, _ = world.providers.visit(honest)
    said = _error(browser.come_back(browser.leave({"provider": "corp", "redirect_to": PLACE}), code=answer["code"]))
    assert said["error_code"] == "unexpected_failure"


def test_a_code_of_another_way_is_of_no_use(world: World, browser: Browser) -> None:
    """Injection (RFC 9700, section 4.5): a stolen code in the attacker's own way."""
    stolen, _, _ = world.providers.visit(browser.leave({"provider": "google", "redirect_to": PLACE}))
    mallory = Browser(world)
    reply = mallory.come_back(mallory.leave({"provider": "google", "redirect_to": PLACE}), code=stolen["code"])
    assert _error(reply)["error_code"] == "unexpected_failure"


def test_an_id_token_that_was_made_for_something_else_lets_nobody_in(world: World, browser: Browser) -> None:
    for claims in (
        {"nonce": hash_of_nonce("other")},
        {"audience": APP},
        {"audience": "evil"},
        {"iss": "https://evil.test"},
        {"at_hash": "x"},
    ):
        token = world["google"].token(**{"audience": WEB, **ALICE, **claims})
        world["google"].answers["/token"] = (200, {"id_token": token, "access_token": "a"})
        assert _error(browser.log_in())["error_code"] == "bad_id_token", claims


def test_rubbish_from_the_provider_is_an_error_and_no_failure_of_ours(world: World, browser: Browser) -> None:
    rubbish: list[tuple[int, Any]] = [
        (200, {}),
        (200, []),
        (200, b"<html>"),
        (302, {}),
        (400, b"x" * 300_000),
        (200, {"id_token": 7}),
    ]
    for answer in rubbish:
        world["google"].answers["/token"] = answer
        said = _error(browser.log_in())["error_code"]
        assert said in ("unexpected_failure", "bad_id_token", "provider_unavailable"), answer


def test_a_provider_that_is_down_is_said_to_the_app(world: World, browser: Browser) -> None:
    assert "access_token" in fragment_of(browser.log_in())
    world["google"].answers["/token"] = (503, {})
    said = _error(browser.log_in())
    assert (said["error"], said["error_code"]) == ("temporarily_unavailable", "provider_unavailable")
    world["corp"].is_down = True
    reply = browser.open(f"/auth/v1/authorize?provider=corp&redirect_to={PLACE}")
    assert (reply.status, reply.code) == (503, "provider_unavailable") and reply.headers["Retry-After"]


def test_a_slow_provider_holds_half_of_the_threads_and_no_more(
    make_world: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "TIMEOUT_S", 30)  # so that it is slow on a slow machine, too
    monkeypatch.setattr(provider, "ANSWER_S", 30)
    world = make_world(web_threads=4)
    realm = world["google"]
    realm.person = dict(ALICE)
    browsers = [Browser(world) for _ in range(6)]
    addresses = [browser.leave({"provider": "google", "redirect_to": PLACE}) for browser in browsers]
    realm.holds = threading.Event()
    asked = len(realm.calls)

    def come(number: int) -> str:
        code = query_of(browsers[number].come_back(addresses[number])).get("error_code", "")
        if code == "provider_unavailable":
            return code
        return "let in"

    with ThreadPoolExecutor(6) as pool:
        coming = [pool.submit(come, number) for number in range(6)]
        refused = list(itertools.islice(as_completed(coming), 4))
        assert {one.result() for one in refused} == {"provider_unavailable"}
        assert len(realm.calls) - asked == 2, "the others were not kept waiting for it"
        realm.holds.set()
    assert [one.result() for one in coming].count("let in") == 2


def test_the_providers_own_refusal_is_passed_on(browser: Browser) -> None:
    for error, passed_on in (("access_denied", "access_denied"), ("<script>", "server_error"), ("a b", "server_error")):
        address = browser.leave({"provider": "google", "redirect_to": PLACE})
        said = _error(browser.come_back(address, code=None, error=error, error_description="They said\x07 no&x=y#z"))
        assert said == {"error": passed_on, "error_description": "They said no&x=y#z"}


def test_what_accounts_refuse_is_said_to_the_app(world: World, browser: Browser) -> None:
    world.service.member("alice")
    said = _error(browser.log_in())
    assert (said["error"], said["error_code"]) == ("server_error", "email_exists")
    world["google"].person["email_verified"] = False
    said = _error(browser.log_in())
    assert (said["error"], said["error_code"]) == ("access_denied", "provider_email_needs_verification")


def test_people_are_led_to_the_site_where_a_place_is_not_allowed(browser: Browser) -> None:
    for place in ("https://evil.test", "javascript:alert(1)", "//evil.test", "https://www.example.com@evil.test"):
        reply = browser.log_in(redirect_to=place)
        assert reply.headers["Location"].startswith("https://www.example.com/welcome#access_token="), place


def test_where_there_is_no_place_at_all_nobody_leaves(make_world: Worlds) -> None:
    reply = Browser(make_world(site_url="")).open("/auth/v1/authorize?provider=google&redirect_to=https://evil.test")
    assert (reply.status, reply.code) == (400, "validation_failed")
    lost = Browser(make_world(site_url="")).open("/auth/v1/callback?state=x&code=y")
    assert lost.status == 400 and "text/html" in lost.headers["Content-Type"]


def test_what_cannot_be_asked_is_refused_before_anything_happens(world: World, browser: Browser) -> None:
    half, strange = "code_challenge=x", f"code_challenge={'x' * 43}&code_challenge_method=md5"
    for query in ("provider=github", "", "provider=../google", f"provider=google&{half}", f"provider=google&{strange}"):
        reply = browser.open(f"/auth/v1/authorize?{query}")
        assert (reply.status, reply.code) == (400, "validation_failed"), query
    assert world.service.rows("SELECT 1 FROM external_flows") == []


def test_apple_without_its_key_is_for_devices_alone(make_world: Worlds) -> None:
    browser = Browser(make_world(more={"apple": {"team_id": "", "key_id": "", "private_key": ""}}))
    assert browser.open("/auth/v1/authorize?provider=apple").code == "validation_failed"


def test_a_discovery_document_leads_nowhere_that_secrets_must_not_go(world: World, browser: Browser) -> None:
    for more in (
        {"issuer": "https://evil.test"},
        {"issuer": None},
        {"token_endpoint": "http://169.254.169.254/latest"},
        {"token_endpoint": "http://evil.test/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"userinfo_endpoint": "gopher://evil.test"},
        {"authorization_endpoint": None},
        {"jwks_uri": ["https://evil.test"]},
    ):
        world["google"].more = more
        world.service.parts.providers["google"]._tried_at = 0
        reply = browser.open(f"/auth/v1/authorize?provider=google&redirect_to={PLACE}")
        assert (reply.status, reply.code) == (503, "provider_unavailable"), more
    assert world["google"].fetches == ["/.well-known/openid-configuration"] * 8
    page = browser.open("/auth/v1/authorize?provider=google&return_to=/auth/oauth/authorize")
    assert page.status == 503 and "does not answer now" in page.text, "a person gets a page"


def test_no_token_of_a_provider_is_logged(world: World, browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    world["google"].refresh_token = "refresh-of-google"
    reply = browser.log_in()
    logged = caplog.text + str([record.__dict__ for record in caplog.records])
    assert not any(secret in logged for secret in (fragment_of(reply)["provider_token"], "refresh-of-google"))
