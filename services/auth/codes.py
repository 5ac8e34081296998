"""Secrets that work once, as the table keeps them; and the codes that a browser carries back to the app (PKCE)."""

import hashlib
import secrets
from collections.abc import Collection
from uuid import UUID

from services.auth import store
from services.auth.parts import here
from services.auth.pkce import Challenge
from services.auth.sealing import context_of
from services.auth.store import Bucket
from services.auth.throttles import guesses_from_here, is_where_owner_was, place_of, require_room
from shared.postgres import Connection

AUTH_CODE_LIFETIME_S = 300
DAY_S = 86_400
UNBOUNDED = 2**31 - 1


def hash_of_link(secret: str) -> bytes:
    """256 random bits need no key to be safe at rest."""
    return hashlib.sha256(secret.encode()).digest()


def hashes_of_code(kinds: Collection[str], address: str, code: str) -> list[bytes]:
    """Six digits are guessed in no time by whoever reads the table, so their hash is keyed."""
    return [mac for kind in kinds for mac in here.sealer.macs(f"{kind}\n{address}\n{code}".encode(), "one-time code")]


def new_code(address: str) -> tuple[str, bool]:
    """Six digits for an address or number; and whether they are fixed, for a test address that nothing is sent to."""
    fixed = here.settings.fixed_codes.get(address)
    return (fixed, True) if fixed else (f"{secrets.randbelow(1_000_000):06d}", False)


def count_guess() -> None:
    """Count a guess at the digits of somebody, whoever it is, from this place: before `consume_code`, and before a
    connection is held. Raise TooManyRequests(over_request_rate_limit)."""
    with here.db.single() as conn:
        require_room(conn, [guesses_from_here()])


def context_of_code(code_hash: bytes) -> str:
    """What binds sealed bytes to the row of a code."""
    return context_of("auth_codes", f"\\x{bytes(code_hash).hex()}")


def consume_code(conn: Connection, kinds: Collection[str], address: str, code: str) -> store.Consumed | None:
    """Use up the digits that went to an address or number. The caller must commit, whatever comes of it.

    Raise TooManyRequests(over_request_rate_limit), where the owner of a number has logged in before: there wrong codes
    are counted apart from those of strangers. No link gets past them, as it does with an address.
    """
    hashes = hashes_of_code(kinds, address, code)
    wrong_per_day, own = here.settings.wrong_codes_per_day, []
    if "@" not in address and is_where_owner_was(conn, address):
        own = [Bucket("account", place_of(f"codes to {address}"), wrong_per_day, DAY_S, steps=0)]
        require_room(conn, own)
        wrong_per_day = UNBOUNDED
    used, was_counted = store.consume_code(conn, kinds, address, hashes, wrong_per_day=wrong_per_day)
    if used is not None:
        store.forget_tries(conn, [guesses_from_here().key], [bucket.key for bucket in own])
    else:
        store.rehearse_wrong_code(conn, kinds, was_counted=was_counted, wrong_per_day=wrong_per_day)
    return used


def make_auth_code(
    conn: Connection, user_id: UUID, method: str, challenge: Challenge, carried: bytes | None = None
) -> str:
    """A code for the app that sent this challenge, good for five minutes and one try; only its hash is kept.

    What is `carried` along with it is sealed.
    """
    code = secrets.token_urlsafe(32)
    code_hash = hash_of_link(code)
    sealed = here.sealer.seal(carried, context_of_code(code_hash)) if carried is not None else None
    store.insert_auth_code(
        conn, code_hash, user_id, method, challenge, lifetime_s=AUTH_CODE_LIFETIME_S, carried_sealed=sealed
    )
    return code
