"""Secrets at rest: AES-256-GCM under a list of keys, and keyed hashes. The first key writes, all of them read.

A column that holds sealed bytes is called `…_sealed`, its context is `context_of(table, key)`, so that a value opens in
its own row only, and it is listed in `resealing.SEALED`, so that a change of SECRET_KEYS reaches it.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_ID_BYTES = 4
NONCE_BYTES = 12


class CannotOpen(Exception):
    """No key of the list opens this: SECRET_KEYS lost a key that is still needed, or the bytes were changed."""


class Sealer:
    """Every use has a key of its own, derived from the listed ones, so that no output serves for another use."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = list(keys)
        self._derived: dict[str, list[bytes]] = {}
        self._sealing = {_key_id(key): AESGCM(_derive(key, "aes-256-gcm")) for key in keys}

    def __repr__(self) -> str:
        return f"Sealer({len(self._keys)} keys)"

    def seal(self, plain: bytes, context: str) -> bytes:
        """Key id, nonce and ciphertext; it opens only with the same `context` (where it is kept)."""
        key_id, nonce = self.current_key_id, os.urandom(NONCE_BYTES)
        return key_id + nonce + self._sealing[key_id].encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """The plain bytes. Raise CannotOpen."""
        key_id, rest = sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES:]
        cipher = self._sealing.get(key_id)
        if cipher is None:
            raise CannotOpen("sealed with a key that SECRET_KEYS does not hold")
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise CannotOpen("sealed bytes that were changed, or belong elsewhere") from error

    @property
    def current_key_id(self) -> bytes:
        """What everything sealed with the first key starts with."""
        return _key_id(self._keys[0])

    def macs(self, message: bytes, purpose: str) -> list[bytes]:
        """HMAC-SHA-256 of the message under each key; the first is the one to write."""
        derived = self._derived.get(purpose)
        if derived is None:
            derived = self._derived[purpose] = [_derive(key, purpose) for key in self._keys]
        return [hmac.digest(key, message, "sha256") for key in derived]


def context_of(table: str, key: object) -> str:
    """What binds sealed bytes to their row."""
    return f"{table}/{key}"


def _derive(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, b"gatehouse auth " + purpose.encode(), "sha256")


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"gatehouse key id" + key).digest()[:KEY_ID_BYTES]
