"""Nobody, who is made to be taken back, and what is done for nobody so that it costs what it costs for somebody."""

import secrets
from collections.abc import Collection
from typing import Any

from services.auth.rows import User
from services.auth.store.one_time_tokens import consume_code, put_one_time_token
from services.auth.store.savepoints import undone
from services.auth.store.users import insert_user
from shared.ids import new_id
from shared.postgres import Connection


def insert_nobody(conn: Connection, user_metadata: dict[str, Any]) -> User:
    """A user with an address that nobody can have. Call it within `undone`."""
    nobody = insert_user(conn, new_id(), _address(), None, user_metadata, is_confirmed=True)
    assert nobody is not None  # noqa: S101 — nobody else has this address
    return nobody


def rehearse_wrong_code(conn: Connection, kinds: Collection[str], *, was_counted: bool, wrong_per_day: int) -> None:
    """After a code that was not right: where there was none to be tried, what a wrong try at one costs."""
    with undone(conn):
        nobody, kind = insert_nobody(conn, {}), next(iter(kinds))
        hashes = secrets.token_bytes(32), secrets.token_bytes(32)
        address = nobody.email or ""
        put_one_time_token(conn, nobody.id, kind, address, token_hash=hashes[0], code_hash=hashes[1], lifetime_s=60)
        consume_code(conn, kinds, _address() if was_counted else address, [], wrong_per_day=wrong_per_day)


def _address() -> str:
    return f"{new_id()}@invalid"
