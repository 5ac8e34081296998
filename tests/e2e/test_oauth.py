"""The OAuth provider through the gateway: a client library that we did not write, and what its tokens do not open."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.auth.browsers import Form, Page
from tests.support.platform import Platform
from tests.support.signed_up import PASSWORD, SignedUp

PLACE, BYE = "https://app.test/back", "https://app.test/bye"
VERIFIER = "a verifier that the app made up and keeps to itself".replace(" ", "-")


@dataclass
class Window:
    """A browser without script, on the real gateway."""

    gateway: str
    session: requests.Session

    def open(self, path: str) -> Page:
        url = path if path.startswith("http") else f"{self.gateway}{path}"
        return Page(self.session.get(url, allow_redirects=False, timeout=20))  # type: ignore[arg-type]

    def send(self, form: Form, **typed: str) -> Page:
        headers = {"Origin": self.gateway, "Sec-Fetch-Site": "same-origin"}
        url, data = f"{self.gateway}{form.action}", {**form.fields, **typed}
        answer = self.session.post(url, data=data, headers=headers, allow_redirects=False, timeout=20)
        return Page(answer)  # type: ignore[arg-type]

    def agree(self, url: str, person: SignedUp) -> str:
        """Log in and allow, as far as the pages ask; where it leads to."""
        page = self.open(url)
        if "/login" in page.headers.get("Location", ""):
            log_in = self.open(page.headers["Location"])
            page = self.open(self.send(log_in.form, email=person.email, password=PASSWORD).headers["Location"])
        if page.status == 200:
            page = self.send(page.form, decision="allow")
        assert page.status == 303, page.html
        return page.headers["Location"]


@pytest.fixture(scope="module")
def alice(platform: Platform) -> SignedUp:
    return SignedUp(platform)


@pytest.fixture
def window(platform: Platform) -> Iterator[Window]:
    with requests.Session() as session:
        yield Window(platform.url("gateway"), session)


def _registered(platform: Platform, *arguments: str) -> dict[str, str]:
    command = (sys.executable, "-m", "services.auth", "oauth", "clients", "add", *arguments)
    done = platform.run("deploy.local", "run", "auth", *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("client_"))


@pytest.fixture(scope="module")
def website(platform: Platform) -> dict[str, str]:
    arguments = ("--redirect-uri", PLACE, "--post-logout-redirect-uri", BYE)
    return _registered(platform, "Photo Prints", *arguments)


def test_authlib_logs_in_refreshes_inspects_revokes_and_logs_out(
    platform: Platform, alice: SignedUp, website: dict[str, str], window: Window
) -> None:
    issuer = f"{platform.url('gateway')}/auth/oauth"
    metadata = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=5).json()
    assert metadata["issuer"] == issuer
    by_rfc_8414 = f"{platform.url('gateway')}/.well-known/oauth-authorization-server/auth/oauth"
    assert requests.get(by_rfc_8414, timeout=5).json() == metadata
    with OAuth2Session(
        website["client_id"], website["client_secret"], scope="openid email offline_access", redirect_uri=PLACE,
        code_challenge_method="S256", token_endpoint=metadata["token_endpoint"],
    ) as client:  # fmt: skip
        url, state = client.create_authorization_url(
            metadata["authorization_endpoint"], code_verifier=VERIFIER, nonce="a nonce"
        )
        back = window.agree(url, alice)
        token = client.fetch_token(authorization_response=back, code_verifier=VERIFIER, state=state)
        keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=5).json())
        signed = jwt.decode(token["id_token"], keys, algorithms=["ES256"])
        claims = CodeIDToken(
            signed.claims, signed.header,
            {"iss": {"value": issuer}, "aud": {"value": website["client_id"]}, "nonce": {"value": "a nonce"}},
            {"nonce": "a nonce", "client_id": website["client_id"], "access_token": token["access_token"]},
        )  # fmt: skip
        claims.validate()
        told = client.get(metadata["userinfo_endpoint"], timeout=5).json()
        assert told == {"sub": claims["sub"], "email": alice.email, "email_verified": True}
        newer = client.refresh_token(metadata["token_endpoint"])
        assert newer["refresh_token"] != token["refresh_token"]
        inspect = client.introspect_token(metadata["introspection_endpoint"], token=newer["access_token"])
        assert inspect.json()["active"] is True
        client.revoke_token(metadata["revocation_endpoint"], token=newer["refresh_token"])
        inspect = client.introspect_token(metadata["introspection_endpoint"], token=newer["access_token"])
        assert inspect.json() == {"active": False}
        out = f"{metadata['end_session_endpoint']}?id_token_hint={newer['id_token']}&post_logout_redirect_uri={BYE}"
        assert window.open(out).headers["Location"] == BYE
        assert "/login" in window.open(url).headers["Location"], "nobody is logged in with this browser any more"


def test_a_third_party_s_token_opens_nothing_in_the_house(
    platform: Platform, alice: SignedUp, website: dict[str, str], window: Window
) -> None:
    """Neither at the gateway nor at a service that is asked past it; a session of the person opens the same doors."""
    gateway = platform.url("gateway")
    with OAuth2Session(
        website["client_id"], website["client_secret"], scope="openid email", redirect_uri=PLACE,
        code_challenge_method="S256",
    ) as client:  # fmt: skip
        url, _ = client.create_authorization_url(f"{gateway}/auth/oauth/authorize", code_verifier=VERIFIER)
        back = window.agree(url, alice)
        token = client.fetch_token(f"{gateway}/auth/oauth/token", authorization_response=back, code_verifier=VERIFIER)
    doors = [
        ("auth", "GET", "/auth/v1/user"),
        ("auth", "PUT", "/auth/v1/user"),
        ("auth", "GET", "/auth/v1/sessions"),
        ("auth", "GET", "/auth/v1/admin/users"),
        ("auth", "GET", "/auth/v1/user/oauth/grants"),
        ("profile", "GET", "/profile/v1/me"),
        ("data", "GET", "/data/v1/spaces"),
        ("notify", "GET", "/notify/v1/devices"),
    ]
    for service, method, path in doors:
        for base in (gateway, platform.url(service)):
            for which in ("access_token", "id_token", "refresh_token"):
                headers = {"Authorization": f"Bearer {token[which]}"}
                answer = requests.request(method, base + path, json={}, headers=headers, timeout=20)
                assert answer.status_code == 401, (base, path, which, answer.text)
                assert answer.json()["code"] in ("token_issuer", "token_malformed"), answer.text
        mine = {"Authorization": f"Bearer {alice.access_token}"}
        assert requests.request(method, gateway + path, json={}, headers=mine, timeout=20).status_code != 401, path
    asked = requests.get(url + "&resource=" + gateway, allow_redirects=False, timeout=20)
    assert "error=invalid_target" in asked.headers["Location"], "nor may it ask for one that does"


def test_a_service_gets_its_token_from_its_own_credentials(platform: Platform) -> None:
    reports = _registered(platform, "Reports", "--service", "--scope", "messages:send")
    gateway = platform.url("gateway")
    with OAuth2Session(reports["client_id"], reports["client_secret"], scope="messages:send") as client:
        client.fetch_token(f"{gateway}/auth/oauth/token", grant_type="client_credentials")
        answer = client.get(f"{gateway}/notify/v1/messages/0190f5fe-7c00-7a00-8000-000000000001", timeout=20)
    assert answer.status_code == 404, f"it may ask, there is only no such message: {answer.text}"
