"""Secrets at rest after SECRET_KEYS got a new first key: each is opened with an old key and sealed with the new one."""

import logging
from dataclasses import dataclass

from services.auth import store
from services.auth.sealing import CannotOpen, Sealer, context_of
from services.auth.store import SealedColumn
from shared.postgres import Database

log = logging.getLogger(__name__)
BATCH = 200

SEALED = (
    SealedColumn("signing_keys", "kid", "private_key_sealed"),
    SealedColumn("factors", "id", "seed_sealed"),
    SealedColumn("hook_calls", "id", "payload_sealed"),
    SealedColumn("auth_codes", "code_hash", "carried_sealed"),
    SealedColumn("provider_tokens", "id", "token_sealed"),
)


@dataclass(frozen=True)
class Resealed:
    """What was done to a column; `stuck` values open with no key of the list."""

    column: SealedColumn
    resealed: int
    stuck: int


def reseal(db: Database, sealer: Sealer, column: SealedColumn, *, batch: int = BATCH) -> Resealed:
    """Seal with the first key what is sealed with another, a batch a transaction.

    A value says itself which key sealed it: a run that was broken off is simply begun again. A value that somebody
    changes meanwhile is left alone, for what is written today is sealed with the first key.
    """
    resealed = stuck = 0
    after: str | None = None
    while True:
        with db.transaction() as conn:
            values = store.list_stale_sealed(conn, column, sealer.current_key_id, after=after, limit=batch)
            for value in values:
                context = context_of(column.table, value.key)
                try:
                    fresh = sealer.seal(sealer.open(bytes(value.sealed), context), context)
                except CannotOpen as error:
                    stuck += 1
                    log.error("%s cannot be opened: %s", context, error)
                else:
                    resealed += store.update_sealed(conn, column, value, fresh)
        if len(values) < batch:
            return Resealed(column, resealed, stuck)
        after = values[-1].key
