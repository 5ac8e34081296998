"""Password hashes that other systems made: verified once, at the first log-in, and then replaced by one of ours.

| starts with | made by |
|---|---|
| `$2a$` `$2b$` `$2y$` | bcrypt |
| `$pbkdf2-sha256$` `$pbkdf2-sha512$` `$pbkdf2$` | PBKDF2 as passlib writes it |
| `pbkdf2_sha256$` `pbkdf2_sha1$` | PBKDF2 as Django writes it |
| `$fbscrypt$v=1,n=…,r=…,p=…,ss=…,sk=…$salt$hash` | Firebase's scrypt, as supabase/auth writes it |
| `$argon2id$` `$argon2i$` `$argon2d$` | argon2 with any parameters (verified by `passwords.py`) |
"""

import base64
import binascii
import hashlib
import hmac
import re

import bcrypt
from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}")
BCRYPT_MAX_BYTES = 72  # what bcrypt itself looks at
PASSLIB = re.compile(r"\$pbkdf2(?:-(sha256|sha512))?\$([0-9]{1,7})\$([./A-Za-z0-9]+)\$([./A-Za-z0-9]+)")
DJANGO = re.compile(r"pbkdf2_(sha1|sha256)\$([0-9]{1,7})\$([^$]+)\$([A-Za-z0-9+/]+=*)")
B64 = r"[A-Za-z0-9+/]+=*"
FIREBASE = re.compile(rf"\$fbscrypt\$v=1,n=([0-9]+),r=([0-9]+),p=([0-9]+),ss=({B64}),sk=({B64})\$({B64})\$({B64})")
MAX_ROUNDS, MAX_SCRYPT_COST, MAX_SCRYPT_BYTES, MAX_ARGON2_KIB = 2_000_000, 16, 128 * 1024 * 1024, 262_144


def is_supported(stored: str) -> bool:
    """True if this service can verify it, at a cost that does not stop it."""
    if stored.startswith("$argon2"):
        return _is_bearable_argon2(stored)
    try:
        verify(stored, b"any")
    except ValueError:
        return False
    return True


def verify(stored: str, password: bytes) -> bool:
    """True if it is the password of this hash. Raise ValueError for what is none, or would cost too much."""
    if BCRYPT.fullmatch(stored):
        return bool(bcrypt.checkpw(password[:BCRYPT_MAX_BYTES], stored.encode()))
    if match := PASSLIB.fullmatch(stored):
        name, rounds, salt, expected = match.groups()
        return _is_pbkdf2(name or "sha1", rounds, _adapted(salt), _adapted(expected), password)
    if match := DJANGO.fullmatch(stored):
        name, rounds, salt, expected = match.groups()
        return _is_pbkdf2(name, rounds, salt.encode(), _decoded(expected), password)
    if match := FIREBASE.fullmatch(stored):
        return _is_firebase(match, password)
    raise ValueError("a password hash of a kind that is not known")


def _is_pbkdf2(name: str, rounds: str, salt: bytes, expected: bytes, password: bytes) -> bool:
    if not 1 <= int(rounds) <= MAX_ROUNDS or not 16 <= len(expected) <= 64:
        raise ValueError("PBKDF2 with unusual parameters")
    return hmac.compare_digest(hashlib.pbkdf2_hmac(name, password, salt, int(rounds), len(expected)), expected)


def _is_firebase(match: re.Match[str], password: bytes) -> bool:
    """The scrypt of the password is an AES-CTR key; the hash is the project's signer key, encrypted with it."""
    cost, block, lanes = (int(number) for number in match.groups()[:3])
    separator, signer_key, salt, expected = (_decoded(part) for part in match.groups()[3:])
    if not (1 <= cost <= MAX_SCRYPT_COST and 1 <= block <= 16 and 1 <= lanes <= 4):
        raise ValueError("scrypt with unusual parameters")
    key = hashlib.scrypt(
        password, salt=salt + separator, n=1 << cost, r=block, p=lanes, dklen=32, maxmem=2 * MAX_SCRYPT_BYTES
    )
    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return bool(hmac.compare_digest(encryptor.update(signer_key) + encryptor.finalize(), expected))


def _is_bearable_argon2(stored: str) -> bool:
    try:
        parameters = extract_parameters(stored)
    except (InvalidHashError, ValueError):
        return False
    is_small = parameters.memory_cost <= MAX_ARGON2_KIB
    return bool(is_small and parameters.time_cost <= 20 and parameters.parallelism <= 16)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _adapted(text: str) -> bytes:
    """passlib's base64: `.` for `+`, without padding."""
    return _decoded(text.replace(".", "+") + "=" * (-len(text) % 4))
