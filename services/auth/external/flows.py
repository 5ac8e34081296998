"""The way to a provider and back, in one browser: a state that works once, and what is derived from it and the cookie.

The cookie says nothing of a person, and nobody is let in by it: it only says that the browser that comes back is the
one that left. Apple comes back by a form of its own page, so the cookie must go with those, too (SameSite=None).
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any

from flask import Response, request

from services.auth import store
from services.auth.external.id_tokens import hash_of_nonce
from services.auth.external.provider import Provider
from services.auth.parts import here
from services.auth.places import with_query
from shared.postgres import Connection

LIFETIME_S = 600
SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
# Ours to say, in whatever case somebody writes them.
RESERVED = frozenset(
    [
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "nonce",
        "code",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "grant_type",
        "request",
        "request_uri",
        "iss",
        "id_token",
        "registration",
        "provider",
        "scopes",
        "redirect_to",
        "return_to",
        "flow",
        "skip_http_redirect",
        "invite_token",
    ]
)
MAX_PARAMETERS, MAX_PARAMETER = 16, 512


def browser() -> str:
    """This browser's secret: the one it shows, or a new one, which `hand_over` gives it."""
    said = request.cookies.get(_cookie(), "")
    return said if SECRET.fullmatch(said) else secrets.token_urlsafe(32)


def hand_over(response: Response, secret: str) -> Response:
    """Give the browser its secret for as long as a way may take."""
    response.set_cookie(
        _cookie(),
        secret,
        max_age=LIFETIME_S,
        path="/",
        secure=_is_secure(),
        httponly=True,
        samesite="None" if _is_secure() else "Lax",
    )
    return response


def begin(conn: Connection, flow: store.ExternalFlow, secret: str | None) -> str:
    """A new state for this browser, or for the first that opens it."""
    state = secrets.token_urlsafe(32)
    browser_hash = hash_of(secret) if secret else None
    store.insert_external_flow(conn, hash_of(state), browser_hash, flow, lifetime_s=LIFETIME_S)
    return state


def consume(conn: Connection, state: str) -> store.ExternalFlow | None:
    """Whose state it is, once, in the browser that left with it."""
    said = request.cookies.get(_cookie(), "")
    if not SECRET.fullmatch(said) or not SECRET.fullmatch(state):
        return None
    return store.consume_external_flow(conn, hash_of(state), hash_of(said))


def verifier(secret: str, state: str) -> str:
    """What only this browser's way can answer the provider with (RFC 7636): a code that is caught is of no use."""
    return base64.urlsafe_b64encode(_derived(secret, state, "verifier")).rstrip(b"=").decode()


def nonce(secret: str, state: str) -> str:
    """What the ID token must hold the hash of."""
    return _derived(secret, state, "nonce").hex()


def address(provider: Provider, state: str, secret: str, asked: Mapping[str, Any]) -> str:
    """Where the provider asks the person. Raise Unavailable."""
    scopes = dict.fromkeys((*provider.settings.scopes, *asked.get("scopes", [])))
    challenge = hashlib.sha256(verifier(secret, state).encode()).digest()
    form = {"response_mode": "form_post"} if provider.settings.response_mode == "form_post" else {}
    return with_query(
        provider.metadata().authorization_endpoint,
        {
            **asked.get("parameters", {}),
            "response_type": "code",
            "client_id": provider.web_client_id,
            "redirect_uri": callback(),
            "scope": " ".join(scopes),
            "state": state,
            "nonce": hash_of_nonce(nonce(secret, state)),
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            **form,
        },
    )


def asked(scopes: str | None) -> dict[str, Any]:
    """What the app wants the provider to be asked beside the usual: more scopes, and parameters that are not ours."""
    more = {
        name: value
        for name, value in request.args.items()
        if name.lower() not in RESERVED and len(name) <= 64 and len(value) <= MAX_PARAMETER and value.isprintable()
    }
    return {
        "scopes": re.split(r"[ ,]+", scopes.strip()) if scopes and scopes.strip() else [],
        "parameters": dict(list(more.items())[:MAX_PARAMETERS]),
    }


def callback() -> str:
    """Where every provider sends people back to."""
    return f"{here.settings.public_url}/auth/v1/callback"


def hash_of(secret: str) -> bytes:
    """256 random bits need no key to be safe at rest."""
    return hashlib.sha256(secret.encode()).digest()


def _derived(secret: str, state: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), f"{purpose}\n{state}".encode(), "sha256")


def _cookie() -> str:
    return "__Host-gatehouse-way" if _is_secure() else "gatehouse_way"


def _is_secure() -> bool:
    return here.settings.public_url.startswith("https:")
