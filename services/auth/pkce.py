"""PKCE (RFC 7636): a code that a browser carries is worth a session only to the app that asked for it."""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

from shared.errors import FieldError, ValidationFailed

SYNTAX = re.compile(r"[A-Za-z0-9._~-]{43,128}")
S256, PLAIN = "s256", "plain"


@dataclass(frozen=True)
class Challenge:
    """What the app sent with its request. `plain` is what clients send that cannot hash."""

    challenge: str
    method: str

    @classmethod
    def of(cls, challenge: str | None, method: str | None) -> "Challenge | None":
        """None without any. Raise ValidationFailed for half of one, or one that RFC 7636 does not know."""
        if not challenge and not method:
            return None
        if not challenge or not method:
            raise _wrong("code_challenge", "PKCE flow requires code_challenge_method and code_challenge")
        if method.lower() not in (S256, PLAIN):
            raise _wrong("code_challenge_method", "must be s256 or plain")
        if not SYNTAX.fullmatch(challenge):
            raise _wrong("code_challenge", "must be 43 to 128 letters, digits, hyphens, periods, underscores or tildes")
        return cls(challenge, method.lower())

    def is_met_by(self, verifier: str) -> bool:
        """True if this is what the app kept."""
        if not SYNTAX.fullmatch(verifier):
            return False
        met = verifier
        if self.method == S256:
            met = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        return hmac.compare_digest(met.encode(), self.challenge.encode())


def _wrong(name: str, detail: str) -> ValidationFailed:
    return ValidationFailed(f"#/{name}: {detail}", errors=[FieldError(detail=detail, pointer=f"#/{name}")])
