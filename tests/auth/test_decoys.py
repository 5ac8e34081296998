"""An imported hash is not told by its cost: addresses that nobody has cost the same, in the same share."""

import bcrypt
import pytest

from services.auth.decoys import Decoys
from tests.auth.conftest import PASSWORD, Person, Service

pytestmark = pytest.mark.usefixtures("real_costs")

FOREIGN = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


def _people(service: Service, count: int, foreign: int) -> Decoys:
    """So many people, some with the hash of another system; and decoys that nobody has read yet."""
    own = service.parts.passwords.hash("another password")
    service.rows(
        """
        INSERT INTO users (id, email, password_hash, email_confirmed_at)
        SELECT gen_random_uuid(), 'person' || n || '@example.com',
               CASE WHEN n <= %(foreign)s THEN %(hash)s ELSE %(own)s END, now()
        FROM generate_series(1, %(count)s) AS n
        """,
        count=count,
        foreign=foreign,
        hash=FOREIGN,
        own=own,
    )
    return Decoys(service.db, service.parts.sealer)


@pytest.mark.parametrize(("foreign", "least", "most"), [(0, 0, 0), (50, 190, 310), (200, 1000, 1000)])
def test_as_large_a_share_of_unknown_addresses_as_of_people_costs_a_foreign_hash(
    service: Service, foreign: int, least: int, most: int
) -> None:
    decoys = _people(service, 200, foreign)
    given = [decoys.hash_for(f"nobody{n}@example.com") for n in range(1000)]
    assert least <= sum(decoy == FOREIGN for decoy in given) <= most
    assert set(given) <= {FOREIGN, None}


def test_an_address_always_costs_the_same(service: Service) -> None:
    decoys = _people(service, 200, 100)
    again = Decoys(service.db, service.parts.sealer)
    for n in range(50):
        assert decoys.hash_for(f"nobody{n}@example.com") == again.hash_for(f"nobody{n}@example.com")


def test_hashes_of_several_kinds_are_all_among_them(service: Service) -> None:
    _people(service, 40, 40)
    other = bcrypt.hashpw(b"x", bcrypt.gensalt(5)).decode()
    service.rows("UPDATE users SET password_hash = %(other)s WHERE email LIKE '%%1@example.com'", other=other)
    decoys = Decoys(service.db, service.parts.sealer)
    assert {decoys.hash_for(f"nobody{n}@example.com") for n in range(200)} == {FOREIGN, other}


def test_nobody_logs_in_with_the_password_of_a_decoy(service: Service) -> None:
    """Neither an address that nobody has, nor somebody who has no password."""
    _people(service, 20, 20)
    service.rows("UPDATE users SET password_hash = NULL WHERE email = 'person1@example.com'")
    for email in ("nobody@example.com", "person1@example.com"):
        assert Person(service, email, PASSWORD).log_in().code == "invalid_credentials"
    assert Person(service, "person2@example.com", PASSWORD).log_in().status == 200


def test_no_hash_is_shown_by_what_holds_them(service: Service) -> None:
    decoys = _people(service, 20, 20)
    decoys.hash_for("nobody@example.com")
    assert "$2b$" not in repr(decoys) + repr(vars(decoys)) + repr(service.parts)
