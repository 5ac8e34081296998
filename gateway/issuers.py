"""Other issuers of tokens than auth: a company's own identity provider, listed in the route table."""

import json
import re
from typing import Annotated, Any, Literal

from jwt.utils import base64url_decode
from pydantic import BaseModel, ConfigDict, Field

from gateway.grants import Grant
from shared.tokens import LEEWAY_S, Verifier, refusal

_USER_ID = re.compile(r"[A-Za-z0-9._~@|:/+=-]{1,200}")  # it goes into logs and names a bucket
Claim = Annotated[str, Field(pattern="^[!-~]+$", max_length=200)]
Web = Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=500)]


class IssuerEntry(BaseModel):
    """An issuer in `routes.yaml`: its keys verify only tokens with its `iss`, each with the algorithm of its kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Annotated[str, Field(pattern="^[!-~]+$", max_length=500)]
    jwks_url: Web
    audience: Annotated[list[str], Field(min_length=1)]
    algorithms: Annotated[list[Literal["ES256", "RS256", "EdDSA"]], Field(min_length=1)]
    user_id_claim: Claim = "sub"
    scope_claim: Claim = "scope"


class Issuer:
    """Verifies what this issuer has signed. Its users are `<name>:<id>`, so that they are nobody else's."""

    def __init__(self, name: str, entry: IssuerEntry) -> None:
        self.name, self.entry = name, entry
        required = ("iss", "aud", "exp", entry.user_id_claim)
        self.verifier = Verifier(
            entry.jwks_url, entry.issuer, entry.audience, algorithms=entry.algorithms, required=required
        )

    def grant(self, claims: dict[str, Any]) -> Grant:
        """What verified claims stand for. Raise Unauthorized if they do not name a user."""
        user_id = claims[self.entry.user_id_claim]
        if not isinstance(user_id, str) or not _USER_ID.fullmatch(user_id):
            raise refusal("token_malformed", "The token does not name its user.")
        scopes = frozenset(_words(claims.get(self.entry.scope_claim)))
        return Grant(f"{self.name}:{user_id}", "", scopes, int(claims["exp"]) + LEEWAY_S, issuer=self.name)


def _words(scope: object) -> list[str]:
    """Scopes as RFC 9068 writes them, separated by spaces, or as a list."""
    if isinstance(scope, str):
        return scope.split()
    return [word for word in scope if isinstance(word, str)] if isinstance(scope, list) else []


def claimed_issuer(token: str) -> str:
    """Whose token it says it is: nothing is verified, it only decides who is to do that."""
    try:
        claims = json.loads(base64url_decode(token.split(".")[1]))
        issuer = claims["iss"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return issuer if isinstance(issuer, str) else ""
