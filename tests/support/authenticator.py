"""A software authenticator of WebAuthn: makes keys and signs with them, and lies wherever a test tells it to."""

import base64
import hashlib
import json
import os
import struct
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

PRESENT, VERIFIED, BACKUP_ELIGIBLE, BACKED_UP, HAS_KEY = 0x01, 0x04, 0x08, 0x10, 0x40
ES256, EDDSA, RS256 = -7, -8, -257
Json = dict[str, Any]


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One key on one device. Change a field, and it is what the next response claims."""

    origin: str
    algorithm: int = ES256
    aaguid: bytes = bytes(16)
    flags: int = PRESENT | VERIFIED | BACKUP_ELIGIBLE | BACKED_UP
    sign_count: int = 0
    counts: bool = False
    rp_id: str | None = None
    cross_origin: bool = False
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    user_handle: bytes = b""
    private_key: Any = None

    def __post_init__(self) -> None:
        match self.algorithm:
            case -8:
                self.private_key = ed25519.Ed25519PrivateKey.generate()
            case -257:
                self.private_key = rsa.generate_private_key(65537, 2048)
            case _:
                self.private_key = ec.generate_private_key(ec.SECP256R1())

    def create(self, options: Json, *, public_key: bytes | None = None, **client_data: Any) -> Json:
        """What `navigator.credentials.create` gives, as JSON."""
        self.user_handle = decode(options["user"]["id"])
        self.rp_id = self.rp_id or options["rp"]["id"]
        key = self.cose_key() if public_key is None else public_key
        attested = self.aaguid + struct.pack(">H", len(self.credential_id)) + self.credential_id + key
        auth_data = self._auth_data(self.flags | HAS_KEY) + attested
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": auth_data})
        response = {
            "clientDataJSON": encode(self._client_data("webauthn.create", options["challenge"], client_data)),
            "attestationObject": encode(statement),
            "transports": ["internal", "hybrid"],
        }
        return self._credential(response)

    def get(self, options: Json, *, type: str = "webauthn.get", **client_data: Any) -> Json:
        """What `navigator.credentials.get` gives, as JSON."""
        self.sign_count += self.counts
        signed = self._client_data(type, options["challenge"], client_data)
        auth_data = self._auth_data(self.flags)
        response = {
            "clientDataJSON": encode(signed),
            "authenticatorData": encode(auth_data),
            "signature": encode(self._sign(auth_data + hashlib.sha256(signed).digest())),
            "userHandle": encode(self.user_handle),
        }
        return self._credential(response)

    def cose_key(self, **changes: Any) -> bytes:
        """The public key as COSE (RFC 9052) has it."""
        public = self.private_key.public_key()
        if isinstance(public, ec.EllipticCurvePublicKey):
            numbers = public.public_numbers()
            key: dict[int, Any] = {1: 2, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        elif isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()  # type: ignore[assignment]
            key = {1: 3, -1: numbers.n.to_bytes(public.key_size // 8, "big"), -2: b"\x01\x00\x01"}  # type: ignore[attr-defined]
        else:
            key = {1: 1, -1: 6, -2: public.public_bytes_raw()}
        return cbor2.dumps({**key, 3: changes.get("alg", self.algorithm)})

    def _auth_data(self, flags: int) -> bytes:
        assert self.rp_id is not None
        return hashlib.sha256(self.rp_id.encode()).digest() + struct.pack(">BI", flags, self.sign_count)

    def _client_data(self, type: str, challenge: str, changes: Json) -> bytes:
        said = {"type": type, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin}
        return json.dumps(said | changes).encode()

    def _sign(self, data: bytes) -> bytes:
        if isinstance(self.private_key, ec.EllipticCurvePrivateKey):
            return self.private_key.sign(data, ec.ECDSA(hashes.SHA256()))
        if isinstance(self.private_key, rsa.RSAPrivateKey):
            return self.private_key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        signature: bytes = self.private_key.sign(data)
        return signature

    def _credential(self, response: Json) -> Json:
        return {
            "id": encode(self.credential_id),
            "rawId": encode(self.credential_id),
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
        }
