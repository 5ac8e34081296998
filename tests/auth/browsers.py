"""A browser without script: it keeps cookies, reads forms as they stand in a page, and sends them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from werkzeug.test import TestResponse

from services.auth import browser
from tests.auth.conftest import Service

ORIGIN = "https://app.example.com"
RETURN_TO = "/auth/oauth/authorize?client_id=app&redirect_uri=com.example.app%3A%2Fback&state=a%26b"
LOG_IN = f"/auth/oauth/login?{urlencode({'return_to': RETURN_TO})}"


@dataclass
class Form:
    """One form of a page: where it goes, and what its fields hold."""

    action: str
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[dict[str, str]] = field(default_factory=list)
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)


class Page(HTMLParser):
    """What stands in an answer."""

    def __init__(self, answer: TestResponse) -> None:
        super().__init__()
        self.answer, self.status, self.headers = answer, answer.status_code, answer.headers
        self.html = answer.text
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.alert = self.title = ""
        self._inside: list[str] = []
        self.feed(self.html)

    @property
    def form(self) -> Form:
        return self.forms[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.tags.append((tag, said))
        self._inside.append(said.get("role", tag))
        if tag == "form":
            self.forms.append(Form(said.get("action", ""), said.get("method", "get")))
        elif tag == "input":
            self.forms[-1].fields[said.get("name", "")] = said.get("value", "")
            self.forms[-1].inputs[said.get("name", "")] = said
        elif tag == "button" and self.forms:
            self.forms[-1].buttons.append(said)
        elif tag == "a":
            self.links.append(said.get("href", ""))

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() not in (tag, "alert"):
            pass

    def handle_data(self, data: str) -> None:
        if self._inside[-1:] == ["alert"]:
            self.alert += data.strip()
        elif self._inside[-1:] == ["h1"]:
            self.title += data.strip()


class Tab:
    """A browser with cookies of its own, at the service's address."""

    def __init__(self, service: Service, **headers: str) -> None:
        self.service = service
        self.client = service.app.test_client()
        self.headers = headers

    def open(self, path: str, **headers: str) -> Page:
        return Page(self.client.get(path, base_url=ORIGIN, headers={**self.headers, **headers}))

    def send(self, form: Form, headers: dict[str, str] | None = None, **typed: str) -> Page:
        """Fill the form and send it, as this very page."""
        said = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin", **self.headers, **(headers or {})}
        said = {name: value for name, value in said.items() if value}
        data = {**form.fields, **typed}
        return Page(
            self.client.post(urljoin("/auth/oauth/login", form.action), base_url=ORIGIN, headers=said, data=data)
        )

    def log_in(self, person: Any, path: str = LOG_IN) -> Page:
        page = self.open(path)
        assert page.status == 200, page.html
        return self.send(page.form, email=person.email, password=person.password)

    @property
    def cookie(self) -> str | None:
        """The value of the one cookie there is."""
        found = self.client.get_cookie(browser.COOKIE, domain=urlsplit(ORIGIN).hostname or "")
        return found.value if found else None

    def session_id(self) -> str | None:
        """The session that the cookie stands for, if somebody is logged in."""
        cookies = {"Cookie": f"{browser.COOKIE}={self.cookie}"}
        with self.service.app.test_request_context(headers=cookies), self.service.db.transaction() as conn:
            found = browser.signed_in(conn)
        return str(found.session.id) if found else None
