"""Waiting for an effect that arrives by event."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T], *, timeout_s: float = 15.0, what: str = "") -> T:
    """The first truthy value of `probe`; an assertion that fails inside it is tried again. Fail after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            value: T | None = probe()
            reason = f"the last value was {value!r}"
        except AssertionError as error:
            value, reason = None, str(error)
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or probe.__name__} did not happen within {timeout_s} s: {reason}")
        time.sleep(0.02)
