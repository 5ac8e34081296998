"""Passwords that everybody tries first, offline, and breached ones, asked for with k-anonymity."""

import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from services.auth import breached
from services.auth.breached_build import build
from tests.auth.conftest import Make, Person, Service

LEAKED = "a leaked password nobody would guess"


class Breaches:
    """A service that speaks the protocol of Have I Been Pwned and knows one password."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.delay_s, self.status = 0.0, 200
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        breaches = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                breaches.asked.append(self.path)
                time.sleep(breaches.delay_s)
                suffix = hashlib.sha1(LEAKED.encode(), usedforsecurity=False).hexdigest().upper()[5:]
                body = f"{'0' * 35}:3\r\n{suffix}:42\r\n{'F' * 35}:0\r\n".encode()
                self.send_response(breaches.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def breaches() -> Iterator[Breaches]:
    made = Breaches()
    yield made
    made.close()


@pytest.mark.parametrize("password", ["password", "PassWord1", "iloveyou", "qwerty123", "12345678", "letmein1"])
def test_a_common_password_is_refused_however_it_is_capitalised(service: Service, password: str) -> None:
    reply = Person(service, "alice@example.com", password).sign_up()
    assert (reply.status, reply.code) == (422, "weak_password")
    assert reply["errors"][0]["pointer"] == "#/password"


def test_a_password_cannot_be_changed_to_a_common_one(service: Service, alice: Person) -> None:
    reply = service.call("PUT", "/user", body={"password": "sunshine1"}, headers=alice.headers)
    assert (reply.status, reply.code) == (422, "weak_password")
    assert alice.log_in().status == 200


def test_hardly_any_other_password_is_taken_for_a_common_one() -> None:
    assert sum(breached.is_common(secrets.token_hex(6)) for _ in range(20_000)) < 20


def test_the_filter_is_made_again_bit_for_bit_and_finds_all_that_it_was_made_of() -> None:
    passwords = [f"password number {number}" for number in range(2_000)]
    assert build(passwords) == build([*passwords, "short", "PASSWORD NUMBER 7"])
    bits = build(passwords)
    assert all(bits[at >> 3] >> (at & 7) & 1 for password in passwords for at in breached.positions(password))
    assert len(bits) == len(breached.FILE.read_bytes()) == 250_000


def test_a_breached_password_is_refused_and_only_five_digits_of_its_hash_leave(
    make_service: Make, breaches: Breaches
) -> None:
    service = make_service(breaches_url=breaches.url)
    assert Person(service, "alice@example.com", LEAKED).sign_up().code == "weak_password"
    assert service.person("alice").sign_up().status == 200
    assert all(len(path.removeprefix("/range/")) == 5 for path in breaches.asked) and len(breaches.asked) == 2


@pytest.mark.parametrize("fault", ["slow", "failing", "gone"])
def test_a_service_that_does_not_answer_keeps_nobody_out(
    make_service: Make, breaches: Breaches, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breached, "TIMEOUT_S", 0.2)
    breaches.delay_s, breaches.status = (0.5 if fault == "slow" else 0), (500 if fault == "failing" else 200)
    service = make_service(breaches_url="http://127.0.0.1:1" if fault == "gone" else breaches.url)
    assert Person(service, "alice@example.com", LEAKED).sign_up().status == 200


def test_nobody_is_asked_unless_that_is_switched_on(service: Service, breaches: Breaches) -> None:
    assert Person(service, "alice@example.com", LEAKED).sign_up().status == 200
    assert breaches.asked == []
