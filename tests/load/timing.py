"""`make timing`: does the time of an answer tell who has an account? The real process is asked in turns for addresses
that are known and for addresses that are not.

Exits with 1 where the medians surely differ by more than 0.5 ms and 5 %: with the few requests that are let through for
one address, less is lost in the noise of a network.
"""

import argparse
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.auth.passwords import Passwords
from shared.postgres import Database
from tests.load.auth import PASSWORD, service_environment, wait_until_ready
from tests.load.effects import Effect, compare
from tests.support.databases import ROOT, Databases
from tests.support.servers import Servers

LEAST_MS, LEAST_SHARE = 0.5, 0.05
GENEROUS = dict.fromkeys(
    (
        "LOG_IN_TRIES", "LOG_IN_TRIES_PER_ACCOUNT", "LOG_IN_TRIES_PER_PLACE", "MAILS_PER_HOUR", "MAILS_PER_PLACE",
        "SMS_PER_HOUR", "SMS_PER_DAY", "SMS_PER_BLOCK", "SMS_PER_PLACE",
    ),
    "1000000",
)  # fmt: skip
HOOK = {"HOOK_SEND_SMS_URL": "http://127.0.0.1:9/sms", "HOOK_SECRETS": "v1,whsec_" + "c2VjcmV0" * 4}


@dataclass(frozen=True)
class Question:
    """One endpoint, asked for somebody of this kind (a column of the people that are made) and for nobody."""

    name: str
    path: str
    kind: str
    body: Callable[[str], dict[str, Any]]


def _mail(**more: Any) -> Callable[[str], dict[str, Any]]:
    return lambda to: {"email": to, **more}


def _phone(**more: Any) -> Callable[[str], dict[str, Any]]:
    return lambda to: {"phone": to, **more}


WRONG = {"password": "a wrong password of somebody"}
QUESTIONS = [
    Question("log-in, wrong password", "/token?grant_type=password", "confirmed", _mail(**WRONG)),
    Question("log-in, unconfirmed", "/token?grant_type=password", "unconfirmed", _mail(**WRONG)),
    Question("log-in, no password", "/token?grant_type=password", "passwordless", _mail(**WRONG)),
    Question("log-in, number", "/token?grant_type=password", "phone", _phone(**WRONG)),
    Question("sign-up, confirmed", "/signup", "confirmed", _mail(password=PASSWORD)),
    Question("sign-up, unconfirmed", "/signup", "unconfirmed", _mail(password=PASSWORD)),
    Question("sign-up, number", "/signup", "phone", _phone(password=PASSWORD)),
    Question("otp", "/otp", "confirmed", _mail()),
    Question("otp, no new users", "/otp", "confirmed", _mail(create_user=False)),
    Question("otp, unconfirmed", "/otp", "unconfirmed", _mail()),
    Question("otp, number", "/otp", "phone", _phone()),
    Question("otp, number, no new", "/otp", "phone", _phone(create_user=False)),
    Question("magiclink", "/magiclink", "confirmed", _mail()),
    Question("recover", "/recover", "confirmed", _mail()),
    Question("recover, unconfirmed", "/recover", "unconfirmed", _mail()),
    Question("resend, sign-up", "/resend", "unconfirmed", _mail(type="signup")),
    Question("resend, confirmed", "/resend", "confirmed", _mail(type="signup")),
    Question("resend, change", "/resend", "changing", _mail(type="email_change")),
    Question("resend, number", "/resend", "phone_unconfirmed", _phone(type="sms")),
    Question("verify, no code", "/verify", "confirmed", _mail(type="email", token="123456")),
    Question("verify, wrong code", "/verify", "waiting", _mail(type="email", token="123456")),
]


@contextmanager
def service() -> Iterator[tuple[str, Database]]:
    servers, process = Servers(), None
    try:
        url = Databases(servers.postgres).fresh("auth")
        base, environment = service_environment(url)
        environment |= {"AUTOCONFIRM": "false", "PASSWORD_HASHERS": "2", **GENEROUS, **HOOK}
        subprocess.run([sys.executable, "-m", "services.auth", "migrate"], cwd=ROOT, env=environment, check=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "services.auth", "serve"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
        )
        wait_until_ready(base)
        yield base, Database(url, size=1)
    finally:
        if process is not None:
            process.terminate()
            process.wait(30)
        servers.stop()


def people(db: Database, question: Question, number: int, count: int) -> list[str]:
    """So many of the kind that a question is about: each is asked once, as a first request of a minute would be."""
    is_phone = question.kind.startswith("phone")
    password_hash = None if question.kind == "passwordless" else Passwords(1).hash(PASSWORD)
    sql = """
        INSERT INTO users (id, email, phone, password_hash, email_confirmed_at, phone_confirmed_at, new_email)
        SELECT gen_random_uuid(), CASE WHEN NOT %(is_phone)s THEN 'known' || n || '.%(number)s@example.com' END,
               CASE WHEN %(is_phone)s THEN (49150000000000 + %(number)s * 1000000 + n)::text END, %(password_hash)s,
               CASE WHEN NOT %(is_phone)s AND %(kind)s <> 'unconfirmed' THEN now() END,
               CASE WHEN %(kind)s = 'phone' THEN now() END,
               CASE WHEN %(kind)s = 'changing' THEN 'new' || n || '.%(number)s@example.com' END
        FROM generate_series(1, %(count)s) AS n
        RETURNING coalesce(email, phone) AS address
    """
    params = {
        "is_phone": is_phone, "number": number, "count": count, "kind": question.kind, "password_hash": password_hash,
    }  # fmt: skip
    with db.transaction() as conn, conn.cursor() as cursor:
        cursor.execute(sql, params)
        return [row["address"] for row in cursor.fetchall()]


def nobody(question: Question, number: int, n: int) -> str:
    return f"4916{number:02}{n:08}" if question.kind.startswith("phone") else f"other{n}.{number}@example.com"


class Asker:
    """One connection, kept open."""

    def __init__(self, base: str) -> None:
        self._http = http.client.HTTPConnection(urlsplit(base).netloc, timeout=30)
        self._http.connect()
        self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, path: str, body: dict[str, Any]) -> tuple[float, int]:
        """Seconds until the whole answer was there, and its status."""
        data = json.dumps(body).encode()
        began = time.perf_counter()
        self._http.request("POST", f"/auth/v1{path}", data, {"Content-Type": "application/json"})
        answer = self._http.getresponse()
        answer.read()
        return time.perf_counter() - began, answer.status


def measure(question: Question, number: int, asker: Asker, db: Database, pairs: int) -> Effect:
    """Ask in pairs, in an order that is drawn anew for each. Raise AssertionError if the statuses differ."""
    known = people(db, question, number, pairs)
    if question.kind == "waiting":
        for address in known:
            asker.ask("/otp", {"email": address})
    times: tuple[list[float], list[float]] = ([], [])
    statuses: tuple[set[int], set[int]] = (set(), set())
    draw = random.Random(number)
    for n, address in enumerate(known):
        pair = [(0, address), (1, nobody(question, number, n))]
        draw.shuffle(pair)
        for side, to in pair:
            seconds, status = asker.ask(question.path, question.body(to))
            times[side].append(seconds)
            statuses[side].add(status)
    assert statuses[0] == statuses[1], f"{question.name}: {statuses}"
    return compare(*times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--only", nargs="*", help="parts of the names of questions")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    effects: dict[str, Effect] = {}
    with service() as (base, db):
        asker = Asker(base)
        for _ in range(30):
            asker.ask("/token?grant_type=password", {"email": "warm@example.com", **WRONG})
            asker.ask("/recover", {"email": "warm@example.com"})
        print(f"{'':<24}{'known':>9}{'nobody':>9}{'differ':>9}{'99 % within':>18}{'known>nobody':>14}{'p':>9}   ms")
        for number, question in enumerate(QUESTIONS):
            if arguments.only and not any(part in question.name for part in arguments.only):
                continue
            effect = effects[question.name] = measure(question, number, asker, db, arguments.pairs)
            verdict = "TELLS" if effect.matters(LEAST_MS, LEAST_SHARE) else "tells nothing"
            print(
                f"{question.name:<24}{effect.first_ms:>9.2f}{effect.second_ms:>9.2f}{effect.difference_ms:>+9.2f}"
                f"{effect.low_ms:>+9.2f}{effect.high_ms:>+9.2f}{effect.superiority:>14.2f}{effect.p:>9.1g}   {verdict}",
                flush=True,
            )
        db.close()
    if arguments.json:
        arguments.json.write_text(
            json.dumps({name: asdict(effect) for name, effect in effects.items()}, indent=2) + "\n"
        )
    return int(any(effect.matters(LEAST_MS, LEAST_SHARE) for effect in effects.values()))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    sys.exit(main())
