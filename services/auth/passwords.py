"""Passwords: argon2id (RFC 9106) in a bounded pool, so that a storm of log-ins cannot take all memory and all cores."""

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from prometheus_client import Histogram

from shared.errors import FieldError, Unavailable, UnprocessableContent

MEMORY_KIB, PASSES, LANES = 19_456, 2, 1
MAX_LENGTH = 128
SECONDS = Histogram(
    "auth_password_seconds",
    "Time a password took, by stage: waiting for a place, or computing",
    ["stage"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


class Passwords:
    """Slow on purpose: call it before a connection is held."""

    def __init__(self, places: int, *, wait_s: float = 5) -> None:
        self._places, self._wait_s = threading.BoundedSemaphore(places), wait_s
        self._argon2 = PasswordHasher(PASSES, MEMORY_KIB, LANES, hash_len=32, salt_len=16, type=Type.ID)
        self._dummy: str | None = None

    def hash(self, password: str) -> str:
        """A PHC string. Raise Unavailable when no place is free within `wait_s`."""
        with self._place():
            return str(self._argon2.hash(_prepare(password)))

    def verify(self, password_hash: str | None, password: str) -> bool:
        """True if it is the password of this hash. Without a hash it is False, after the same work."""
        stored = password_hash or self._dummy_hash()
        with self._place():
            try:
                self._argon2.verify(stored, _prepare(password))
            except (VerifyMismatchError, VerificationError, InvalidHashError):
                return False
        return password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """True if the hash was made with other parameters than today's."""
        return bool(self._argon2.check_needs_rehash(password_hash))

    def _dummy_hash(self) -> str:
        if self._dummy is None:
            self._dummy = self.hash("the password of nobody")
        return self._dummy

    @contextmanager
    def _place(self) -> Iterator[None]:
        with SECONDS.labels("waiting").time():
            has_place = self._places.acquire(timeout=self._wait_s)
        if not has_place:
            raise Unavailable("Too many people are logging in at once.", retry_after_s=2)
        try:
            with SECONDS.labels("computing").time():
                yield
        finally:
            self._places.release()


def require_strong(password: str, min_length: int) -> None:
    """Raise UnprocessableContent(weak_password)."""
    if len(password) < min_length:
        detail = f"A password has at least {min_length} characters."
        raise UnprocessableContent(
            detail, code="weak_password", errors=[FieldError(detail=detail, pointer="#/password")]
        )


def _prepare(password: str) -> bytes:
    """NFC, as RFC 8265 wants: one keyboard composes an accent, another sends it apart."""
    return unicodedata.normalize("NFC", password).encode()
