"""Captchas: asked for wherever somebody begins, judged by a provider that may say no, be slow, or be gone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.local.ports import free_ports
from services.auth.config import AuthSettings
from tests.auth.browsers import LOG_IN, Tab
from tests.auth.conftest import PASSWORD, Make, Person, Reply, Service, at_once
from tests.support.captchas import SECRET, CaptchaProvider, carrying

EMAIL = "alice@example.com"
GUARDED: dict[str, dict[str, Any]] = {
    "/signup": {"email": EMAIL, "password": PASSWORD},
    "/token?grant_type=password": {"email": EMAIL, "password": PASSWORD},
    "/otp": {"email": EMAIL},
    "/magiclink": {"email": EMAIL},
    "/recover": {"email": EMAIL},
    "/resend": {"type": "signup", "email": EMAIL},
}


@pytest.fixture(scope="module")
def running() -> Iterator[CaptchaProvider]:
    provider = CaptchaProvider()
    yield provider
    provider.close()


@pytest.fixture
def provider(running: CaptchaProvider) -> CaptchaProvider:
    """As if new."""
    running.solved.clear()
    running.asked.clear()
    running.status, running.pause_s, running.forgets = 200, 0.0, True
    running.more = {"hostname": "app.example.com", "action": "login"}
    return running


@pytest.fixture
def guard(make_service: Make, provider: CaptchaProvider) -> Callable[..., Service]:
    def make(**changes: Any) -> Service:
        defaults = {"captcha_provider": "turnstile", "captcha_secret": SECRET, "captcha_url": provider.url}
        return make_service(guests=True, **{**defaults, **changes})

    return make


def _refused(reply: Reply, reason: str) -> bool:
    said = f"captcha protection: request disallowed ({reason})"
    return (reply.status, reply.code, reply["msg"]) == (400, "captcha_failed", said)


def test_every_way_in_asks_for_a_captcha_and_takes_one_that_was_solved(
    guard: Callable[..., Service], provider: CaptchaProvider
) -> None:
    service = guard()
    for path, body in {**GUARDED, "/signup?": {"data": {}}}.items():
        assert _refused(service.post(path, body), "no captcha_token found"), path
        assert _refused(service.post(path, body | carrying("forged")), "invalid-input-response"), path
        solved = service.post(path, body | provider.solve(f"token for {path}"))
        assert solved.code != "captcha_failed" and solved.status in (200, 400), path
        assert _refused(service.post(path, body | carrying(f"token for {path}")), "invalid-input-response"), path
    assert len(service.rows("SELECT id FROM users")) == 2, "one with an address, one guest"


def test_a_whole_log_in_goes_through_with_captchas_and_a_refresh_needs_none(
    guard: Callable[..., Service], provider: CaptchaProvider
) -> None:
    service = guard(captcha_provider="hcaptcha")
    alice = service.person("alice")
    assert alice.sign_up(**provider.solve("1")).status == 200
    assert alice.confirm().status == 200
    body = {"email": EMAIL, "password": PASSWORD, **provider.solve("2")}
    assert alice.keep(service.post("/token?grant_type=password", body, {"X-Forwarded-For": "192.0.2.7"})).status == 200
    assert alice.refresh().status == 200
    assert provider.asked[-1] == {"secret": SECRET, "response": "2", "remoteip": "192.0.2.7"}
    assert len(provider.asked) == 2


def test_a_token_is_good_once_even_if_the_provider_does_not_see_to_it(
    guard: Callable[..., Service], provider: CaptchaProvider
) -> None:
    provider.forgets = False
    service = guard(web_threads=16)
    solved = provider.solve("the same")
    replies = at_once(lambda n: service.post("/recover", {"email": f"p{n}@example.com", **solved}), 8)
    assert sorted(reply.status for reply in replies) == [200] + [400] * 7
    assert _refused(service.post("/recover", {"email": EMAIL, **solved}), "timeout-or-duplicate")


def test_a_captcha_of_another_page_or_for_something_else_is_refused_if_that_is_asked_for(
    guard: Callable[..., Service], provider: CaptchaProvider
) -> None:
    service = guard(captcha_hostnames="www.example.com, app.example.com", captcha_action="login")
    body = {"email": EMAIL}
    assert service.post("/recover", body | provider.solve("1")).status == 200
    provider.more = {"hostname": "evil.example", "action": "login"}
    assert _refused(service.post("/recover", body | provider.solve("2")), "hostname-mismatch")
    provider.more = {"hostname": "app.example.com", "action": "comment"}
    assert _refused(service.post("/recover", body | provider.solve("3")), "action-mismatch")
    provider.more = {}
    assert _refused(service.post("/recover", body | provider.solve("4")), "hostname-mismatch")


def test_only_true_is_success(guard: Callable[..., Service], provider: CaptchaProvider) -> None:
    service = guard()
    for answer in ("true", 1, [], {"a": 1}, None):
        provider.more = {"success": answer}
        assert _refused(service.post("/recover", {"email": EMAIL, **provider.solve("t")}), "not solved")
    provider.more = {"success": False, "error-codes": "no list"}
    assert _refused(service.post("/recover", {"email": EMAIL, **provider.solve("t")}), "not solved")


def test_a_provider_that_fails_keeps_people_out_or_is_passed_over_as_the_operator_says(
    guard: Callable[..., Service], provider: CaptchaProvider
) -> None:
    (nobody,) = free_ports(1)
    gone = f"http://127.0.0.1:{nobody}/siteverify"
    for closed, is_open in (
        (guard(), guard(captcha_fail_open=True)),
        (guard(captcha_url=gone), guard(captcha_url=gone, captcha_fail_open=True)),
    ):
        provider.status = 500
        refused = closed.post("/recover", {"email": EMAIL, **provider.solve("1")})
        assert (refused.status, refused.code) == (503, "captcha_unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        assert is_open.post("/recover", {"email": EMAIL, **provider.solve("2")}).status == 200
        assert _refused(is_open.post("/recover", {"email": EMAIL}), "no captcha_token found")


def test_a_slow_provider_has_its_time_and_no_more(guard: Callable[..., Service], provider: CaptchaProvider) -> None:
    provider.pause_s = 0.5
    service = guard(captcha_timeout_s=0.1)
    assert service.post("/recover", {"email": EMAIL, **provider.solve("late")}).code == "captcha_unavailable"


def test_a_slow_provider_never_holds_all_threads(guard: Callable[..., Service], provider: CaptchaProvider) -> None:
    provider.pause_s = 0.5
    service = guard(web_threads=4)
    tokens = [provider.solve(str(n)) for n in range(10)]
    replies = at_once(lambda n: service.post("/recover", {"email": EMAIL, **tokens[n]}), 10)
    assert sorted(reply.status for reply in replies) == [200] * 3 + [503] * 7


def test_where_no_captcha_is_asked_for_a_token_is_ignored(service: Service) -> None:
    for meta in ({"captcha_token": "x" * 20_000}, {"captcha_token": None}, {}, None, {"else": 1}):
        assert service.post("/recover", {"email": EMAIL, "gotrue_meta_security": meta}).status == 200


def test_neither_the_secret_nor_a_token_is_in_a_log(
    guard: Callable[..., Service], provider: CaptchaProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    service = guard()
    wrong = guard(captcha_secret="another-secret")
    provider.pause_s = 0
    for asked in (service, wrong):
        asked.post("/recover", {"email": EMAIL, **provider.solve("a-token-of-somebody")})
    provider.status = 500
    service.post("/recover", {"email": EMAIL, **provider.solve("a-token-of-somebody")})
    logged = "".join(capsys.readouterr())
    assert "captcha provider" in logged and "does not know CAPTCHA_SECRET" in logged
    for secret in (SECRET, "another-secret", "a-token-of-somebody"):
        assert secret not in logged and secret not in repr(service.parts)


def test_a_captcha_without_a_secret_is_a_mistake(make_settings: Callable[..., AuthSettings]) -> None:
    for changes, said in (
        ({"captcha_provider": "turnstile"}, "CAPTCHA_SECRET is missing"),
        ({"captcha_provider": "recaptcha", "captcha_secret": "x"}, "turnstile"),
        ({"captcha_url": "nowhere"}, "URL"),
    ):
        with pytest.raises(ValueError, match=said):
            make_settings(**changes)
    settings = make_settings(captcha_provider="turnstile", captcha_secret="x")
    assert settings.siteverify_url == "https://challenges.cloudflare.com/turnstile/v0/siteverify"
    settings = make_settings(captcha_provider="hcaptcha", captcha_secret="x")
    assert settings.siteverify_url == "https://api.hcaptcha.com/siteverify"


def test_a_wrong_password_costs_a_captcha_each(guard: Callable[..., Service], provider: CaptchaProvider) -> None:
    service = guard()
    body = {"email": EMAIL, "password": "a guess", **provider.solve("1")}
    assert service.post("/token?grant_type=password", body).code == "invalid_credentials"
    assert service.post("/token?grant_type=password", body).code == "captcha_failed"
    assert Person(service, EMAIL).log_in().code == "captcha_failed"


PAGES = ["login", "login/forgotten", "login/sign-up"]


@pytest.mark.parametrize(
    ("name", "field", "script"),
    [
        ("turnstile", "cf-turnstile-response", "https://challenges.cloudflare.com/turnstile/v0/api.js"),
        ("hcaptcha", "h-captcha-response", "https://js.hcaptcha.com/1/api.js"),
    ],
)
def test_the_log_in_pages_show_one_and_are_no_way_around_it(
    guard: Callable[..., Service], provider: CaptchaProvider, name: str, field: str, script: str
) -> None:
    service = guard(captcha_provider=name, captcha_site_key='0x4AAA"><b>', captcha_action="login")
    tab = Tab(service)
    typed = {"email": EMAIL, "password": PASSWORD}
    for path in PAGES:
        page = tab.open(LOG_IN.replace("login?", f"{path}?"))
        (widget,) = [said for tag, said in page.tags if tag == "div"]
        assert (widget["data-sitekey"], widget["data-action"]) == ('0x4AAA"><b>', "login")
        scripts = [said for tag, said in page.tags if tag == "script" and said["src"] == script]
        policy = page.headers["Content-Security-Policy"]
        assert len(scripts) == 1 and f"'nonce-{scripts[0]['nonce']}' https://" in policy and "unsafe" not in policy
        refused = tab.send(page.form, **typed)
        assert (refused.status, refused.alert) == (400, "Show that you are no robot, then try again."), path
        provider.solve(path)
        passed = tab.send(page.form, **typed, **{field: path})
        assert passed.alert in ("", "Address or password is wrong."), path
        assert tab.send(page.form, **typed, **{field: path}).status == 400, "it is good once"
    form = tab.open(LOG_IN).form
    form.action = "/auth/oauth/login/code"
    assert tab.send(form, **typed).status == 400
    provider.solve("code")
    assert tab.send(form, **typed, **{field: "code"}).status == 200


def test_pages_that_cannot_show_one_let_nobody_begin(guard: Callable[..., Service]) -> None:
    tab = Tab(guard())
    page = tab.send(tab.open(LOG_IN).form, email=EMAIL, password=PASSWORD)
    assert page.status == 400 and page.alert.startswith("This page cannot show that you are no robot.")
    assert "challenges.cloudflare.com" not in page.headers["Content-Security-Policy"] + page.html
