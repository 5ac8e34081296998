"""Places an app may name as `redirect_to`, and those that must lead nobody away."""

import pytest

from services.auth.places import Places, with_fragment, with_query
from tests.auth.conftest import Service, fragment_of

PATTERNS = [
    "com.example.app://confirmed",
    "https://exact.example.com/callback",
    "https://*.apps.example.com/callback",
    "https://wide.example.com/**",
    "https://one.example.com/*/done",
    "http://localhost:*/callback",
    "myapp://**",
    "https://letter.example.com/a?c",
]
PLACES = Places("https://www.example.com/welcome", PATTERNS)


@pytest.mark.parametrize(
    "place",
    [
        "https://www.example.com/welcome",
        "https://www.example.com/any/path?x=1",
        "https://WWW.example.com/any",
        "com.example.app://confirmed",
        "https://exact.example.com/callback",
        "https://exact.example.com/callback#part",
        "https://pr-12.apps.example.com/callback",
        "https://wide.example.com/a/b.c?x=1&y=2",
        "https://one.example.com/en/done",
        "http://localhost:5173/callback",
        "myapp://anything/at.all?x",
        "https://letter.example.com/abc",
    ],
)
def test_these_are_allowed(place: str) -> None:
    assert PLACES.allows(place)
    assert PLACES.choose(place) == place


@pytest.mark.parametrize(
    "place",
    [
        "",
        "https://evil.example",
        "//evil.example",
        "///evil.example",
        "/welcome",
        "http://www.example.com/welcome",
        "https://www.example.com:8443/welcome",
        "https://www.example.com.evil.example/welcome",
        "https://www.example.com@evil.example/welcome",
        "https://evil.example@www.example.com/welcome",
        "https://www.example.com\\@evil.example",
        "https:\\\\www.example.com\\welcome",
        "https:/\\www.example.com/welcome",
        "https://evil.example\\.www.example.com",
        "\thttps://www.example.com/welcome",
        "https://www.exa\nmple.com/welcome",
        " https://www.example.com/welcome",
        "https://www.example.com/\x00",
        "https://www.example.com/ä",
        "https://www。example.com/welcome",
        "javascript:alert(1)",
        "JavaScript://www.example.com/%0aalert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://www.example.com/x",
        "https://exact.example.com/callback/",
        "https://exact.example.com/callback?x=1",
        "https://exact.example.com/callbacks",
        "https://exact.example.com:1/callback",
        "https://user:pw@exact.example.com/callback",
        "https://a.b.apps.example.com/callback",
        "https://evil.example/.apps.example.com/callback",
        "https://evil?.apps.example.com/callback",
        "https://evil#.apps.example.com/callback",
        "https://evil%2f.apps.example.com/callback",
        "https://.apps.example.com/callback",
        "https://wide.example.com.evil.example/",
        "https://wide.example.com",
        "https://one.example.com/a/b/done",
        "https://one.example.com/a.b/done",
        "http://localhost:5173@evil.example/callback",
        "http://localhost:evil.example/callback",
        "https://letter.example.com/a/c",
        "com.example.app://confirmed/more",
        "com.example.app.evil://confirmed",
        "https://2130706433/callback",
        "https://0x7f000001/callback",
        "https://[::ffff:10.0.0.1]/callback",
        "https://[",
        "x" * 3000,
    ],
)
def test_these_are_not_and_lead_to_the_site(place: str) -> None:
    assert not PLACES.allows(place)
    assert PLACES.choose(place) == "https://www.example.com/welcome"


@pytest.mark.parametrize(
    "place",
    ["https://2130706433/", "https://0x7f.1/", "http://10.0.0.1/", "https://a_b/", "javascript:alert(1)", "data:,x"],
)
def test_not_even_a_pattern_of_everything_allows_what_hides_where_it_leads(place: str) -> None:
    assert not Places("", ["https://**", "http://**", "https://**/**", "http://**/**", "**"]).allows(place)


def test_on_loopback_an_app_chooses_its_port() -> None:
    places = Places("http://127.0.0.1:3000", [])
    assert places.allows("http://127.0.0.1:49152/callback")
    assert not places.allows("http://127.0.0.2:3000/callback")


def test_without_a_site_there_is_no_place_but_those_named() -> None:
    assert Places("", ["myapp://x"]).choose("https://evil.example") is None


def test_what_is_put_on_a_place_leaves_the_rest_as_it_was() -> None:
    assert with_fragment("myapp://#old", {"a": "1 2"}) == "myapp://#a=1+2"
    assert with_query("https://a.example/p?x=%20&y#old", {"code": "c"}) == "https://a.example/p?x=+&y=&code=c"
    assert with_query("myapp://", {"code": "c"}) == "myapp://?code=c"


@pytest.mark.parametrize("place", ["https://evil.example", "javascript:alert(1)", "//evil.example", ""])
@pytest.mark.parametrize("path", ["/signup", "/otp", "/recover"])
def test_a_mail_names_no_other_place_and_its_button_leads_to_none(service: Service, path: str, place: str) -> None:
    alice = service.person("alice")
    if path == "/recover":
        service.member("alice")
    body = {"email": alice.email, "password": alice.password}
    service.call("POST", path, body=body, query_string={"redirect_to": place})
    mail = service.mail_to(alice.email)
    assert "redirect_to" not in mail
    form = {"token_hash": mail["token_hash"], "type": mail["type"], "redirect_to": place}
    reply = service.call("POST", "/verify/confirm", data=form)
    assert reply.headers["Location"].startswith("https://www.example.com/welcome#")
    assert "access_token" in fragment_of(reply)
