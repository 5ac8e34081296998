"""The keys that sign access tokens: made on first use, kept sealed in the database, moved on by `keys rotate`.

pre_published (verifiers learn it) → active (signs) → retiring (still verifies) → deleted.
"""

import base64
import hashlib
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from services.auth import store
from services.auth.rows import SigningKeyRow
from services.auth.sealing import Sealer, context_of
from services.auth.tokens import SigningKey
from shared.errors import Unavailable
from shared.postgres import Connection, Database
from shared.tokens import KeySet

FRESH_S = 5.0
JWKS_MAX_AGE_S = 600
SERVICE_TOKEN_MAX_S = 86_400


class KeyRing:
    """This process's view of the keys, read again when older than a few seconds. Any thread may ask."""

    def __init__(self, db: Database, sealer: Sealer) -> None:
        self._db, self._sealer = db, sealer
        self._lock = threading.Lock()
        self._signing: SigningKey | None = None
        self._public: list[dict[str, Any]] = []
        self._read_at = float("-inf")

    def signing_key(self) -> SigningKey:
        """The key that signs now. Do not call it while a connection is held."""
        self._read_if_old()
        if self._signing is None:
            raise Unavailable("There is no key to sign with yet.")
        return self._signing

    def check(self) -> None:
        """Raise unless there is a key to sign with, and SECRET_KEYS opens it."""
        self.signing_key()

    def public_keys(self) -> list[dict[str, Any]]:
        """The JWKs of every key that is, was or will be signing."""
        self._read_if_old()
        return self._public

    def _read_if_old(self) -> None:
        if time.monotonic() - self._read_at < FRESH_S:
            return
        with self._lock:
            if time.monotonic() - self._read_at < FRESH_S:
                return
            try:
                self._read()
            except Unavailable:
                if self._signing is None:
                    raise
            self._read_at = time.monotonic()

    def _read(self) -> None:
        with self._db.transaction() as conn:
            rows = store.list_signing_keys(conn)
            if not any(row.state == "active" for row in rows):
                rows = make_first_key(conn, self._sealer)
        active = next(row for row in rows if row.state == "active")
        if self._signing is None or self._signing.kid != active.kid:
            self._signing = SigningKey(active.kid, _open(self._sealer, active))
        self._public = [row.public_jwk for row in rows]


class OwnKeys(KeySet):
    """The keys that verify: this service asks its own table, not itself over HTTP."""

    def __init__(self, ring: KeyRing) -> None:
        super().__init__("own", max_age_s=FRESH_S, cooldown_s=1)
        self._ring = ring

    def _fetch(self) -> dict[str, jwt.PyJWK]:
        try:
            return {jwk["kid"]: jwt.PyJWK(jwk, "ES256") for jwk in self._ring.public_keys()}
        except Unavailable as error:
            raise ValueError("the keys cannot be read now") from error


def make_first_key(conn: Connection, sealer: Sealer) -> list[SigningKeyRow]:
    """Make the active key unless another process was faster; every key there is now."""
    store.lock_signing_keys(conn)
    if not any(row.state == "active" for row in store.list_signing_keys(conn)):
        _insert(conn, sealer, "active")
    return store.list_signing_keys(conn)


def rotate(conn: Connection, sealer: Sealer, *, publish_s: int, retire_s: int) -> str:
    """One step of a rotation; what was done. Raise TooEarly when the next key may not be known everywhere yet.

    The next key is published for `publish_s` before it signs, the one before verifies for `retire_s` more.
    """
    store.lock_signing_keys(conn)
    following = next((row for row in store.list_signing_keys(conn) if row.state == "pre_published"), None)
    if following is None:
        kid = _insert(conn, sealer, "pre_published")
        return f"{kid} is published; run this again after {_text(datetime.now(UTC) + timedelta(seconds=publish_s))}"
    ready_at = following.created_at + timedelta(seconds=publish_s)
    if datetime.now(UTC) < ready_at:
        raise TooEarly(f"{following.kid} may not be known to every verifier before {_text(ready_at)}")
    store.update_next_key_active(conn)
    return f"{following.kid} signs from now on; the key before it verifies for {retire_s / 3600:.1f} hours more"


def revoke(conn: Connection, sealer: Sealer, kid: str) -> str:
    """Forget a key at once, and with it every token that it signed; what was done. Raise LookupError.

    In place of the one that signs comes the next one, or a new one: verifiers that do not know it yet ask again.
    """
    store.lock_signing_keys(conn)
    state = store.delete_signing_key(conn, kid)
    if state is None:
        raise LookupError(f"there is no key {kid}")
    if state != "active":
        return f"{kid} is gone; it was {state}"
    store.update_next_key_active(conn)
    if not any(row.state == "active" for row in store.list_signing_keys(conn)):
        _insert(conn, sealer, "active")
    active = next(row for row in store.list_signing_keys(conn) if row.state == "active")
    return f"{kid} is gone; {active.kid} signs from now on"


class TooEarly(Exception):
    """The next key was published a moment ago; tokens signed with it could be refused."""


def thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638, SHA-256."""
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _insert(conn: Connection, sealer: Sealer, state: str) -> str:
    private_key = ec.generate_private_key(ec.SECP256R1())
    jwk: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(private_key.public_key()))
    kid = thumbprint(jwk)
    public = {name: jwk[name] for name in ("kty", "crv", "x", "y")} | {"kid": kid, "alg": "ES256", "use": "sig"}
    plain = private_key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    store.insert_signing_key(conn, kid, state, public, sealer.seal(plain, context_of("signing_keys", kid)))
    return kid


def _open(sealer: Sealer, row: SigningKeyRow) -> ec.EllipticCurvePrivateKey:
    plain = sealer.open(bytes(row.private_key_sealed), context_of("signing_keys", row.kid))
    key = serialization.load_der_private_key(plain, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{row.kid} is not an elliptic curve key")
    return key


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
