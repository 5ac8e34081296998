"""The inbox: an event's effect and the note that it was had commit together, so a second delivery does nothing."""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from shared.postgres import Connection, Database, execute


class Inbox(Protocol):
    """A store that remembers which events it has had. What `effect` receives is the store's open transaction."""

    def once(self, event_id: UUID, effect: Callable[..., None]) -> bool:
        """Run `effect` and note the id in one transaction; False, and no effect, if the id is noted already."""


class PostgresInbox:
    """The `inbox` table of a PostgreSQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def once(self, event_id: UUID, effect: Callable[[Connection], None]) -> bool:
        """A concurrent second delivery blocks on the row until the first has committed or rolled back."""
        with self._database.transaction() as conn:
            sql = "INSERT INTO inbox (event_id) VALUES (%(id)s) ON CONFLICT DO NOTHING"
            if not execute(conn, sql, {"id": event_id}):
                return False
            effect(conn)
            return True

    def forget(self, older_than: timedelta, limit: int = 1000) -> int:
        """Delete old notes, at most `limit`; the number deleted. No delivery comes that late."""
        sql = """
            DELETE FROM inbox WHERE event_id IN (
                SELECT event_id FROM inbox WHERE handled_at < now() - %(older_than)s ORDER BY handled_at LIMIT %(limit)s
            )
        """
        with self._database.transaction() as conn:
            return execute(conn, sql, {"older_than": older_than, "limit": limit})
