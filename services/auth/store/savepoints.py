"""Work that is done and taken back."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.postgres import Connection, execute


@contextmanager
def undone(conn: Connection) -> Iterator[None]:
    """What happens in the block costs what it costs, and leaves nothing behind."""
    execute(conn, "SAVEPOINT before_undone")
    yield
    execute(conn, "ROLLBACK TO SAVEPOINT before_undone")
