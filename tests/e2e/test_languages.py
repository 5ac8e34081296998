"""From the phone's Accept-Language, through gateway, auth, broker and notify, to the mail that arrives."""

import re
from typing import Any

import requests

from tests.support.platform import Platform
from tests.support.waiting import eventually

CODE = re.compile(r"(?m)^(\d{6})\r?$")


def arrived(platform: Platform, to: str, count: int = 1) -> list[dict[str, Any]]:
    """The newest first, once there are so many."""

    def probe() -> list[dict[str, Any]] | None:
        query = {"channel": "smtp", "to": to}
        found = requests.get(f"{platform.url('simulators')}/api/messages", params=query, timeout=5).json()["items"]
        return found if len(found) >= count else None

    return eventually(probe, timeout_s=30, what=f"a mail to {to}") or []


def test_a_phone_gets_mails_in_its_language_and_keeps_it_whoever_asks(platform: Platform) -> None:
    auth = f"{platform.url('gateway')}/auth/v1"
    phones = [
        ("it-IT, ja;q=0.5, en;q=0.3", None, "メールアドレスの確認"),
        ("zh-HK", None, "請驗證您的電子郵件地址"),
        ("fr", "de-CH", "Bestätigen Sie Ihre E-Mail-Adresse"),
    ]
    for number, (asked, chosen, subject) in enumerate(phones):
        email = f"reader{number}@example.org"
        signed_up = requests.post(
            f"{auth}/signup",
            json={"email": email, "password": "correct horse battery", "data": {"locale": chosen}},
            headers={"Accept-Language": asked},
            timeout=10,
        )
        assert signed_up.status_code == 200, signed_up.text
        assert arrived(platform, email)[0]["title"] == subject
    detail = requests.get(f"{platform.url('simulators')}/api/messages/{arrived(platform, email)[0]['id']}", timeout=5)
    code = CODE.search(detail.json()["mail"]["text"])
    assert code
    confirmed = {"type": "signup", "email": email, "token": code[1]}
    assert requests.post(f"{auth}/verify", json=confirmed, timeout=10).status_code == 200

    somebody = {"Accept-Language": "fr"}
    assert requests.post(f"{auth}/recover", json={"email": email}, headers=somebody, timeout=10).status_code == 200
    assert arrived(platform, email, 2)[0]["title"] == "Neues Passwort festlegen"
