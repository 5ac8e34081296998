"""Access tokens (RFC 9068, signed JWTs): their claims, and the one way in which every component verifies them."""

import json
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
import requests
from jwt.utils import base64url_decode
from pydantic import BaseModel, ConfigDict, ValidationError

from shared import answers
from shared.errors import Unauthorized, Unavailable

log = logging.getLogger(__name__)

TOKEN_LIFETIME_S = 600
LEEWAY_S = 5
AAL2 = "aal2"
MAX_TOKEN_BYTES = 8_192
MAX_KEYS_BYTES = 262_144
FIRST_TRY_S = 1.0
ALGORITHM_OF_KEY = {("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA", ("RSA", ""): "RS256"}
OURS = ("ES256",)
LEAST_RSA_BITS = 2048
KEPT_TOKENS = 10_000
REQUIRED = ("iss", "aud", "sub", "exp", "iat")
WRONG_KEYS = (requests.RequestException, ValueError, LookupError, TypeError, AttributeError, jwt.PyJWTError)
FORBIDDEN_HEADERS = ("crit", "jku", "jwk", "x5u", "x5c")


class Actor(BaseModel):
    """Who acts for the person whom the token is about (RFC 8693, section 4.1)."""

    model_config = ConfigDict(frozen=True)

    sub: UUID


class Claims(BaseModel):
    """What a verified access token says. Times are Unix seconds; `aal` is aal1 or aal2.

    `sid` names the session; a service's own token (`role: service`) has none. With `act`, somebody else acts for the
    person, an administrator: what only the person may do is to be refused.
    """

    model_config = ConfigDict(frozen=True)

    iss: str
    aud: str
    sub: UUID
    sid: UUID | None = None
    role: str = "authenticated"
    scope: str = ""
    aal: str = "aal1"
    amr: list[Any] = []
    is_anonymous: bool = False
    act: Actor | None = None
    iat: int
    exp: int
    jti: str = ""

    @property
    def user_id(self) -> UUID:
        return self.sub

    @property
    def session_id(self) -> UUID | None:
        return self.sid

    @property
    def actor_id(self) -> UUID:
        """Who does what is done with this token: the person, or who acts for them."""
        return self.act.sub if self.act else self.sub

    def has_scope(self, scope: str) -> bool:
        return scope in self.scope.split()


def refusal(code: str, detail: str) -> Unauthorized:
    """A 401 with the reason, as RFC 6750 section 3 wants it."""
    challenge = f'Bearer error="invalid_token", error_description="{detail}"'
    return Unauthorized(detail, code=code, headers={"WWW-Authenticate": challenge})


def missing() -> Unauthorized:
    """A 401 for a request without a token; RFC 6750 says to name no error then."""
    return Unauthorized("This needs an access token.", code="token_missing", headers={"WWW-Authenticate": "Bearer"})


def bearer(header: str | None) -> str:
    """The token of an Authorization header; raise Unauthorized(token_missing) without one."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise missing()
    return token.strip()


class KeySet:
    """The issuer's public keys, fetched over HTTP and kept.

    Fresh for `max_age_s`; when the issuer does not answer, old keys stay good. An unknown `kid` fetches again, but at
    most once in `cooldown_s`, so that tokens with invented kids cannot turn into load on the issuer.
    """

    def __init__(
        self,
        url: str,
        *,
        max_age_s: float = 600,
        cooldown_s: float = 10,
        timeout_s: float = 3,
        algorithms: Iterable[str] = OURS,
    ) -> None:
        self.url, self.algorithms = url, tuple(algorithms)
        self.max_age_s, self.cooldown_s, self.timeout_s = max_age_s, cooldown_s, timeout_s
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = threading.Lock()
        self.generation = 0  # moves when the keys change: what was verified with others is verified again

    def known(self, kid: str) -> jwt.PyJWK | None:
        """The key, if it is here and fresh: no I/O."""
        return self._keys.get(kid) if time.monotonic() - self._fetched_at < self.max_age_s else None

    @property
    def kids(self) -> frozenset[str]:
        """The names of the keys that are here."""
        return frozenset(self._keys)

    @property
    def fresh_for_s(self) -> float:
        """How much longer `known` will find the keys; negative when it does not."""
        return self._fetched_at + self.max_age_s - time.monotonic()

    def get(self, kid: str) -> jwt.PyJWK:
        """The key, fetched if need be. Raise Unauthorized(token_unknown_key), or Unavailable without any key at all."""
        key = self.known(kid)
        if key is None and not (kid in self._keys and self._lock.locked()):  # one thread fetches, the others go on
            self.refresh()
        key = key or self._keys.get(kid)
        if key is None:
            raise refusal("token_unknown_key", "The token was signed with a key that is not known.")
        return key

    def refresh(self, *, force: bool = False) -> None:
        """Fetch once for all waiting threads, unless that was tried within the cooldown (one second, without keys)."""
        with self._lock:
            cooldown_s = self.cooldown_s if self._keys else min(self.cooldown_s, FIRST_TRY_S)
            if not force and time.monotonic() - self._tried_at < cooldown_s:
                if not self._keys:
                    raise Unavailable("The keys that verify tokens cannot be fetched now.")
                return
            self._tried_at = time.monotonic()
            try:
                self._replace(self._fetch())
                self._fetched_at = time.monotonic()
            except WRONG_KEYS as error:
                if not self._keys:
                    raise Unavailable("The keys that verify tokens cannot be fetched now.") from error
                self._fetched_at = time.monotonic() - self.max_age_s + self.cooldown_s
                log.warning("kept old keys: the issuer did not answer", extra={"jwks_url": self.url}, exc_info=error)

    def _replace(self, keys: dict[str, jwt.PyJWK]) -> None:
        before, after = ({kid: key._jwk_data for kid, key in known.items()} for known in (self._keys, keys))
        self._keys = keys
        self.generation += before != after

    def _fetch(self) -> dict[str, jwt.PyJWK]:
        ends_at = time.monotonic() + self.timeout_s
        with requests.get(self.url, timeout=self.timeout_s, allow_redirects=False, stream=True) as response:
            response.raise_for_status()
            document = json.loads(answers.read(response, ends_at=ends_at, max_bytes=MAX_KEYS_BYTES))
        keys = {}
        for jwk in document["keys"]:
            algorithm = ALGORITHM_OF_KEY.get((jwk.get("kty", ""), jwk.get("crv", "")), "")
            is_accepted = algorithm in self.algorithms and jwk.get("alg", algorithm) == algorithm
            if is_accepted and jwk.get("use", "sig") == "sig" and jwk.get("kid"):
                key = jwt.PyJWK(jwk, algorithm)
                if algorithm != "RS256" or key.key.key_size >= LEAST_RSA_BITS:
                    keys[jwk["kid"]] = key
        return keys


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, unless a name stands in it twice: another reader may take the other value (RFC 8725, section 2.4)."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


@dataclass(frozen=True, slots=True)
class _Verified:
    claims: Claims
    kid: str
    generation: int


class Verifier:
    """Verifies access tokens of one issuer: `kid` required, key and algorithm pinned to each other; ES256 for auth.

    A token that was verified is known again by its text until it expires or the keys change.
    """

    def __init__(
        self,
        jwks_url: str,
        issuer: str,
        audience: str | Sequence[str],
        *,
        algorithms: Iterable[str] = OURS,
        required: Sequence[str] = REQUIRED,
        leeway_s: float = LEEWAY_S,
    ) -> None:
        self.keys = KeySet(jwks_url, algorithms=algorithms)
        self.issuer, self.audience = issuer, audience
        self._required, self._leeway_s = list(required), leeway_s
        self._verified: dict[str, _Verified] = {}

    def verify(self, token: str) -> Claims:
        """The claims. Raise Unauthorized with a reason code, or Unavailable when no key could ever be fetched."""
        known = self._verified.get(token)
        if known is None:
            return self._verify(token, self.kid(token))
        self.keys.get(known.kid)  # fetches if the keys are old
        if known.generation != self.keys.generation:
            return self._verify(token, known.kid)
        if known.claims.exp + self._leeway_s <= time.time():
            self._verified.pop(token, None)
            raise refusal("token_expired", "The token has expired.")
        return known.claims

    def _verify(self, token: str, kid: str) -> Claims:
        key, generation = self.keys.get(kid), self.keys.generation
        claims = self.check(token, key)
        if len(self._verified) >= KEPT_TOKENS:
            self._verified = {}  # rare, and cheaper than order: what is in use is soon back
        self._verified[token] = _Verified(claims, kid, generation)
        return claims

    def kid(self, token: str) -> str:
        """The `kid` of a token whose header is acceptable (RFC 8725); nothing is verified yet."""
        if len(token) > MAX_TOKEN_BYTES:
            raise refusal("token_malformed", "The token is too long.")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise refusal("token_malformed", "The token is not a JWT.") from error
        if header.get("alg") not in self.keys.algorithms:
            raise refusal("token_algorithm", "The token's algorithm is not accepted.")
        if any(name in header for name in FORBIDDEN_HEADERS):
            raise refusal("token_header", "The token's header names something that is not accepted.")
        kid = header.get("kid")
        if not isinstance(kid, str) or not kid:
            raise refusal("token_unknown_key", "The token does not name its key.")
        return kid

    def check(self, token: str, key: jwt.PyJWK) -> Claims:
        """Signature and claims against this key: no I/O."""
        try:
            return Claims.model_validate(self.decode(token, key))
        except ValidationError as error:
            raise refusal("token_malformed", "The token's claims are not acceptable.") from error

    def decode(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        """The claims of a token that this key has signed, and that is this issuer's and valid now."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self.issuer,
                audience=self.audience,
                leeway=self._leeway_s,
                options={"require": self._required},
            )
            for part in token.split(".")[:2]:
                json.loads(base64url_decode(part), object_pairs_hook=_unique)
            return claims
        except jwt.ExpiredSignatureError as error:
            raise refusal("token_expired", "The token has expired.") from error
        except (jwt.ImmatureSignatureError, jwt.InvalidIssuedAtError) as error:
            raise refusal("token_not_yet_valid", "The token is not valid yet.") from error
        except jwt.InvalidIssuerError as error:
            raise refusal("token_issuer", "The token is from another issuer.") from error
        except jwt.InvalidAudienceError as error:
            raise refusal("token_audience", "The token is for another audience.") from error
        except jwt.InvalidSignatureError as error:
            raise refusal("token_signature", "The token's signature is wrong.") from error
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            raise refusal("token_malformed", "The token's claims are not acceptable.") from error
