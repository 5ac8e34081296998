"""Users of another system with the hashes of their passwords (`python -m services.auth import`), one in a line.

{"email": "alice@example.com", "password_hash": "$2b$12$…", "email_confirmed": true, "user_metadata": {}}
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from services.auth import foreign_hashes, store
from services.auth.addresses import Email
from services.auth.models import Metadata
from shared import outbox
from shared.contracts import UserRegistered, UserUpdated
from shared.ids import new_id
from shared.postgres import Connection, Database

BATCH = 100


def _verifiable(stored: str) -> str:
    if not foreign_hashes.is_supported(stored):
        raise ValueError("is not a hash that can be verified here")
    return stored


class ImportedUser(BaseModel):
    """A line of the file. `id` is kept if it is given, so that what refers to the person elsewhere stays right."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: UUID = Field(default_factory=new_id)
    email: Email
    email_confirmed: bool = False
    password_hash: Annotated[str, AfterValidator(_verifiable)] | None = Field(None, repr=False)
    user_metadata: Metadata = {}


@dataclass
class Outcome:
    """`wrong` names lines and what is wrong with them, never what they hold."""

    imported: int = 0
    present: int = 0
    wrong: list[str] = field(default_factory=list)


def import_users(db: Database, lines: Iterable[str]) -> Outcome:
    """Add who is not there yet, a batch a transaction; a file that was broken off is simply imported again."""
    outcome = Outcome()
    read = _read(lines, outcome)
    while people := list(islice(read, BATCH)):
        with db.transaction() as conn:
            added = sum(_add(conn, person) for person in people)
        outcome.imported += added
        outcome.present += len(people) - added
    return outcome


def _read(lines: Iterable[str], outcome: Outcome) -> Iterator[ImportedUser]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield ImportedUser.model_validate_json(line)
        except ValidationError as error:
            mistakes = error.errors(include_input=False, include_url=False, include_context=False)
            said = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'line'}: {one['msg']}" for one in mistakes)
            outcome.wrong.append(f"line {number}: {said}")


def _add(conn: Connection, person: ImportedUser) -> bool:
    user = store.insert_user(
        conn,
        person.id,
        person.email,
        person.password_hash,
        person.user_metadata,
        is_confirmed=person.email_confirmed,
    )
    if user is None:
        return False
    outbox.add(conn, UserRegistered(user_id=user.id, email=user.email, created_at=user.created_at))
    if user.email_confirmed_at is not None:
        confirmed_at = user.email_confirmed_at
        event = UserUpdated(
            user_id=user.id, email=user.email, email_confirmed_at=confirmed_at, updated_at=user.updated_at
        )
        outbox.add(conn, event)
    return True
