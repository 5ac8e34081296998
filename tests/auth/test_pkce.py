"""POST /token?grant_type=pkce: the code that a link leaves in the browser is worth nothing without the verifier."""

import base64
import hashlib
import secrets
from typing import Any

import pytest

from tests.auth.conftest import Make, Person, Reply, Service, at_once, claims_of, fragment_of, query_of

PLACE = "com.example.app://confirmed"


class App:
    """An app that starts flows; it keeps the verifier."""

    def __init__(self, service: Service, method: str = "s256") -> None:
        self.service, self.method = service, method
        self.verifier = secrets.token_hex(56)

    @property
    def challenge(self) -> dict[str, str]:
        digest = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        challenge = digest if self.method.lower() == "s256" else self.verifier
        return {"code_challenge": challenge, "code_challenge_method": self.method}

    def ask(self, path: str, **members: Any) -> Reply:
        return self.service.post(f"{path}?redirect_to={PLACE}", {**members, **self.challenge})

    def exchange(self, code: str, verifier: str | None = None) -> Reply:
        body = {"auth_code": code, "code_verifier": verifier or self.verifier}
        return self.service.post("/token?grant_type=pkce", body)


@pytest.fixture
def service(make_service: Make) -> Service:
    return make_service(mail_interval_s=0)


@pytest.fixture
def app(service: Service) -> App:
    return App(service)


@pytest.fixture
def alice(service: Service) -> Person:
    return service.member("alice")


def _code(service: Service, email: str) -> str:
    reply = service.press(service.mail_to(email)["link"])
    assert reply.status == 303 and reply.headers["Location"].startswith(f"{PLACE}?code=")
    assert fragment_of(reply) == {}, "no token passes the browser"
    return query_of(reply)["code"]


@pytest.mark.parametrize("method", ["s256", "S256", "plain"])
def test_the_code_and_the_verifier_are_a_session(service: Service, alice: Person, method: str) -> None:
    app = App(service, method)
    assert app.ask("/otp", email=alice.email).status == 200
    reply = app.exchange(_code(service, alice.email))
    assert (reply.status, reply["user"]["email"]) == (200, alice.email)
    assert claims_of(reply["access_token"])["amr"][0]["method"] == "magiclink"


@pytest.mark.parametrize(("path", "members"), [("/magiclink", {}), ("/recover", {}), ("/resend", {"type": "signup"})])
def test_every_mail_takes_a_challenge(service: Service, app: App, path: str, members: dict[str, str]) -> None:
    bob = service.person("bob")
    bob.sign_up()
    assert app.ask(path, email=bob.email, **members).status == 200
    assert app.exchange(_code(service, bob.email)).status == 200


def test_so_do_a_sign_up_and_a_change_of_address(service: Service, app: App) -> None:
    bob = service.person("bob")
    assert app.ask("/signup", email=bob.email, password=bob.password).status == 200
    bob.session = app.exchange(_code(service, bob.email)).json
    assert bob.change(redirect_to=PLACE, email="bob@new.example.com", **app.challenge).status == 200
    first = service.press(service.mail_to(bob.email)["link"])
    assert "?message=Confirmation" in first.text
    assert app.exchange(_code(service, "bob@new.example.com"))["user"]["email"] == "bob@new.example.com"


def test_a_wrong_verifier_is_refused_and_uses_the_code_up(service: Service, app: App, alice: Person) -> None:
    app.ask("/otp", email=alice.email)
    code = _code(service, alice.email)
    reply = app.exchange(code, secrets.token_hex(56))
    assert (reply.status, reply.code) == (400, "bad_code_verifier")
    assert app.exchange(code).code == "flow_state_not_found"


def test_the_challenge_itself_is_no_verifier(service: Service, app: App, alice: Person) -> None:
    app.ask("/otp", email=alice.email)
    reply = app.exchange(_code(service, alice.email), app.challenge["code_challenge"])
    assert reply.code == "bad_code_verifier"


def test_a_code_is_good_for_five_minutes(service: Service, app: App, alice: Person) -> None:
    app.ask("/otp", email=alice.email)
    code = _code(service, alice.email)
    (row,) = service.rows("SELECT extract(epoch FROM expires_at - created_at)::int AS age_s FROM auth_codes")
    assert 299 <= row["age_s"] <= 301
    service.rows("UPDATE auth_codes SET expires_at = now()")
    reply = app.exchange(code)
    assert (reply.status, reply.code) == (422, "flow_state_expired")


def test_codes_are_hashed_at_rest(service: Service, app: App, alice: Person) -> None:
    app.ask("/otp", email=alice.email)
    code = _code(service, alice.email)
    (row,) = service.rows("SELECT auth_codes::text AS text, code_hash FROM auth_codes")
    assert code not in row["text"]
    assert bytes(row["code_hash"]) == hashlib.sha256(code.encode()).digest()


def test_an_unknown_code_is_not_found(app: App) -> None:
    reply = app.exchange("unknown")
    assert (reply.status, reply.code) == (404, "flow_state_not_found")


def test_of_twenty_exchanges_of_one_code_at_once_one_wins(service: Service, app: App, alice: Person) -> None:
    app.ask("/otp", email=alice.email)
    code = _code(service, alice.email)
    before = len(service.rows("SELECT 1 FROM sessions"))
    assert sorted(reply.status for reply in at_once(lambda _: app.exchange(code))) == [200] + [404] * 19
    assert len(service.rows("SELECT 1 FROM sessions")) == before + 1


@pytest.mark.parametrize(
    ("challenge", "named"),
    [
        ({"code_challenge": "x" * 43}, "code_challenge_method"),
        ({"code_challenge_method": "s256"}, "code_challenge"),
        ({"code_challenge": "x" * 42, "code_challenge_method": "s256"}, "code_challenge"),
        ({"code_challenge": "x" * 129, "code_challenge_method": "s256"}, "code_challenge"),
        ({"code_challenge": "ä" * 43, "code_challenge_method": "s256"}, "code_challenge"),
        ({"code_challenge": "x" * 43, "code_challenge_method": "md5"}, "code_challenge_method"),
    ],
)
@pytest.mark.parametrize("path", ["/otp", "/magiclink", "/recover", "/signup"])
def test_half_a_challenge_or_a_strange_one_is_refused_before_anything_happens(
    service: Service, path: str, challenge: dict[str, str], named: str
) -> None:
    reply = service.post(path, {"email": "new@example.com", "password": "long enough", **challenge})
    assert (reply.status, reply.code) == (400, "validation_failed")
    assert named in reply["detail"] or "PKCE flow requires" in reply["detail"]
    assert service.rows("SELECT 1 FROM users") == []


def test_in_the_app_the_hash_of_the_link_needs_no_code(service: Service, app: App, alice: Person) -> None:
    app.ask("/otp", email=alice.email)
    assert alice.verify("magiclink", token_hash=service.mail_to(alice.email)["token_hash"]).status == 200


def test_what_is_missing_is_named(service: Service) -> None:
    reply = service.post("/token?grant_type=pkce", {"auth_code": "x"})
    assert reply["errors"][0]["pointer"] == "#/code_verifier"
    assert service.post("/token?grant_type=pkce", {})["errors"][0]["pointer"] == "#/auth_code"
