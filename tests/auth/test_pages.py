"""What holds for every page that people see: closed to other sites, no markup of strangers, no form without its token.

The pages are found, not listed: every public route is asked, and whoever answers with HTML is held to all of this.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from services.auth import pages
from services.auth.browser import Visitor, form_token
from services.auth.pages.layout import FOLDER
from services.auth.pages.second_factor import PURPOSE as SECOND_FACTOR
from tests.auth.authenticators import App
from tests.auth.browsers import LOG_IN, ORIGIN, RETURN_TO, Form, Page, Tab
from tests.auth.conftest import Person, Service

SCRIPT = "/auth/oauth/login/passkey.js"
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}</style>&<b>"
ATTACKS = [
    EVIL,
    "javascript:alert(1)",
    "x' autofocus onfocus=alert(1) y='",
    "\u202e</title><script>1</script>",
    "%3Cscript%3E",
    "//[",
]
TAGS = {
    *("html", "head", "meta", "title", "style", "script", "body", "main", "h1", "p", "a", "small", "noscript"),
    *("form", "input", "label", "button", "dl", "dt", "dd", "ul", "li"),
}


def html_routes(service: Service) -> Iterator[tuple[str, str]]:
    """Method and path of each public route that answers with HTML to whoever knows nothing."""
    client = service.app.test_client()
    for rule in service.app.url_map.iter_rules():
        access = getattr(service.app.view_functions[rule.endpoint], "access", None)
        if access is None or access.kind != "public" or "<" in rule.rule:
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            query = "?type=signup&token_hash=x" if rule.rule.endswith("/verify") else ""
            form = {"type": "signup", "token_hash": "x"} if rule.rule.endswith("/confirm") else {"a": "b"}
            answer = client.open(
                rule.rule + query, method=method, base_url=ORIGIN, data=form if method == "POST" else None
            )
            if answer.content_type.startswith("text/html"):
                yield method, rule.rule


def assert_closed(page: Page) -> None:
    """Nothing of others runs, frames, caches or hears of it."""
    if "Location" in page.headers:
        assert page.headers["Cache-Control"] == "no-store"
        return
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in str(policy) and "*" not in str(policy) and "data:" not in str(policy)
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy["style-src"])
    assert re.fullmatch(r"'nonce-[\w-]{22}'", policy.get("script-src", f"'nonce-{'x' * 22}'"))
    assert re.fullmatch(r"'self'( [a-z][\w.+-]*:(//[\w.:-]+)?)?", policy["form-action"])
    assert page.headers["X-Frame-Options"] == "DENY" and page.headers["Cache-Control"] == "no-store"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] in ("same-origin", "no-referrer")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for cookie in page.headers.getlist("Set-Cookie"):
        assert cookie.startswith("__Host-gatehouse=")
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


def assert_clean(page: Page) -> None:
    """Of the words of strangers nothing is markup; there is one script, ours, and one form of every field."""
    for tag, said in page.tags:
        assert tag in TAGS, (tag, page.html)
        assert not [name for name in said if name.startswith("on") or name == "style"], (tag, said)
        assert tag != "script" or (said["src"] == SCRIPT and said.keys() == {"src", "nonce"}), said
        assert tag != "form" or said.get("action", "") in ACTIONS, said
    assert all(link.startswith(("/auth/oauth/", "https://www.example.com", "com.example.app:")) for link in page.links)
    assert "49</" not in page.html and "<script>" not in page.html
    assert page.tags[0] == ("html", {"lang": "en"})
    for form in page.forms:
        assert form.method == "post"
        for name, said in form.inputs.items():
            assert said.get("type") == "hidden" or "autocomplete" in said, f"{name} says what it is for"


ACTIONS = {
    "verify/confirm",
    "/auth/oauth/login",
    "/auth/oauth/login/passkey",
    "/auth/oauth/login/code",
    "/auth/oauth/login/code/check",
    "/auth/oauth/login/forgotten",
    "/auth/oauth/login/sign-up",
    "/auth/oauth/login/second-factor",
    "/auth/oauth/login/second-factor/text",
    "/auth/oauth/authorize",
    "/auth/oauth/logout",
}
# Whom each form is sent as, beside the fields that it has: with these it would do something.
FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "/auth/oauth/login": ("log in", {"email": "alice@example.com", "password": "correct horse battery staple"}),
    "/auth/oauth/login/passkey": ("log in", {"credential": "{}", "challenge_id": "x"}),
    "/auth/oauth/login/code": ("log in", {"email": "alice@example.com"}),
    "/auth/oauth/login/code/check": ("log in", {"email": "alice@example.com", "code": "123456"}),
    "/auth/oauth/login/forgotten": ("log in", {"email": "alice@example.com"}),
    "/auth/oauth/login/sign-up": ("log in", {"email": "new@example.com", "password": "correct horse battery staple"}),
    "/auth/oauth/login/second-factor": (SECOND_FACTOR, {"code": "123456"}),
    "/auth/oauth/login/second-factor/text": (SECOND_FACTOR, {}),
}
# Forms that are held to their token elsewhere, or whose secret is the token: nobody else can have it.
HELD_ELSEWHERE = {
    "/auth/v1/verify/confirm",
    "/auth/v1/callback",  # tests/auth/external/test_redirects.py
    "/auth/oauth/authorize",  # tests/auth/oauth/test_authorize.py
    "/auth/oauth/logout",  # tests/auth/oauth/test_end_session.py
}


OAUTH_NAMES = [
    *("client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge", "prompt", "max_age"),
    *("login_hint", "id_token_hint", "post_logout_redirect_uri", "ui_locales", "resource", "decision", "form_token"),
]


@pytest.fixture
def halfway(service: Service, alice: Person) -> Tab:
    """A browser in which alice has shown her password, and owes the code of her app."""
    App(alice).answer()
    tab = Tab(service)
    tab.log_in(alice)
    return tab


def _send(tab: Tab, path: str, token: str | None, **headers: str) -> Page:
    fields = {"return_to": RETURN_TO, **FORMS[path][1]}
    if token is not None:
        fields["form_token"] = token
    return tab.send(Form(path, fields=fields), headers)


def _state(service: Service) -> str:
    tables = ("users", "sessions", "browsers", "one_time_tokens", "outbox", "factor_challenges")
    return str([service.rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables])  # noqa: S608


def _token(service: Service, tab: Tab, purpose: str) -> str:
    with service.app.test_request_context():
        return form_token(Visitor(tab.cookie or ""), purpose)


def test_every_page_is_closed_to_other_sites_and_shows_nothing_of_strangers(service: Service, halfway: Tab) -> None:
    found = list(html_routes(service))
    assert len(found) >= 14, found
    for method, path in found:
        names = _names(service, method, path)
        for attack in ATTACKS:
            for values in (dict.fromkeys(names, attack), {**dict.fromkeys(names, attack), "return_to": RETURN_TO}):
                if "verify" in path:
                    values |= {"type": "signup", "token_hash": attack}
                page = _call(halfway, method, path, values)
                assert page.status < 500, (path, values)
                assert_closed(page)
                if "Location" not in page.headers:
                    assert_clean(page)


def _names(service: Service, method: str, path: str) -> list[str]:
    """The query parameters or form fields of a route, as its OpenAPI description has them."""
    document = service.app.test_client().get("/openapi.json").get_json()
    operation = document["paths"][path][method.lower()]
    names = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
    names += OAUTH_NAMES if path in ("/auth/oauth/authorize", "/auth/oauth/logout") else []
    for content in operation.get("requestBody", {}).get("content", {}).values():
        names += document["components"]["schemas"][content["schema"]["$ref"].rsplit("/", 1)[1]]["properties"]
    return names


def _call(tab: Tab, method: str, path: str, values: dict[str, str]) -> Page:
    if method == "GET":
        return tab.open(f"{path}?{urlencode(values)}")
    return tab.send(Form(path, fields=values))


def test_every_form_is_known_to_the_test_of_its_token(service: Service) -> None:
    posts = {path for method, path in html_routes(service) if method == "POST"}
    assert posts - HELD_ELSEWHERE == FORMS.keys()


@pytest.mark.parametrize("path", FORMS)
def test_a_form_without_its_token_or_from_another_site_does_nothing(service: Service, halfway: Tab, path: str) -> None:
    other, purpose = Tab(service), FORMS[path][0]
    other.open(LOG_IN)
    right = _token(service, halfway, purpose)
    before = _state(service)
    for token in (None, "", "x" * 64, _token(service, halfway, "another purpose"), _token(service, other, purpose)):
        _assert_refused(_send(halfway, path, token), token)
    for headers in CROSS_SITE:
        _assert_refused(_send(halfway, path, right, **headers), headers)
    assert _state(service) == before
    accepted = _send(halfway, path, right)
    assert (accepted.alert != REFUSED and accepted.status != 403) or "code/check" in path


CROSS_SITE = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://other.example.com"},
    {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "", "Origin": "null"},
]
REFUSED = "The page was open for too long, or your browser keeps no cookies. Try again."


def _assert_refused(page: Page, why: object) -> None:
    assert (page.status, page.alert) == (403, REFUSED), why
    assert_closed(page)


def test_a_stranger_cannot_log_a_browser_in_to_their_own_account(service: Service, mallory: Person) -> None:
    """Log-in CSRF: mallory's form, token and all, sent by the victim's browser."""
    own, victim = Tab(service), Tab(service)
    form = own.open(LOG_IN).form
    victim.open(LOG_IN)
    page = victim.send(form, email=mallory.email, password=mallory.password)
    assert page.status == 403 and victim.session_id() is None


def test_the_button_of_a_mails_link_is_not_pressed_by_another_site(service: Service) -> None:
    alice = service.person("alice")
    alice.sign_up()
    link = service.mail_to(alice.email)["link"]
    for headers in CROSS_SITE[:3]:
        form = Page(service.app.test_client().get(link)).form
        sent = {name: value for name, value in headers.items() if value}
        answer = service.app.test_client().post("/auth/v1/verify/confirm", data=form.fields, headers=sent)
        assert answer.status_code == 403
        assert_closed(Page(answer))
    assert alice.log_in().code == "email_not_confirmed"
    assert service.press(link).status == 303


def test_the_script_is_for_own_pages_only_and_holds_nothing_of_anybody(service: Service) -> None:
    answer = service.app.test_client().get(SCRIPT)
    assert answer.content_type == "text/javascript; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "innerHTML" not in answer.text and "eval" not in answer.text and "fetch" not in answer.text


@pytest.fixture
def shown(service: Service) -> Callable[..., Page]:
    """A page made by a function, as an answer to a request."""

    def show(make: Callable[..., Any], *arguments: Any, **named: Any) -> Page:
        with service.app.test_request_context(RETURN_TO):
            response = service.app.process_response(make(*arguments, **named))
        response.status_code = response.status_code
        return Page(_Answer(response))  # type: ignore[arg-type]

    return show


class _Answer:
    def __init__(self, response: Any) -> None:
        self.status_code, self.headers, self.text = (
            response.status_code,
            response.headers,
            response.get_data(as_text=True),
        )


@pytest.mark.parametrize("attack", ATTACKS)
def test_names_of_apps_accounts_scopes_and_errors_are_words_and_no_markup(
    shown: Callable[..., Page], attack: str
) -> None:
    place = "https://www.example.com/back"
    for page in (
        shown(pages.consent, attack, place, [attack, "email"], {"state": attack, "form_token": "x"}, attack),
        shown(pages.consent, attack, f"com.example.app:/{attack}", [], {attack: attack}, attack),
        shown(pages.refusal, attack, attack, 400),
        shown(pages.ask_to_log_out, attack, {"state": attack, attack: "x"}, leads_to=attack),
        shown(pages.signed_out, f"https://www.example.com/?{attack}"),
        shown(pages.expired, f"https://www.example.com/?{attack}"),
    ):
        assert_closed(page)
        assert_clean(page)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("https://www.example.com/back?x=1", "https://www.example.com"),
        ("http://127.0.0.1:51234/back", "http://127.0.0.1:51234"),
        ("http://[::1]:51234/back", "http:"),
        ("com.example.app:/back", "com.example.app:"),
        ("COM.example.app:/back", "com.example.app:"),
        ("https://a.example;script-src *", None),
        ("https://a.example 'unsafe-inline'", None),
        ("https://u:p@a.example", None),
        ("https://*", None),
        ("https://[", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("x;y:z", None),
        ("", None),
        ("é:x", None),
    ],
)
def test_the_place_a_form_leads_to_is_one_source_of_the_policy_or_none(
    service: Service, shown: Callable[..., Page], place: str, source: str | None
) -> None:
    expected = f"form-action 'self'{f' {source}' if source else ''}; "
    asked = shown(pages.consent, "App", place, [], {}, "alice@example.com") if source else None
    return_to = f"/auth/oauth/authorize?{urlencode({'redirect_uri': place})}"
    for page in filter(None, (asked, Tab(service).open(f"/auth/oauth/login?{urlencode({'return_to': return_to})}"))):
        assert expected in page.headers["Content-Security-Policy"]
        assert_closed(page)


def test_the_consent_page_says_who_asks_where_it_leads_whose_account_and_what_for(shown: Callable[..., Page]) -> None:
    hidden = {"client_id": "app", "form_token": "t"}
    page = shown(pages.consent, "Notes", "com.example.app:/back", ["openid", "email"], hidden, "alice@example.com")
    for words in ("Notes asks for access", "alice@example.com", "com.example.app", "see your e-mail address"):
        assert words in page.html
    assert page.form.fields == hidden
    assert [(button["name"], button["value"]) for button in page.form.buttons] == [
        ("decision", "allow"),
        ("decision", "deny"),
    ]
    assert page.links == [LOG_IN], "not you?"


THEMES = re.compile(r":root\{([^}]*)\}")
# What stands on what, and the contrast it needs (WCAG 2.2, 1.4.3 and 1.4.11).
PAIRS = [
    *[(text, "card", 4.5) for text in ("text", "soft", "blue")],
    ("text", "back", 4.5),
    ("text", "pink", 4.5),
    ("on-blue", "blue", 4.5),
    *[(edge, "card", 3.0) for edge in ("line", "red", "blue")],
]


def test_text_and_edges_have_contrast_enough_by_day_and_by_night() -> None:
    themes = THEMES.findall((FOLDER / "style.css").read_text())
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+):#([0-9a-f]{3,6})\b", theme))
        for front, back, least in PAIRS:
            light, dark = sorted((_luminance(colours[front]), _luminance(colours[back])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= least, (front, back, theme)


def _luminance(colour: str) -> float:
    """Relative luminance, as WCAG defines it."""
    digits = "".join(digit * 2 for digit in colour) if len(colour) == 3 else colour
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_names_of_factors_and_of_the_site_are_words_and_no_markup(make_service: Any) -> None:
    service = make_service(webauthn_rp_name=EVIL)
    alice = service.member("alice")
    for name in (EVIL, ATTACKS[2]):
        App(alice, name[:100]).answer()
    tab = Tab(service)
    page = tab.open(tab.log_in(alice).headers["Location"])
    assert page.status == 200 and "alert(1)" in page.html
    assert_closed(page)
    assert_clean(page)
