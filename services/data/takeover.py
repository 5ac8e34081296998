"""Queries that give a guest's documents to the account the guest became a part of, or delete them."""

from uuid import UUID

from services.data import store
from services.data.documents import Content
from services.data.mongo import Connection, Row

BATCH = 200


def move_private_documents(conn: Connection, from_owner: UUID, to_owner: UUID) -> list[store.Document]:
    """Write every live document of one private space into the other, and delete the first; what was written.

    A document that both have stays as the new owner has it.
    """
    space = conn["spaces"].find_one({"kind": "private", "owner_id": from_owner}, session=conn.session)
    if space is None:
        return []
    kept = store.upsert_private_space(conn, to_owner)
    written: list[store.Document] = []
    while rows := _some(conn, space["_id"]):
        written += _write(conn, kept.id, rows)
        ids = [row["_id"] for row in rows]
        conn["documents"].delete_many({"space_id": space["_id"], "_id": {"$in": ids}}, session=conn.session)
    delete_private_space(conn, from_owner)
    return written


def delete_private_space(conn: Connection, owner_id: UUID) -> None:
    """The space with all that is in it, tombstones too."""
    space = conn["spaces"].find_one({"kind": "private", "owner_id": owner_id}, session=conn.session)
    if space is not None:
        conn["documents"].delete_many({"space_id": space["_id"]}, session=conn.session)
        conn["spaces"].delete_one({"_id": space["_id"]}, session=conn.session)


def _some(conn: Connection, space_id: UUID) -> list[Row]:
    """Live documents in the order in which they were written."""
    where = {"space_id": space_id, "deleted": False}
    return list(conn["documents"].find(where, sort=[("revision", 1)], limit=BATCH, session=conn.session))


def _write(conn: Connection, space_id: UUID, rows: list[Row]) -> list[store.Document]:
    keys = [store.Key(row["collection"], row["document_id"]) for row in rows]
    there = store.get_documents(conn, space_id, keys)
    writes = [
        store.Write(key, Content(row["body"], row["size_bytes"], row["digest"]), there.get(key))
        for key, row in zip(keys, rows, strict=True)
        if key not in there or there[key].is_deleted
    ]
    return store.write_documents(conn, space_id, writes) if writes else []
