"""Tries that are counted before they are judged, by what is tried and from where.

A guess at what only its owner knows counts three times: at this account from this place, at any account from this place
(many accounts with one password), and at this account from everywhere but the places where its owner logged in before
(one account from many places). So a stranger is slowed down, and an owner who is where they were before is not.
"""

import hashlib
import ipaddress
from dataclasses import dataclass
from uuid import UUID

from flask import request

from services.auth import store
from services.auth.devices import device_of
from services.auth.metrics import THROTTLED
from services.auth.parts import here
from services.auth.store import Bucket
from shared.errors import TooManyRequests
from shared.postgres import Connection

OVER = "over_request_rate_limit"


def place_of(subject: object) -> bytes:
    """Where the request comes from, as one subject knows it: the address, of IPv6 the network that a household has."""
    ip = device_of(request).ip
    network = ip and ipaddress.ip_network((ip, 64 if ":" in ip else 32), strict=False)
    return _hashed(f"{subject}\n{network}")


@dataclass(frozen=True)
class Guess:
    """A guess at a password or code of one account (an address, a number, or a user's id)."""

    at_account: Bucket
    from_place: Bucket
    by_strangers: Bucket

    @classmethod
    def at(cls, account: object) -> "Guess":
        settings = here.settings
        window_s = settings.log_in_window_s
        return cls(
            Bucket("account", place_of(f"account {account}"), settings.log_in_tries, window_s),
            guesses_from_here(),
            Bucket("strangers", _hashed(f"strangers at {account}"), settings.log_in_tries_per_account, window_s),
        )

    def count(self, conn: Connection, user_id: UUID | None) -> None:
        """Count it. Raise TooManyRequests(over_request_rate_limit), which takes back what the transaction has done."""
        place = place_of(user_id) if user_id else None
        always = [self.at_account, self.from_place]
        counted = store.count_tries(conn, always, self.by_strangers, user_id=user_id, place=place)
        _require_all_judged(counted, [*always, self.by_strangers])

    def was_right(self, conn: Connection) -> None:
        """Forget the slips before it, and that there was a guess."""
        store.forget_tries(conn, [self.from_place.key, self.by_strangers.key], [self.at_account.key])


def guesses_from_here() -> Bucket:
    """Guesses from this place, whoever's password or code it is."""
    settings = here.settings
    return Bucket("place", place_of("guesses"), settings.log_in_tries_per_place, settings.log_in_window_s)


def is_where_owner_was(conn: Connection, phone: str, owner: UUID | None = None) -> bool:
    """True if who has confirmed this number, or `owner`, has logged in at this place before.

    One statement, whether anybody has the number or not.
    """
    found = store.list_places_of_number(conn, phone, owner)
    return any(place_of(one.id) in map(bytes, one.places) for one in found)


def count_try(what: str, *, tries: int) -> None:
    """Count a try from this place. Raise TooManyRequests(over_request_rate_limit) past `tries` in LOG_IN_WINDOW_S."""
    bucket = Bucket(what.split(maxsplit=1)[0], place_of(what), tries, here.settings.log_in_window_s)
    with here.db.single() as conn:
        require_room(conn, [bucket])


def require_room(conn: Connection, buckets: list[Bucket], code: str = OVER) -> None:
    """Count a try in each bucket. Raise TooManyRequests with this code, which takes back what the transaction did."""
    _require_all_judged(store.count_tries(conn, buckets, None, user_id=None, place=None), buckets, code)


def _require_all_judged(counted: list[store.Counted], buckets: list[Bucket], code: str = OVER) -> None:
    refused = {bytes(one.key): one.left_s for one in counted if not one.is_judged}
    if not refused:
        return
    name = next(bucket.name for bucket in buckets if bucket.key in refused)
    THROTTLED.labels(name).inc()
    retry_after_s = int(max(refused.values())) + 1
    raise TooManyRequests("Request rate limit reached", code=code, retry_after_s=retry_after_s)


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
