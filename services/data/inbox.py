"""The inbox in MongoDB: an event's effect and the note that it was had commit together."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from pymongo.errors import DuplicateKeyError

from services.data.mongo import Connection, Database


class _HadBefore(Exception):
    """The note is there already: leave the transaction."""


class MongoInbox:
    """The `inbox` collection; MongoDB itself forgets a note after fourteen days."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def once(self, event_id: UUID, effect: Callable[[Connection], None]) -> bool:
        """Run `effect` and note the id in one transaction; False, and no effect, if the id is noted already."""

        def note_and_run(conn: Connection) -> None:
            try:
                conn["inbox"].insert_one({"_id": event_id, "handled_at": datetime.now(UTC)}, session=conn.session)
            except DuplicateKeyError as error:
                raise _HadBefore from error
            effect(conn)

        try:
            self._database.transact(note_and_run)
        except _HadBefore:
            return False
        return True
