"""Spaces, and the documents in them one at a time. What a phone needs to sync is in `sync.py`."""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from flask import Response, current_app, request
from pydantic import Field
from werkzeug.local import LocalProxy

from services.data import outbox, store
from services.data.documents import Collection, SpaceRef, content_of
from services.data.mongo import Connection, Database
from shared.contracts import DataChanged
from shared.errors import FieldError, NotFound, PreconditionFailed, ValidationFailed
from shared.routing import (
    Answer,
    Blueprint,
    Body,
    Path,
    Query,
    caller,
    is_not_modified,
    not_modified,
    require_match,
    set_etag,
    user,
)

bp = Blueprint("data", __name__, url_prefix="/data/v1")
db: Database = LocalProxy(lambda: current_app.extensions["database"])  # type: ignore[assignment]


class SpaceAnswer(Answer):
    id: UUID
    kind: str
    role: str = Field(description="what the caller is in it")
    seq: int = Field(description="revision of its latest write")
    created_at: datetime


class Spaces(Answer):
    items: list[SpaceAnswer]
    next_cursor: str | None


class CollectionPath(Path):
    space_id: SpaceRef = Field(description="a space's id, or `me` for the caller's private space")
    collection: Collection = Field(description="made by its first document")


class DocumentPath(CollectionPath):
    document_id: UUID = Field(description="made by the client")

    @property
    def key(self) -> store.Key:
        return store.Key(self.collection, self.document_id)


class Page(Query):
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=64, description="`next_cursor` of the page before")


class NewDocument(Body):
    document: dict[str, Any] = Field(description="any JSON object of at most 262144 bytes")


class DocumentAnswer(Answer):
    space_id: UUID
    collection: str
    id: UUID
    revision: int = Field(description="its ETag; grows with each write in the space")
    document: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, stored: store.Document) -> Self:
        return cls(id=stored.document_id, document=stored.body or {}, **answer_fields(stored))


class Documents(Answer):
    items: list[DocumentAnswer]
    next_cursor: str | None


def answer_fields(stored: store.Document) -> dict[str, Any]:
    """What a document and a tombstone show alike."""
    names = ("space_id", "collection", "revision", "created_at", "updated_at")
    return {name: getattr(stored, name) for name in names}


@bp.get("/spaces")
@user
def list_spaces() -> Spaces:
    """The spaces the caller may use."""
    with db.connection() as conn:
        spaces = store.list_spaces(conn, caller().user_id)
    items = [SpaceAnswer(id=s.id, kind=s.kind, role="owner", seq=s.seq, created_at=s.created_at) for s in spaces]
    return Spaces(items=items, next_cursor=None)


@bp.get("/spaces/<space_id>/collections/<collection>/documents")
@user
def list_documents(path: CollectionPath, query: Page) -> Documents:
    """Documents in the order of their ids."""
    after = _decode_cursor(query.cursor)
    with db.connection() as conn:
        space = store.get_space(conn, caller().user_id, path.space_id)
        page = store.list_documents(conn, space.id, path.collection, after, query.limit)
    next_cursor = None if page.is_last else _encode_cursor(page.documents[-1].document_id)
    return Documents(items=[DocumentAnswer.of(document) for document in page.documents], next_cursor=next_cursor)


@bp.get("/spaces/<space_id>/collections/<collection>/documents/<document_id>")
@user
def get_document(path: DocumentPath) -> DocumentAnswer | Response:
    """One document; a deleted one is as good as none."""
    with db.connection() as conn:
        space = store.get_space(conn, caller().user_id, path.space_id)
        document = store.get_document(conn, space.id, path.key)
    if document is None or document.is_deleted:
        raise _no_document()
    if is_not_modified(document.revision):
        return not_modified()
    return DocumentAnswer.of(document)


@bp.put("/spaces/<space_id>/collections/<collection>/documents/<document_id>")
@user
def put_document(path: DocumentPath, body: NewDocument) -> tuple[DocumentAnswer, int]:
    """Create (201) or replace (200). What is stored exactly so already is left as it is, whatever the preconditions."""
    content = content_of(body.document, "#/document")

    def write(conn: Connection) -> tuple[store.Document, int]:
        space = store.get_space(conn, caller().user_id, path.space_id)
        current = store.get_document(conn, space.id, path.key)
        if current is not None and current.holds(content):
            return current, 200
        _check_preconditions(current)
        (document,) = write_documents(conn, space, [store.Write(path.key, content, current)])
        return document, 201 if current is None or current.is_deleted else 200

    document, status = db.transact(write, lane=path.space_id or caller().user_id)
    set_etag(document.revision)
    return DocumentAnswer.of(document), status


@bp.delete("/spaces/<space_id>/collections/<collection>/documents/<document_id>")
@user
def delete_document(path: DocumentPath) -> None:
    """Leave a tombstone, which reaches the other phones. Deleting again is no error."""

    def write(conn: Connection) -> None:
        space = store.get_space(conn, caller().user_id, path.space_id)
        current = store.get_document(conn, space.id, path.key)
        if current is None:
            raise _no_document()
        if not current.is_deleted:
            require_match(current.revision)
            write_documents(conn, space, [store.Write(path.key, None, current)])

    db.transact(write, lane=path.space_id or caller().user_id)


def write_documents(conn: Connection, space: store.Space, writes: Sequence[store.Write]) -> list[store.Document]:
    """Write, and say so: the documents and the event exist together or not at all."""
    documents = store.write_documents(conn, space.id, writes)
    collections = sorted({document.collection for document in documents})
    outbox.add(conn, DataChanged(space_id=space.id, seq=documents[-1].revision, collections=collections))
    return documents


def _check_preconditions(current: store.Document | None) -> None:
    """`If-None-Match: *` does not bring a deleted document back: its sender may not know yet that it was deleted."""
    if current is None or not current.is_deleted:
        return require_match(current.revision if current else None)
    if "If-None-Match" in request.headers:
        raise PreconditionFailed(
            "It was deleted. To bring it back, send the tombstone's revision as If-Match.",
            code="document_deleted",
            headers={"ETag": f'"{current.revision}"'},
        )
    if request.headers.get("If-Match", "").strip() == "*":
        return require_match(None)
    return require_match(current.revision)


def _no_document() -> NotFound:
    return NotFound("There is no such document.", code="document_not_found")


def _encode_cursor(document_id: UUID) -> str:
    return base64.urlsafe_b64encode(document_id.bytes).decode().rstrip("=")


def _decode_cursor(cursor: str | None) -> UUID | None:
    if cursor is None:
        return None
    try:
        return UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        problem = FieldError(detail="is not a cursor that this service gave out", parameter="cursor")
        raise ValidationFailed(f"cursor {problem.detail}.", errors=[problem]) from error
