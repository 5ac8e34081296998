"""Work that is done and taken back."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.postgres import Connection, execute


@contextmanager
def undone(conn: Connection) -> Iterator[None]:
    """What happens in the block costs what it costs, and leaves nothing behind."""
    with kept_if(conn, False):
        yield


@contextmanager
def kept_if(conn: Connection, is_kept: bool) -> Iterator[None]:
    """What happens in the block costs the same whether it stays or is taken back."""
    execute(conn, "SAVEPOINT before_undone")
    yield
    if not is_kept:
        execute(conn, "ROLLBACK TO SAVEPOINT before_undone")
    execute(conn, "RELEASE SAVEPOINT before_undone")
