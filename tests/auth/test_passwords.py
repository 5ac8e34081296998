"""Hashing in a bounded pool."""

import os
import threading
import time

import pytest

from services.auth.passwords import NICENESS, Passwords
from shared.errors import Unavailable
from tests.auth.conftest import at_once
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("real_costs")


def test_no_more_run_at_once_than_there_are_places() -> None:
    pool = Passwords(2, queue=100)
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


def test_who_finds_the_queue_full_is_asked_to_come_back_at_once() -> None:
    pool = Passwords(1, queue=1, wait_s=60)
    is_over = threading.Event()
    pool._pool.submit(is_over.wait)
    answers = [threading.Thread(target=pool.hash, args=(f"password {n}",)) for n in range(2)]
    for answer in answers:
        answer.start()
    eventually(lambda: pool._pool._work_queue.qsize() == 2, what="one in turn, one in the queue")
    with pytest.raises(Unavailable) as refused:
        pool.hash("one too many")
    assert refused.value.headers["Retry-After"] == "2"
    is_over.set()
    for answer in answers:
        answer.join()
    assert pool.verify(pool.hash("a password"), "a password")


def test_hashing_yields_the_processor_to_whoever_answers_requests() -> None:
    pool = Passwords(1)
    nice = pool._pool.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
    assert nice == NICENESS > os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


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
