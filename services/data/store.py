"""Every query on spaces and documents.

A document's `revision` is the `seq` its space had when it was written: the order of a space's feed is the order of its
revisions. Each write takes the next `seq` from the space's row in the transaction that writes the document; the row
lets one transaction commit at a time, so the feed's order is the order of commits.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from bson.int64 import Int64
from pymongo import ASCENDING, ReplaceOne, ReturnDocument
from pymongo.errors import DuplicateKeyError

from services.data.documents import Content
from services.data.mongo import Connection, Row
from shared.errors import NotFound, Unavailable
from shared.ids import new_id

MAX_PAGE_BYTES = 4 * 1024 * 1024
WINDOW = 4
INSERT_PAUSES_S = (0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class Space:
    """`seq` is that of its latest write; tombstones up to `horizon` may have been purged."""

    id: UUID
    kind: Literal["private"]
    owner_id: UUID
    seq: int
    horizon: int
    created_at: datetime


@dataclass(frozen=True)
class Key:
    """Which document of a space."""

    collection: str
    document_id: UUID


@dataclass(frozen=True)
class Document:
    """A document, or with `body` None the tombstone of one."""

    space_id: UUID
    collection: str
    document_id: UUID
    revision: int
    body: dict[str, Any] | None
    digest: bytes | None
    created_at: datetime
    updated_at: datetime

    @property
    def is_deleted(self) -> bool:
        return self.body is None

    def holds(self, content: Content | None) -> bool:
        """True if it is already what a write wants it to be; None wants a tombstone."""
        return self.digest == (content.digest if content else None)


@dataclass(frozen=True)
class Write:
    """What to store, `content` None for a tombstone, over `current`, which was read in the same transaction."""

    key: Key
    content: Content | None
    current: Document | None


@dataclass(frozen=True)
class Page:
    """`is_last` when nothing follows; a page ends early when its documents grow large."""

    documents: list[Document]
    is_last: bool


@dataclass(frozen=True)
class Changes:
    """What was written, and the revision up to which that is all of it."""

    documents: list[Document]
    reached: int


def upsert_private_space(conn: Connection, owner_id: UUID) -> Space:
    """The person's one private space, made if missing; many at once see the same one."""
    who = {"kind": "private", "owner_id": owner_id}
    for pause_s in INSERT_PAUSES_S:
        row = conn["spaces"].find_one(who, session=conn.session)
        if row is not None:
            return _space(row)
        row = {"_id": new_id(), **who, "seq": Int64(0), "horizon": Int64(0), "created_at": _now()}
        try:
            conn["spaces"].insert_one(row, session=conn.session)
            return _space(row)
        except DuplicateKeyError:
            if conn.session is not None:
                raise  # the transaction is lost, and `transact` tries again
            time.sleep(pause_s)  # somebody else's insert, which a majority may not have yet
    raise Unavailable("The space is being made at this moment.", retry_after_s=1)


def get_space(conn: Connection, user_id: UUID, space_id: UUID | None) -> Space:
    """A space this person may use; None is their private one. Raise NotFound, for somebody else's as for none."""
    if space_id is None:
        return upsert_private_space(conn, user_id)
    row = conn["spaces"].find_one({"_id": space_id}, session=conn.session)
    if row is None or row["owner_id"] != user_id:
        raise NotFound("There is no such space.", code="space_not_found")
    return _space(row)


def list_spaces(conn: Connection, user_id: UUID) -> list[Space]:
    """All spaces this person may use, in the order of their ids."""
    upsert_private_space(conn, user_id)
    rows = conn["spaces"].find(
        {"kind": "private", "owner_id": user_id}, sort=[("_id", ASCENDING)], session=conn.session
    )
    return [_space(row) for row in rows]


def get_document(conn: Connection, space_id: UUID, key: Key) -> Document | None:
    """The document or its tombstone; None if there never was one, or its tombstone has been purged."""
    row = conn["documents"].find_one(_where(space_id, key), session=conn.session)
    return _document(row) if row else None


def get_documents(conn: Connection, space_id: UUID, keys: Collection[Key]) -> dict[Key, Document]:
    """Those that exist, tombstones too."""
    found = {}
    for collection in {key.collection for key in keys}:
        ids = [key.document_id for key in keys if key.collection == collection]
        where = {"space_id": space_id, "collection": collection, "document_id": {"$in": ids}}
        for row in conn["documents"].find(where, session=conn.session):
            found[Key(collection, row["document_id"])] = _document(row)
    return found


def write_documents(conn: Connection, space_id: UUID, writes: Sequence[Write]) -> list[Document]:
    """Give each write, in this order, the next `seq` of the space as its revision. At least one write.

    The space's row comes first: another transaction that wants to write here fails on it and is tried again.
    """
    space = conn["spaces"].find_one_and_update(
        {"_id": space_id},
        {"$inc": {"seq": Int64(len(writes))}},
        projection={"seq": 1},
        return_document=ReturnDocument.BEFORE,
        session=conn.session,
    )
    assert space is not None  # noqa: S101 — the caller has read it
    first = int(space["seq"]) + 1
    rows = [_row(space_id, write, first + index) for index, write in enumerate(writes)]
    operations = [
        ReplaceOne(_where(space_id, write.key), row, upsert=True) for write, row in zip(writes, rows, strict=True)
    ]
    conn["documents"].bulk_write(operations, session=conn.session)
    return [_document(row) for row in rows]


def list_documents(conn: Connection, space_id: UUID, collection: str, after: UUID | None, limit: int) -> Page:
    """Live documents in the order of their ids."""
    where: Row = {"space_id": space_id, "collection": collection, "deleted": False}
    if after is not None:
        where["document_id"] = {"$gt": after}
    return _page(conn, where, "document_id", limit)


def list_changes(conn: Connection, space: Space, after: int, limit: int) -> Changes:
    """Documents and tombstones that were written after the revision, in the order of the writes, up to `space.seq`.

    Looks at a window of revisions at a time, wider while it is empty: a server that sorts before it limits would else
    read all the rest of the space for each page.
    """
    window = WINDOW * limit
    while True:
        until = min(after + window, space.seq)
        between = {"$gt": Int64(after), "$lte": Int64(until)}
        page = _page(conn, {"space_id": space.id, "revision": between}, "revision", limit)
        if not page.is_last:
            return Changes(page.documents, page.documents[-1].revision)
        if page.documents or until == space.seq:
            return Changes(page.documents, until)
        window *= 8


def list_old_tombstones(conn: Connection, older_than: timedelta, limit: int) -> list[Document]:
    """Tombstones that nobody needs to be told of any more, oldest first."""
    where = {"deleted": True, "updated_at": {"$lt": _now() - older_than}}
    return [_document(row) for row in conn["documents"].find(where, sort=[("updated_at", ASCENDING)], limit=limit)]


def delete_tombstones(conn: Connection, space_id: UUID, tombstones: Iterable[Document]) -> int:
    """Delete those that have not been written since, and move the space's horizon over them; the number deleted."""
    deleted = 0
    horizon = 0
    for tombstone in tombstones:
        where = {"space_id": space_id, "revision": Int64(tombstone.revision)}
        if conn["documents"].delete_one(where, session=conn.session).deleted_count:
            deleted += 1
            horizon = max(horizon, tombstone.revision)
    if deleted:
        conn["spaces"].update_one({"_id": space_id}, {"$max": {"horizon": Int64(horizon)}}, session=conn.session)
    return deleted


def _page(conn: Connection, where: Row, order: str, limit: int) -> Page:
    """The first `limit` that match; fewer when they would be more than MAX_PAGE_BYTES, but at least one."""
    documents: list[Document] = []
    size_bytes = 0
    with conn["documents"].find(where, sort=[(order, ASCENDING)], limit=limit + 1, session=conn.session) as rows:
        for row in rows:
            size_bytes += row["size_bytes"]
            if len(documents) == limit or (documents and size_bytes > MAX_PAGE_BYTES):
                return Page(documents, is_last=False)
            documents.append(_document(row))
    return Page(documents, is_last=True)


def _where(space_id: UUID, key: Key) -> Row:
    return {"space_id": space_id, "collection": key.collection, "document_id": key.document_id}


def _row(space_id: UUID, write: Write, revision: int) -> Row:
    now = _now()
    current, content = write.current, write.content
    return {
        **_where(space_id, write.key),
        "revision": Int64(revision),
        "deleted": content is None,
        "body": content.body if content else None,
        "digest": content.digest if content else None,
        "size_bytes": content.size_bytes if content else 0,
        "created_at": now if current is None or current.is_deleted else current.created_at,
        "updated_at": now,
    }


def _now() -> datetime:
    """To the millisecond, which is what MongoDB keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _space(row: Row) -> Space:
    return Space(row["_id"], row["kind"], row["owner_id"], int(row["seq"]), int(row["horizon"]), row["created_at"])


def _document(row: Row) -> Document:
    return Document(
        space_id=row["space_id"],
        collection=row["collection"],
        document_id=row["document_id"],
        revision=int(row["revision"]),
        body=row["body"],
        digest=row["digest"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
