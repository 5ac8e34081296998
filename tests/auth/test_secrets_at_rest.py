"""`secrets reencrypt`: after SECRET_KEYS got a new first key, the old one can go."""

import base64
import os

import pytest

from services.auth import resealing
from services.auth.keys import KeyRing
from services.auth.sealing import CannotOpen, Sealer, context_of
from services.auth.store import SealedColumn
from tests.auth.conftest import Make, Service, Start, output_of

ROWS = 45
COLUMN = SealedColumn("vault", "id", "note_sealed")
OLD, NEW = os.urandom(32), os.urandom(32)


@pytest.fixture
def vault(service: Service) -> Service:
    """A table of another noun, with uuids for keys and secrets under the old key."""
    service.as_owner("CREATE TABLE vault (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), note_sealed bytea)")
    service.as_owner("GRANT ALL ON vault TO auth")
    service.rows("INSERT INTO vault (note_sealed) SELECT NULL FROM generate_series(1, %(n)s)", n=ROWS)
    for row in service.rows("SELECT id FROM vault"):
        sealed = Sealer([OLD]).seal(str(row["id"]).encode(), context_of("vault", row["id"]))
        service.rows("UPDATE vault SET note_sealed = %(sealed)s WHERE id = %(id)s", sealed=sealed, id=row["id"])
    return service


@pytest.fixture(autouse=True)
def no_vault(service: Service) -> object:
    yield
    service.as_owner("DROP TABLE IF EXISTS vault")


def _opened(service: Service, sealer: Sealer) -> int:
    rows = service.rows("SELECT id, note_sealed FROM vault")
    opened = {sealer.open(bytes(row["note_sealed"]), context_of("vault", row["id"])).decode() for row in rows}
    assert opened == {str(row["id"]) for row in rows}
    return len(opened)


def test_everything_opens_with_the_new_key_alone_afterwards(vault: Service) -> None:
    done = resealing.reseal(vault.db, Sealer([NEW, OLD]), COLUMN, batch=10)
    assert (done.resealed, done.stuck) == (ROWS, 0)
    assert _opened(vault, Sealer([NEW])) == ROWS
    assert resealing.reseal(vault.db, Sealer([NEW, OLD]), COLUMN, batch=10).resealed == 0


def test_a_run_that_was_broken_off_goes_on_where_it_was(vault: Service) -> None:
    sealer = Sealer([NEW, OLD])
    seal, sealed = sealer.seal, 0

    def break_off(plain: bytes, context: str) -> bytes:
        nonlocal sealed
        sealed += 1
        if sealed > 25:
            raise KeyboardInterrupt
        return seal(plain, context)

    sealer.seal = break_off  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        resealing.reseal(vault.db, sealer, COLUMN, batch=10)
    assert _opened(vault, Sealer([NEW, OLD])) == ROWS
    assert resealing.reseal(vault.db, Sealer([NEW, OLD]), COLUMN, batch=10).resealed == ROWS - 20
    assert _opened(vault, Sealer([NEW])) == ROWS


def test_what_no_key_opens_is_counted_and_stops_nothing_else(vault: Service) -> None:
    vault.rows(
        "UPDATE vault SET note_sealed = 'x' || note_sealed WHERE id = (SELECT id FROM vault ORDER BY id LIMIT 1)"
    )
    done = resealing.reseal(vault.db, Sealer([NEW, OLD]), COLUMN, batch=10)
    assert (done.resealed, done.stuck) == (ROWS - 1, 1)


def test_a_value_that_is_changed_meanwhile_is_left_as_it_is(vault: Service) -> None:
    sealer = Sealer([NEW, OLD])
    opened = sealer.open

    def change_meanwhile(sealed: bytes, context: str) -> bytes:
        row_id = context.removeprefix("vault/")
        own = Sealer([NEW]).seal(row_id.encode(), context)
        vault.rows("UPDATE vault SET note_sealed = %(own)s WHERE id = %(id)s", own=own, id=row_id)
        return opened(sealed, context)

    sealer.open = change_meanwhile  # type: ignore[method-assign]
    assert resealing.reseal(vault.db, sealer, COLUMN).resealed == 0
    assert _opened(vault, Sealer([NEW])) == ROWS


def test_a_secret_does_not_open_in_another_row(vault: Service) -> None:
    first, second = vault.rows("SELECT id, note_sealed FROM vault LIMIT 2")
    with pytest.raises(CannotOpen):
        Sealer([OLD]).open(bytes(first["note_sealed"]), context_of("vault", second["id"]))


def test_every_sealed_column_of_the_schema_is_encrypted_again(service: Service) -> None:
    found = service.rows(
        """
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = current_schema() AND column_name LIKE '%%\\_sealed'
        """
    )
    assert {(row["table_name"], row["column_name"]) for row in found} == {
        (column.table, column.column) for column in resealing.SEALED
    }


def test_the_command_frees_the_signing_keys_of_the_old_secret_key(make_service: Make, start: Start) -> None:
    old, new = (base64.b64encode(key).decode() for key in (OLD, NEW))
    service = make_service(secret_keys=old)
    kid = service.parts.keys.signing_key().kid
    settings = service.parts.settings
    status, out, _ = output_of(start(settings, "secrets", "reencrypt", SECRET_KEYS=f"{new},{old}"))
    assert status == 0 and "signing_keys.private_key_sealed: 1 encrypted again, 0 cannot be opened" in out
    assert KeyRing(service.db, Sealer([NEW])).signing_key().kid == kid
    status, out, _ = output_of(start(settings, "secrets", "reencrypt", SECRET_KEYS=old))
    assert status == 1 and "1 cannot be opened" in out
