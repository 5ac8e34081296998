"""One provider, as this service talks to it: what it publishes of itself, its keys, its token endpoint.

Every address comes from the operator's settings, or from the document that is found there: none from a request.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import jwt
import requests

from services.auth.external.settings import ProviderSettings, is_safe_address
from shared import answers
from shared.errors import Unauthorized, Unavailable
from shared.tokens import Verifier

log = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "ES256", "EdDSA")
REQUIRED = ("iss", "aud", "sub", "exp", "iat")
LEEWAY_S = 300  # the clocks of phones are not asked, but those of providers differ, too
TIMEOUT_S, ANSWER_S, SEAT_S = 3.0, 6.0, 0.5
MAX_ANSWER_BYTES = 262_144
KEPT_S, TRIED_AGAIN_S, FIRST_TRY_S = 3_600.0, 10.0, 1.0
SECRET_LIFETIME_S = 300


class Refused(Exception):
    """The provider answered, and said no; `error` is its word (RFC 6749, section 5.2)."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True)
class Metadata:
    """What a provider says of itself (OpenID Connect Discovery 1.0)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    revocation_endpoint: str = ""
    names_itself: bool = False  # in every answer to the browser: RFC 9207


@dataclass(frozen=True)
class Tokens:
    """What a code was worth."""

    id_token: str
    access_token: str
    refresh_token: str

    def __repr__(self) -> str:
        return "Tokens()"


class Provider:
    """Nothing is asked before it is needed; what was published is kept for an hour, and longer while it is silent."""

    def __init__(self, name: str, settings: ProviderSettings, seats: threading.Semaphore | None = None) -> None:
        self.name, self.settings = name, settings
        self._seats = seats or threading.Semaphore(1)
        self._metadata: Metadata | None = None
        self._verifier: Verifier | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def label(self) -> str:
        """As people know it."""
        return self.settings.label or self.name.capitalize()

    @property
    def web_client_id(self) -> str:
        return self.settings.client_ids[0]

    @property
    def takes_browsers(self) -> bool:
        """Apple takes none whom no secret vouches for; other providers may know public clients."""
        return self.name != "apple" or self.settings.has_secret

    def metadata(self) -> Metadata:
        """Raise Unavailable when it was never read and cannot be now."""
        if self._metadata is None or time.monotonic() - self._fetched_at >= KEPT_S:
            try:
                with self._seat():
                    self._refresh()
            except Unavailable:
                pass  # what was published before is good enough, if there is any
        if self._metadata is None:
            raise self.silent()
        return self._metadata

    def claims(self, token: str) -> tuple[dict[str, Any], str]:
        """The claims of an ID token that one of its keys signed, and the algorithm. Raise Unauthorized, Unavailable."""
        uri = self.metadata().jwks_uri
        verifier = self._verifier
        if verifier is None or verifier.keys.url != uri:
            verifier = self._verifier = Verifier(
                uri,
                self.settings.issuer,
                self.settings.client_ids,
                algorithms=ALGORITHMS,
                required=REQUIRED,
                leeway_s=LEEWAY_S,
            )
        kid = verifier.kid(token)
        try:
            with nullcontext() if kid in verifier.keys.kids else self._seat():  # of a known one, one thread waits
                key = verifier.keys.get(kid)
        except Unauthorized:
            if verifier.keys.fresh_for_s <= verifier.keys.cooldown_s:  # the keys are old: it did not answer just now
                raise self.silent() from None
            raise
        return verifier.decode(token, key), key.algorithm_name

    def exchange(self, code: str, *, client_id: str, **parameters: str) -> Tokens:
        """The tokens for an authorization code (RFC 6749, section 4.1.3). Raise Refused, Unavailable."""
        endpoint = self.metadata().token_endpoint
        with self._seat():
            answer = self._post(endpoint, {"grant_type": "authorization_code", "code": code, **parameters}, client_id)
        found = {name: answer.get(name) for name in ("id_token", "access_token", "refresh_token")}
        return Tokens(**{name: value if isinstance(value, str) else "" for name, value in found.items()})

    def revoke(self, token: str, *, client_id: str) -> None:
        """Give back a refresh token (RFC 7009). Raise Refused, Unavailable."""
        endpoint = self.metadata().revocation_endpoint
        if endpoint:
            self._post(endpoint, {"token": token, "token_type_hint": "refresh_token"}, client_id)

    def userinfo(self, access_token: str) -> dict[str, Any]:
        """What it says of the person, where it publishes that; else nothing. Raise Refused, Unavailable."""
        endpoint = self.metadata().userinfo_endpoint
        if not endpoint:
            return {}
        with self._seat():
            return self._call("GET", endpoint, headers={"Authorization": f"Bearer {access_token}"})

    @contextmanager
    def _seat(self) -> Iterator[None]:
        """One of the threads that may wait for providers: a slow one must not hold all of them. Raise Unavailable."""
        if not self._seats.acquire(timeout=SEAT_S):
            raise self.silent()
        try:
            yield
        finally:
            self._seats.release()

    def silent(self) -> Unavailable:
        return Unavailable(f"{self.label} does not answer now.", code="provider_unavailable")

    def _post(self, url: str, form: Mapping[str, str], client_id: str) -> dict[str, Any]:
        """With who asks in the way this provider wants it; without a secret, a public client (PKCE guards it)."""
        secret = self._secret(client_id)
        if secret and self.settings.client_authentication == "client_secret_basic":
            basic = quote(client_id, safe=""), quote(secret, safe="")
            return self._call("POST", url, data=dict(form), auth=basic)
        named = {"client_id": client_id} | ({"client_secret": secret} if secret else {})
        return self._call("POST", url, data={**form, **named})

    def _secret(self, client_id: str) -> str:
        """The client secret; Apple's is a token that the .p8 key signs anew each time."""
        key, now = self.settings.signing_key, int(time.time())
        if key is None:
            return self.settings.client_secret.get_secret_value()
        claims = {
            "iss": self.settings.team_id,
            "iat": now,
            "exp": now + SECRET_LIFETIME_S,
            "aud": self.settings.issuer,
            "sub": client_id,
        }
        return jwt.encode(claims, key, algorithm="ES256", headers={"kid": self.settings.key_id})

    def _refresh(self) -> None:
        """Once for all waiting threads, and not again within a short while when it failed."""
        with self._lock:
            pause_s = TRIED_AGAIN_S if self._metadata else FIRST_TRY_S
            if time.monotonic() - self._fetched_at < KEPT_S or time.monotonic() - self._tried_at < pause_s:
                return
            self._tried_at = time.monotonic()
            try:
                url = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
                self._metadata = self._read(self._call("GET", url))
                self._fetched_at = time.monotonic()
            except (Refused, Unavailable, ValueError) as error:
                log.warning("what %s publishes of itself cannot be read: %s", self.name, error)

    def _read(self, found: Mapping[str, Any]) -> Metadata:
        """Raise ValueError unless it is this issuer's, and its addresses are ones to send secrets to."""
        if found.get("issuer") != self.settings.issuer:
            raise ValueError("it names another issuer")
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "revocation_endpoint")
        addresses = {name: found[name] for name in names if found.get(name)}
        for name, url in addresses.items():
            if not isinstance(url, str) or not is_safe_address(url, loopback=self.settings.is_on_loopback):
                raise ValueError(f"its {name} is no https address")
        for name in names[:3]:
            if name not in addresses:
                raise ValueError(f"it has no {name}")
        names_itself = found.get("authorization_response_iss_parameter_supported") is True
        return Metadata(**addresses, names_itself=names_itself)

    def _call(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        """The JSON object of an answer, empty if it has none; redirects are not followed, and there is a bound."""
        ends_at = time.monotonic() + ANSWER_S
        options["headers"] = {"Accept": "application/json", **options.get("headers", {})}
        try:
            with requests.request(
                method, url, timeout=TIMEOUT_S, allow_redirects=False, stream=True, **options
            ) as response:
                status = response.status_code
                body = answers.read(response, ends_at=ends_at, max_bytes=MAX_ANSWER_BYTES)
        except requests.RequestException as error:
            log.warning("%s cannot be reached: %s", self.name, type(error).__name__)
            raise self.silent() from error
        if status >= 500 or status == 429:
            raise self.silent()
        try:
            answer = json.loads(body) if body.strip() else {}
        except ValueError:
            answer = {}
        answer = answer if isinstance(answer, dict) else {}
        if not 200 <= status < 300:
            raise Refused(str(answer.get("error") or status)[:100])
        return answer
