"""`python -m services.auth import`: people of other systems log in with the password they have."""

import base64
import hashlib
import json
from pathlib import Path

import bcrypt
import pytest
from argon2 import PasswordHasher

from services.auth import foreign_hashes
from tests.auth.conftest import PASSWORD, Person, Service, Start, output_of

# The example of github.com/firebase/scrypt, its parts in the order of `foreign_hashes`.
FIREBASE_PASSWORD = "user1password"
SIGNER_KEY = "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
FIREBASE_HASH = "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
FIREBASE = f"$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk={SIGNER_KEY}$42xEC+ixf3L2lw==${FIREBASE_HASH}"


def _adapted(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode().replace("+", ".")


SALT = b"sixteen bytes ok"
MADE = {
    "bcrypt": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode(),
    "bcrypt of PHP": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$"),
    "argon2i": PasswordHasher(1, 1024, 1).hash(PASSWORD),
    "passlib": "$pbkdf2-sha256$1000$"
    + _adapted(SALT)
    + "$"
    + _adapted(hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, 1000)),
    "Django": "pbkdf2_sha256$1000$seasalt$"
    + base64.b64encode(hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"seasalt", 1000)).decode(),
}
VECTORS = {
    "bcrypt": ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", b"U*U"),
    "PBKDF2 of RFC 6070": (
        "$pbkdf2$4096$" + _adapted(b"salt") + "$" + _adapted(bytes.fromhex("4b007901b765489abead49d926f721d065a429c1")),
        b"password",
    ),
    "passlib": (
        "$pbkdf2-sha256$29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN33N23OSgQYThBYRfk",
        b"toomanysecrets",
    ),
    "Firebase": (FIREBASE, FIREBASE_PASSWORD.encode()),
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_published_example_is_verified_and_no_other_password(name: str) -> None:
    stored, password = VECTORS[name]
    assert foreign_hashes.verify(stored, password)
    assert not foreign_hashes.verify(stored, password + b"x")


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "password",
        "$2b$31$" + "a" * 53,
        "$pbkdf2-sha256$9999999$abcd$" + "a" * 43,
        "pbkdf2_md5$1$salt$aaaa",
        "pbkdf2_sha256$1$salt$aaaa",
        FIREBASE.replace("n=14", "n=40"),
        "$argon2id$v=19$m=99999999,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$broken",
    ],
)
def test_what_is_no_hash_or_would_cost_too_much_is_not_taken(stored: str) -> None:
    assert not foreign_hashes.is_supported(stored)


def _import(service: Service, start: Start, tmp_path: Path, *lines: object) -> tuple[int, str, str]:
    file = tmp_path / "users.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return output_of(start(service.parts.settings, "import", str(file)))


@pytest.mark.usefixtures("real_costs")
def test_everybody_logs_in_with_the_old_password_and_has_one_of_our_hashes_then(
    service: Service, start: Start, tmp_path: Path
) -> None:
    people = {f"p{number}@example.com": stored for number, stored in enumerate(MADE.values())}
    lines = [{"email": email, "password_hash": made, "email_confirmed": True} for email, made in people.items()]
    lines.append({"email": "fire@example.com", "password_hash": FIREBASE, "email_confirmed": True})
    status, out, err = _import(service, start, tmp_path, *lines)
    assert (status, err) == (0, "") and "6 users imported" in out
    logins = [Person(service, email) for email in people]
    logins.append(Person(service, "fire@example.com", FIREBASE_PASSWORD))
    for person in logins:
        assert Person(service, person.email, "wrong password").log_in().code == "invalid_credentials"
        assert person.log_in().status == 200
        (row,) = service.rows("SELECT password_hash FROM users WHERE email = %(email)s", email=person.email)
        assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert person.log_in().status == 200
    assert len(service.events("user.registered")) == len(service.events("user.updated")) == 6


def test_an_import_is_repeated_without_harm_and_wrong_lines_are_named_by_number(
    service: Service, start: Start, tmp_path: Path
) -> None:
    alice = service.member("alice")
    good = {"id": "01900000-0000-7000-8000-00000000000a", "email": "New@Example.com", "user_metadata": {"name": "N"}}
    lines = [good, "not json", {"email": alice.email}, {"email": "x", "password_hash": "secret-text"}, "", {"e": 1}]
    status, out, err = _import(service, start, tmp_path, *lines)
    assert status == 1 and "1 users imported, 1 were there already, 3 lines are wrong" in out
    assert [line.split(":")[0] for line in err.strip().splitlines()] == ["line 2", "line 4", "line 6"]
    assert "secret-text" not in out + err
    assert "0 users imported, 2 were there already" in _import(service, start, tmp_path, *lines)[1]
    (row,) = service.rows("SELECT id::text, user_metadata FROM users WHERE email = 'new@example.com'")
    assert (row["id"], row["user_metadata"]) == (good["id"], {"name": "N"})
    assert alice.log_in().status == 200
