"""Somebody who has signed up on a whole platform, with the code of the mail that came."""

import re
from dataclasses import dataclass, field
from typing import Any

import requests

from shared.ids import new_id
from tests.support.platform import Platform
from tests.support.waiting import eventually

PASSWORD = "correct horse 1"


@dataclass
class SignedUp:
    """A person with a session; `session` is the newest."""

    platform: Platform
    email: str = field(default_factory=lambda: f"{new_id()}@example.org")
    session: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.call("POST", "/auth/v1/signup", {"email": self.email, "password": PASSWORD})
        code = re.search(r"\b\d{6}\b", eventually(self.mails)[0]["text"])
        assert code is not None
        self.session = self.call("POST", "/auth/v1/verify", {"type": "signup", "email": self.email, "token": code[0]})

    @property
    def access_token(self) -> str:
        return str(self.session["access_token"])

    def log_in(self) -> dict[str, Any]:
        """A session on another device."""
        body = {"email": self.email, "password": PASSWORD}
        entered: dict[str, Any] = self.call("POST", "/auth/v1/token?grant_type=password", body)
        return entered

    def call(self, method: str, path: str, body: Any = None, session: dict[str, Any] | None = None) -> Any:
        """The JSON answer of the gateway, errors too."""
        asking = session or self.session
        headers = {"Authorization": f"Bearer {asking['access_token']}"} if asking else {}
        url = self.platform.url("gateway") + path
        return requests.request(method, url, json=body, headers=headers, timeout=20).json()

    def mails(self) -> list[dict[str, Any]]:
        """What came to the address, as the mail server got it."""
        inbox = f"{self.platform.url('simulators')}/api/messages"
        found = requests.get(inbox, params={"channel": "smtp", "to": self.email}, timeout=5).json()["items"]
        return [item["mail"] for item in found]
