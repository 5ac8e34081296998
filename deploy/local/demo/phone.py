"""A phone: one base URL, one person, one session; what it sends is what a real app would send."""

import secrets
from typing import Any
from uuid import UUID

import requests

from deploy.local.demo.console import Console, expect
from shared.ids import new_id

TIMEOUT_S = 15


class Phone:
    """`platform` is android or ios; the push token is made as that platform makes them."""

    def __init__(self, console: Console, base_url: str, name: str, platform: str, app_id: str) -> None:
        self.console, self.base_url, self.name, self.platform, self.app_id = console, base_url, name, platform, app_id
        self.device_id = new_id()
        self.push_token = secrets.token_hex(32) if platform == "ios" else f"demo-{secrets.token_urlsafe(100)}"
        self.access_token = self.refresh_token = ""
        self._http = requests.Session()
        self._http.headers["User-Agent"] = f"GatehouseDemo/1.0 ({name})"

    def call(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, note: str = ""
    ) -> requests.Response:
        """One request through the gateway, printed."""
        sent = dict(headers or {})
        if self.access_token:
            sent.setdefault("Authorization", f"Bearer {self.access_token}")
        answer = self._http.request(method, self.base_url + path, json=body, headers=sent, timeout=TIMEOUT_S)
        self.console.call(answer, note or self.name)
        return answer

    def log_in(self, email: str, password: str) -> UUID:
        """A session of this phone's own; the user's id."""
        body = {"email": email, "password": password}
        session = expect(self.call("POST", "/auth/v1/token?grant_type=password", body), 200)
        self.keep(session)
        return UUID(session["user"]["id"])

    def refresh(self, refresh_token: str | None = None) -> requests.Response:
        """Present a refresh token; the newest unless another is given."""
        body = {"refresh_token": refresh_token or self.refresh_token}
        return self.call("POST", "/auth/v1/token?grant_type=refresh_token", body)

    def keep(self, session: dict[str, Any]) -> None:
        self.access_token, self.refresh_token = session["access_token"], session["refresh_token"]
