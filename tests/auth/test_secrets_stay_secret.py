"""What is secret is in no log line and no repr."""

import logging
import os
from collections.abc import Iterator

import pytest

from services.auth import bodies, models
from services.auth.sealing import Sealer
from services.auth.tokens import AccessToken
from shared.postgres import fetch_one
from tests.auth.conftest import PASSWORD, Person, Service


class Lines(logging.Handler):
    """Everything that is logged, before the redaction that is only the last net."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += f"{record.getMessage()} {vars(record)} {record.exc_info and record.exc_info[1]!r}\n"


@pytest.fixture
def lines(service: Service) -> Iterator[Lines]:
    handler = Lines()
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(logging.INFO)


def test_no_password_token_or_code_is_logged_whatever_happens(service: Service, lines: Lines) -> None:
    alice = service.person("alice")
    alice.sign_up()
    mail = service.mail_to(alice.email)
    service.get(f"/verify?type=signup&token_hash={mail['token_hash']}")
    alice.confirm()
    sessions = [alice.session, alice.log_in().json, alice.refresh().json]
    Person(service, alice.email, "wrong password").log_in()
    service.post("/verify", {"type": "signup", "email": alice.email, "token": "wrong-code"})
    service.call("PUT", "/user", body={"password": "a new password"}, headers=alice.headers)
    service.post("/signup", {"email": "not an address", "password": PASSWORD, "data": 1})
    with service.without_outbox():
        assert service.person("bob").sign_up().status == 500
        assert Person(service, alice.email, "a new password").log_in().status == 500

    assert "/auth/v1/signup" in lines.text and "UndefinedTable" in lines.text
    tokens = [token for session in sessions for token in (session["access_token"], session["refresh_token"])]
    hashes = [row["password_hash"] for row in service.rows("SELECT password_hash FROM users")]
    for secret in (PASSWORD, "a new password", "wrong password", "wrong-code", mail["token_hash"], *tokens, *hashes):
        assert secret not in lines.text


def test_no_secret_shows_in_a_repr(service: Service, alice: Person) -> None:
    key = os.urandom(32)
    reprs = [
        repr(bodies.SignUp(email="a@example.com", password=PASSWORD)),
        repr(bodies.Grant(refresh_token=alice.session["refresh_token"])),
        repr(models.Session.model_validate(alice.session)),
        repr(AccessToken(alice.session["access_token"], 1, 600)),
        repr(Sealer([key])),
        repr(service.parts),
    ]
    from services.auth.rows import User
    from services.auth.store.users import COLUMNS

    with service.db.transaction() as conn:
        user = fetch_one(conn, User, f"SELECT {COLUMNS} FROM users")  # noqa: S608
    reprs.append(repr(user))
    text = "\n".join(reprs)
    assert user is not None and user.password_hash is not None
    secrets = (PASSWORD, alice.session["access_token"], alice.session["refresh_token"], user.password_hash)
    for secret in (*secrets, service.parts.settings.secret_keys.get_secret_value(), repr(key)):
        assert secret not in text
