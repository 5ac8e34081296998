"""What people prove themselves with in tests: an authenticator app, a security key."""

import time
from typing import Any

import pyotp

from services.auth import totp
from tests.auth.conftest import Person, Reply
from tests.support.authenticator import Authenticator


class App:
    """An authenticator app that has read the QR code of one factor of a person."""

    def __init__(self, person: Person, name: str = "phone") -> None:
        self.person = person
        self.enrolled = person.post("/factors", {"factor_type": "totp", "friendly_name": name})
        assert self.enrolled.status == 200, self.enrolled.text
        self.factor_id = str(self.enrolled["id"])
        self._totp = pyotp.parse_uri(self.enrolled["totp"]["uri"])

    def code(self, steps: int = 0) -> str:
        """The code that the app shows now, or so many steps from now."""
        assert isinstance(self._totp, pyotp.TOTP)
        return self._totp.generate_otp(int(time.time()) // totp.PERIOD_S + steps)

    def wrong_code(self) -> str:
        near = {self.code(step) for step in range(-3, 4)}
        return next(code for code in (f"{n:06d}" for n in range(10)) if code not in near)

    def challenge(self, person: Person | None = None) -> str:
        reply = (person or self.person).post(f"/factors/{self.factor_id}/challenge")
        assert reply.status == 200, reply.text
        return str(reply["id"])

    def answer(self, code: str | None = None, person: Person | None = None, challenge: str | None = None) -> Reply:
        """Answer a new challenge, with the current code unless told."""
        asked = person or self.person
        body: dict[str, Any] = {"challenge_id": challenge or self.challenge(asked), "code": code or self.code()}
        return asked.keep(asked.post(f"/factors/{self.factor_id}/verify", body))

    def wait(self, service: Any) -> None:
        """Let time pass until a code that was used is one of the past: the last used step moves back instead."""
        service.rows("UPDATE factors SET last_step = last_step - 3 WHERE id = %(id)s", id=self.factor_id)


class SecurityKey:
    """A key of WebAuthn for one factor of a person."""

    def __init__(self, person: Person, name: str = "key", **device: Any) -> None:
        self.person = person
        self.device = Authenticator("https://app.example.com", **device)
        enrolled = person.post("/factors", {"factor_type": "webauthn", "friendly_name": name})
        assert enrolled.status == 200, enrolled.text
        self.factor_id = str(enrolled["id"])

    def challenge(self, person: Person | None = None) -> Any:
        reply = (person or self.person).post(f"/factors/{self.factor_id}/challenge")
        assert reply.status == 200, reply.text
        return reply.json

    def answer(self, person: Person | None = None) -> Reply:
        """Make the key, or show it, as a new challenge asks."""
        asked = person or self.person
        challenge = self.challenge(asked)
        options = challenge["webauthn"]["credential_options"]["publicKey"]
        kind = challenge["webauthn"]["type"]
        made = self.device.create(options) if kind == "create" else self.device.get(options)
        return self.send(asked, challenge["id"], kind, made)

    def send(self, person: Person, challenge_id: str, kind: str, response: Any) -> Reply:
        body = {"challenge_id": challenge_id, "webauthn": {"type": kind, "credential_response": response}}
        return person.keep(person.post(f"/factors/{self.factor_id}/verify", body))
