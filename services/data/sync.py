"""Offline sync: the feed of changes, and the push of what was written offline."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from prometheus_client import Counter
from pydantic import Field, field_validator, model_validator

from services.data import checkpoints, store
from services.data.checkpoints import Position
from services.data.documents import Collection, Content, content_of
from services.data.mongo import Connection
from services.data.routes import answer_fields, db, write_documents
from shared.errors import FieldError, Problem
from shared.routing import Answer, Blueprint, Body, Query, caller, user

bp = Blueprint("sync", __name__, url_prefix="/data/v1")

MAX_ROWS = 100
PUSHED = Counter("data_pushed_rows", "Rows of pushes by what became of them", ["outcome"])


class ChangedDocument(Answer):
    """A document as it is now, or, with `deleted`, the news that it is gone."""

    space_id: UUID
    collection: str
    id: UUID
    revision: int
    deleted: bool
    document: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, stored: store.Document) -> Self:
        fields = answer_fields(stored)
        return cls(id=stored.document_id, deleted=stored.is_deleted, document=stored.body, **fields)


class ChangesQuery(Query):
    checkpoint: str | None = Field(None, max_length=8192, description="from the answer before; absent to begin")
    limit: int = Field(100, ge=1, le=500)


class Changes(Answer):
    documents: list[ChangedDocument]
    checkpoint: str = Field(description="keep it once these documents are stored")
    has_more: bool = Field(description="pull again at once")


class PushRow(Body):
    """A wanted state, and the revision the phone believes to be current (null: none yet)."""

    collection: Collection
    id: UUID
    assumed_revision: int | None = Field(ge=0, lt=2**63)
    document: dict[str, Any] | None = None
    deleted: Literal[True] | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.document is None) == (self.deleted is None):
            raise ValueError("must have either document or deleted: true")
        return self

    @property
    def key(self) -> store.Key:
        return store.Key(self.collection, self.id)


class Push(Body):
    space_id: UUID | None = Field(None, description="absent or null: the caller's private space")
    rows: list[PushRow] = Field(min_length=1, max_length=MAX_ROWS)

    @field_validator("rows")
    @classmethod
    def _have_each_document_once(cls, rows: list[PushRow]) -> list[PushRow]:
        if len({row.key for row in rows}) < len(rows):
            raise ValueError("must name each document once")
        return rows


class PushOutcome(Answer):
    """`accepted`: stored, as `revision`. `conflict`: not stored, `current` is what is. `rejected`: never will be."""

    collection: str
    id: UUID
    outcome: Literal["accepted", "conflict", "rejected"]
    revision: int | None = None
    current: ChangedDocument | None = Field(None, description="null in a conflict: nothing is stored")
    code: str | None = None
    errors: list[FieldError] | None = None


class PushAnswer(Answer):
    results: list[PushOutcome] = Field(description="one for each row, in the order of the rows")


@bp.get("/changes")
@user
def pull(query: ChangesQuery) -> Changes:
    """What changed in the caller's spaces since the checkpoint, each space in the order of its commits."""
    known = checkpoints.decode(query.checkpoint)
    with db.connection() as conn:
        spaces = store.list_spaces(conn, caller().user_id)
        start = {space.id: known.get(space.id, Position(0, since=space.seq)) for space in spaces}
        if known.keys() - start.keys() or any(start[space.id].seq > space.seq for space in spaces):
            raise checkpoints.resync_required()
        documents, reached, has_more = _collect(conn, spaces, start, query.limit)
        # Looked at after the documents: a purge in between can then not have taken a tombstone unnoticed.
        if any(start[space.id].is_behind(space.horizon) for space in store.list_spaces(conn, caller().user_id)):
            raise checkpoints.resync_required()
    return Changes(
        documents=[ChangedDocument.of(document) for document in documents],
        checkpoint=checkpoints.encode(reached),
        has_more=has_more,
    )


def _collect(
    conn: Connection, spaces: Sequence[store.Space], start: dict[UUID, Position], limit: int
) -> tuple[list[store.Document], dict[UUID, Position], bool]:
    """Up to `limit` documents, the positions reached with them, and whether there are more."""
    documents: list[store.Document] = []
    reached = dict(start)
    for space in spaces:
        if len(documents) == limit:
            return documents, reached, True
        changes = store.list_changes(conn, space, start[space.id].seq, limit - len(documents))
        documents += changes.documents
        reached[space.id] = Position(changes.reached, start[space.id].since)
        if changes.reached < space.seq:
            return documents, reached, True
    return documents, reached, False


@bp.post("/push")
@user
def push(body: Push) -> PushAnswer:
    """Each row is judged by itself; those accepted commit together. Sending the same push again changes nothing."""
    contents = [_content_of(row, f"#/rows/{index}/document") for index, row in enumerate(body.rows)]

    def write(conn: Connection) -> list[PushOutcome]:
        space = store.get_space(conn, caller().user_id, body.space_id)
        stored = store.get_documents(conn, space.id, [row.key for row in body.rows])
        results = [_judge(row, content, stored.get(row.key)) for row, content in zip(body.rows, contents, strict=True)]
        writes = [result for result in results if isinstance(result, store.Write)]
        written = iter(write_documents(conn, space, writes) if writes else [])
        return [_accepted(next(written)) if isinstance(result, store.Write) else result for result in results]

    results = db.transact(write, lane=body.space_id or caller().user_id)
    for result in results:
        PUSHED.labels(result.outcome).inc()
    return PushAnswer(results=results)


def _content_of(row: PushRow, pointer: str) -> Content | Problem | None:
    """The row's content, None for a deletion, or why no push of it will ever be accepted."""
    if row.document is None:
        return None
    try:
        return content_of(row.document, pointer)
    except Problem as problem:
        return problem


def _judge(
    row: PushRow, content: Content | Problem | None, current: store.Document | None
) -> PushOutcome | store.Write:
    """An outcome, or the write that has to happen for it. Nothing is in conflict with a state that is there already."""
    if isinstance(content, Problem):
        return PushOutcome(
            collection=row.collection, id=row.id, outcome="rejected", code=content.code, errors=content.errors
        )
    if current is None and content is None:
        return PushOutcome(collection=row.collection, id=row.id, outcome="accepted")
    if current is not None and current.holds(content):
        return _accepted(current)
    if row.assumed_revision == (current.revision if current else None):
        return store.Write(row.key, content, current)
    shown = ChangedDocument.of(current) if current else None
    return PushOutcome(collection=row.collection, id=row.id, outcome="conflict", current=shown)


def _accepted(stored: store.Document) -> PushOutcome:
    return PushOutcome(
        collection=stored.collection, id=stored.document_id, outcome="accepted", revision=stored.revision
    )
