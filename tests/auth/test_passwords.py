"""Hashing in a bounded pool."""

import threading
import time

import pytest

from services.auth.passwords import Passwords
from shared.errors import Unavailable
from tests.auth.conftest import at_once


def test_no_more_run_at_once_than_there_are_places() -> None:
    pool = Passwords(2)
    compute = pool._argon2
    running: list[int] = []
    most = 0

    class Counting:
        def hash(self, password: bytes, *, salt: bytes | None) -> str:
            nonlocal most
            running.append(1)
            most = max(most, len(running))
            made = str(compute.hash(password, salt=salt))
            running.pop()
            return made

    pool._argon2 = Counting()
    at_once(lambda n: pool.hash(f"password {n}"), 10)
    assert most == 2


def test_who_waits_too_long_is_asked_to_come_back() -> None:
    pool = Passwords(1, wait_s=0.05)
    is_over = threading.Event()
    occupied = pool._pool.submit(is_over.wait)
    with pytest.raises(Unavailable):
        pool.hash("a password")
    is_over.set()
    assert occupied.result()
    assert pool.verify(pool.hash("a password"), "a password")


def test_without_a_hash_the_answer_is_no_after_the_same_work() -> None:
    pool = Passwords(1)
    real = pool.hash("a password")
    pool.verify(None, "warm up")

    def seconds(password_hash: str | None) -> float:
        started = time.perf_counter()
        assert pool.verify(password_hash, "another password") is False
        return time.perf_counter() - started

    pairs = [(seconds(None), seconds(real)) for _ in range(7)]
    assert min(without for without, _ in pairs) > min(known for _, known in pairs) / 2
    assert pool.verify(None, "the password of nobody") is False


@pytest.mark.parametrize("broken", ["", "x", "$argon2id$v=19$m=1", "$2b$10$abc"])
def test_a_broken_hash_opens_nothing(broken: str) -> None:
    assert Passwords(1).verify(broken, "a password") is False
