"""A rotation of the signing key while people are busy, through the real gateway: nobody notices."""

import sys
import threading
import time

import jwt
import requests

from tests.support.platform import Platform
from tests.support.signed_up import SignedUp
from tests.support.waiting import eventually

READERS = 4


class Load:
    """People who read their account again and again, and one who refreshes; `refused` is what was not answered 200."""

    def __init__(self, platform: Platform, person: SignedUp) -> None:
        self.person, self.answered = person, 0
        self.refused: list[str] = []
        self._gateway, self._is_over = platform.url("gateway"), threading.Event()
        first = person.access_token
        tasks = [lambda: self._read(lambda: first)] * (READERS // 2)  # a token of the key before, all the time
        tasks += [lambda: self._read(lambda: person.access_token)] * (READERS // 2) + [self._refresh]
        self._threads = [threading.Thread(target=task) for task in tasks]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _read(self, token: object) -> None:
        assert callable(token)
        with requests.Session() as session:
            while not self._is_over.wait(0.01):
                headers = {"Authorization": f"Bearer {token()}"}
                self._note(session.get(f"{self._gateway}/auth/v1/user", headers=headers, timeout=20))

    def _refresh(self) -> None:
        while not self._is_over.wait(0.2):
            body = {"refresh_token": self.person.session["refresh_token"]}
            answer = requests.post(f"{self._gateway}/auth/v1/token?grant_type=refresh_token", json=body, timeout=20)
            self._note(answer)
            self.person.session = answer.json() if answer.ok else self.person.session

    def _note(self, answer: requests.Response) -> None:
        self.answered += 1
        if answer.status_code != 200:
            self.refused.append(f"{time.monotonic()}: {answer.status_code} {answer.text}")

    @property
    def kid(self) -> str:
        return str(jwt.get_unverified_header(self.person.access_token)["kid"])


def _rotate(platform: Platform, **settings: str) -> str:
    command = ["env", *(f"{name}={value}" for name, value in settings.items())]
    done = platform.run(
        "deploy.local", "run", "auth", *command, sys.executable, "-m", "services.auth", "keys", "rotate"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_rotation_of_the_key_refuses_no_valid_token(platform: Platform) -> None:
    gateway = platform.url("gateway")
    with Load(platform, SignedUp(platform)) as load:
        before = load.kid
        assert "is published" in _rotate(platform)

        def published() -> bool:
            keys = requests.get(f"{gateway}/auth/v1/.well-known/jwks.json", timeout=5).json()["keys"]
            return len(keys) == 2

        eventually(published, what="the next key is published")
        assert "signs from now on" in _rotate(platform, KEY_PUBLISH_S="0")
        eventually(lambda: load.kid != before, what="tokens of the next key")
        answered = load.answered
        eventually(lambda: load.answered > answered + 200, what="more requests with both keys")
    assert load.refused == []
