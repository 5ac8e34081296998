"""Passwords: argon2id (RFC 9106) in a bounded pool, so that a storm of log-ins cannot take all memory and all cores."""

import os
import threading
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from prometheus_client import Histogram

from services.auth import breached, foreign_hashes
from shared.errors import FieldError, Unavailable, UnprocessableContent

T = TypeVar("T")
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1
MAX_LENGTH = 128
NICENESS = 10
SECONDS = Histogram(
    "auth_password_seconds",
    "Time a password took, by stage: waiting for a place, or computing",
    ["stage"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


class Passwords:
    """Slow on purpose: call it before a connection is held.

    The work is done by `places` threads of its own: what argon2 takes from the allocator stays with the thread that
    took it, and every request thread would come to keep its 19 MiB. They yield the processor to the others, and no more
    than `queue` requests wait for them: so a storm of log-ins takes neither all cores nor all threads.
    """

    def __init__(self, places: int, *, queue: int = 4, wait_s: float = 5) -> None:
        self._wait_s = wait_s
        self._room = threading.BoundedSemaphore(places + queue)
        self._pool = ThreadPoolExecutor(places, thread_name_prefix="password", initializer=_yield_to_others)
        self._argon2 = PasswordHasher(PASSES, MEMORY_KIB, LANES, hash_len=32, salt_len=16, type=Type.ID)
        self._dummy: str | None = None

    def hash(self, password: str, *, salt: bytes | None = None) -> str:
        """A PHC string, salted at random unless told. Raise Unavailable when no place is free within `wait_s`, or too
        many wait already."""
        return self._run(lambda: str(self._argon2.hash(_prepare(password), salt=salt)))

    def verify(self, password_hash: str | None, password: str, *, decoy: str | None = None) -> bool:
        """True if it is the password of this hash. Without one it is False, after the same work, or that of `decoy`."""
        stored = password_hash or decoy or self._dummy_hash()
        return self._run(lambda: self._is_right(stored, password)) and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """True if the hash was made with other parameters than today's, or by another system."""
        return not password_hash.startswith("$argon2id$") or bool(self._argon2.check_needs_rehash(password_hash))

    def _is_right(self, password_hash: str, password: str) -> bool:
        try:
            if password_hash.startswith("$argon2"):
                return bool(self._argon2.verify(password_hash, _prepare(password)))
            # Another system hashed what the keyboard sent; NFC is ours.
            spellings = dict.fromkeys((password.encode(), _prepare(password)))
            return any(foreign_hashes.verify(password_hash, spelling) for spelling in spellings)
        except (VerificationError, InvalidHashError, ValueError):
            return False

    def _dummy_hash(self) -> str:
        if self._dummy is None:
            self._dummy = self.hash("the password of nobody")
        return self._dummy

    def _run(self, work: Callable[[], T]) -> T:
        if not self._room.acquire(blocking=False):
            raise _too_many()
        try:
            return self._run_in_turn(work)
        finally:
            self._room.release()

    def _run_in_turn(self, work: Callable[[], T]) -> T:
        asked_at = time.perf_counter()

        def timed() -> T:
            SECONDS.labels("waiting").observe(time.perf_counter() - asked_at)
            with SECONDS.labels("computing").time():
                return work()

        future = self._pool.submit(timed)
        try:
            return future.result(self._wait_s)
        except TimeoutError:
            if future.cancel():
                raise _too_many() from None
            return future.result()


def _too_many() -> Unavailable:
    return Unavailable("Too many people are logging in at once.", retry_after_s=2)


def _yield_to_others() -> None:
    """Linux knows the niceness of a thread: whoever answers a request goes before whoever hashes."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def require_strong(password: str, min_length: int, *, breaches_url: str = "") -> None:
    """Raise UnprocessableContent(weak_password). With `breaches_url` a service is asked, so hold no connection."""
    if len(password) < min_length:
        raise _weak(f"A password has at least {min_length} characters.")
    if breached.is_common(password):
        raise _weak("This password is one of the first that anybody tries. Choose another.")
    if breaches_url and breached.is_known_at(breaches_url, password):
        raise _weak("This password is known from a breach elsewhere. Choose another.")


def _weak(detail: str) -> UnprocessableContent:
    field = FieldError(detail=detail, pointer="#/password")
    return UnprocessableContent(detail, code="weak_password", errors=[field])


def _prepare(password: str) -> bytes:
    """NFC, as RFC 8265 wants: one keyboard composes an accent, another sends it apart."""
    return unicodedata.normalize("NFC", password).encode()
