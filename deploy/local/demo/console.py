"""What the journey prints, and how a step fails: with what was expected and what came."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import requests

T = TypeVar("T")
SECRET_FIELDS = {"access_token", "refresh_token", "password", "token", "token_hash"}
GREEN, RED, DIM, BOLD, PLAIN = ("\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m")


class Failed(Exception):
    """A step did not go as it must."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}, came {came}")
        self.expected, self.came = expected, came


class Console:
    """Numbers the steps, prints what came back and how long it took."""

    def __init__(self) -> None:
        self._count = 0
        self._is_coloured = sys.stdout.isatty()
        self.began = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self._count += 1
        print(f"\n{self._paint(f'{self._count:2}. {title}', BOLD)}", flush=True)
        began = time.monotonic()
        try:
            yield
        except Failed as failed:
            print(f"    {self._paint('✗', RED)} expected  {failed.expected}\n      came      {failed.came}", flush=True)
            raise
        took_ms = (time.monotonic() - began) * 1000
        print(f"    {self._paint('✓', GREEN)} {self._paint(f'{took_ms:.0f} ms in all', DIM)}", flush=True)

    def say(self, text: str) -> None:
        print(f"      {text}", flush=True)

    def call(self, answer: requests.Response, note: str = "") -> None:
        """One line for one request: who called what, the status, how long it took, what came back."""
        took_ms = answer.elapsed.total_seconds() * 1000
        path = str(answer.request.path_url).split("?")[0]
        line = f"{answer.request.method:<6} {_shorten(path, 52):<52} {answer.status_code} {took_ms:6.0f} ms"
        print(f"      {self._paint(line, DIM)}  {note}", flush=True)

    def _paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{PLAIN}" if self._is_coloured else text


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def expect(answer: requests.Response, status: int, code: str | None = None) -> Any:
    """The answer's JSON (None without a body) if the status, and the problem's code if given, are as they must be."""
    if answer.status_code != status:
        raise Failed(f"{status} from {answer.request.method} {answer.url}", f"{answer.status_code}: {shown(answer)}")
    body: Any = answer.json() if answer.content else None
    if code is not None and (body or {}).get("code") != code:
        raise Failed(f"the problem {code}", shown(answer))
    return body


def check(is_so: bool, expected: str, came: object) -> None:
    """Fail the step unless `is_so`."""
    if not is_so:
        raise Failed(expected, repr(came)[:300])


def eventually(probe: Callable[[], T | None], expected: str, *, timeout_s: float = 15) -> T:
    """The first value of `probe` that is not empty: what arrives by event has no fixed moment."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"{expected} within {timeout_s:.0f} s", "nothing")
        time.sleep(0.02)


def shown(answer: requests.Response) -> str:
    """The body for a reader, without the secrets that a transcript must not hold."""
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:200]
    if isinstance(body, dict):
        body = {name: "…" if name in SECRET_FIELDS else value for name, value in body.items()}
    return json.dumps(body, ensure_ascii=False)[:300]
