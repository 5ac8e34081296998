"""An app that uses the provider: it knows its own settings and keeps its own secrets, like AppAuth on a phone."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from services.auth import store
from services.auth.oauth import clients
from shared.ids import new_id
from tests.auth.browsers import ORIGIN, Page, Tab
from tests.auth.conftest import Person, Reply, Service

ISSUER = f"{ORIGIN}/auth/oauth"
PLACE = "https://app.test/back"
PHONE_PLACE = "com.example.app:/back"


@dataclass
class App:
    """A registered client, and what it sends."""

    service: Service
    client_id: str
    secret: str | None = None
    place: str = PLACE
    scope: str = "openid email"
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def challenge(self) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()

    def request(self, **changes: str | None) -> str:
        """The address that the app opens in the browser; None leaves a parameter out."""
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.place,
            "scope": self.scope,
            "state": "the state",
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            **changes,
        }
        return f"/auth/oauth/authorize?{urlencode({name: value for name, value in asked.items() if value is not None})}"

    def call(self, path: str, *, authorization: str | None = None, **form: str | None) -> Reply:
        """Send a form to an endpoint, as this client."""
        data = {name: value for name, value in {"client_id": self.client_id, **form}.items() if value is not None}
        headers = {"Authorization": authorization} if authorization else {}
        if self.secret is not None and not authorization:
            headers["Authorization"] = basic(self.client_id, self.secret)
        return send(self.service, path, data, headers)

    def token(self, **form: str | None) -> Reply:
        return self.call("token", **form)

    def redeem(self, code: str, **changes: str | None) -> Reply:
        form = {"code": code, "redirect_uri": self.place, "code_verifier": self.verifier, **changes}
        return self.token(grant_type="authorization_code", **form)

    def refresh(self, refresh_token: str, **changes: str | None) -> Reply:
        return self.token(grant_type="refresh_token", refresh_token=refresh_token, **changes)

    def tokens(self, tab: Tab, **changes: str | None) -> Reply:
        """The whole way: the browser, whose person agrees, and the code for tokens."""
        code = parameters(agree(tab, self.request(**changes)))["code"]
        return self.redeem(code, redirect_uri=changes.get("redirect_uri", self.place))


def basic(client_id: str, secret: str) -> str:
    return f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"


def send(service: Service, path: str, data: dict[str, str] | str, headers: dict[str, str] | None = None) -> Reply:
    kind = "application/x-www-form-urlencoded"
    response = service.app.test_client().post(f"/auth/oauth/{path}", data=data, headers=headers, content_type=kind)
    return Reply(response.status_code, response.get_json(silent=True), response.headers, response.text)


def register(service: Service, **changes: Any) -> App:
    """A client as the database has it; a public app of a third party unless told otherwise."""
    secret = changes.pop("secret", None)
    new: dict[str, Any] = {
        "id": new_id(),
        "name": "Photo Prints",
        "secret_hash": clients.hash_of_secret(secret) if secret else None,
        "auth_method": "client_secret_basic" if secret else "none",
        "redirect_uris": [PLACE, PHONE_PLACE, "http://127.0.0.1/back"],
        "post_logout_redirect_uris": ["https://app.test/bye"],
        "grant_types": ["authorization_code", "refresh_token"],
        "scopes": list(clients.PERSONAL),
        "resources": [],
        "is_first_party": False,
        **changes,
    }
    with service.db.transaction() as conn:
        client = store.insert_oauth_client(conn, store.NewClient(**new))
    return App(service, str(client.id), secret)


def browser_of(person: Person) -> Tab:
    """A browser that somebody is logged in with."""
    tab = Tab(person.service)
    assert tab.log_in(person).status == 303
    return tab


def agree(tab: Tab, path: str) -> Page:
    """Open a request, and allow what it asks for if the page asks."""
    page = tab.open(path)
    if page.status == 200:
        assert page.form.action == "/auth/oauth/authorize", page.html
        page = tab.send(page.form, decision="allow")
    assert page.status == 303, page.html
    return page


def parameters(answer: Any) -> dict[str, str]:
    """What the place that an answer leads to has in its query."""
    return query_of(answer.headers["Location"])


def query_of(place: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(place).query))


def place_of(answer: Any) -> str:
    return str(answer.headers["Location"].split("?")[0])


def person_of(service: Service, access_token: str) -> Reply:
    """What userinfo says."""
    response = service.app.test_client().get(
        "/auth/oauth/userinfo", headers={"Authorization": f"Bearer {access_token}"}
    )
    return Reply(response.status_code, response.get_json(silent=True), response.headers, response.text)
