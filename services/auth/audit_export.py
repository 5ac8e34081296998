"""`python -m services.auth audit export`: the audit log as JSON, a row a line, oldest first."""

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

from services.auth import store
from services.auth.audit import note
from services.auth.audit_models import DeedItem
from services.auth.config import AuthSettings
from services.auth.parts import Parts
from services.auth.store import Deed, DeedFilter
from shared.postgres import Database

BATCH = 1_000


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    audit_verbs = verbs.add_parser("audit", help="the log of deeds").add_subparsers(required=True, metavar="verb")
    export = audit_verbs.add_parser("export", help="print it as JSON, a row a line, oldest first")
    export.add_argument("--since", type=_time, help="from this time on, like 2026-01-31T00:00:00Z")
    export.add_argument("--until", type=_time, help="before this time; now, if it is not given")
    export.add_argument("--user", type=UUID, help="about this user only")
    export.add_argument("--actor", type=UUID, help="done by this user only")
    export.add_argument("--action", help="of this action only, like session.opened")
    export.set_defaults(run=_export)


def rows(db: Database, which: DeedFilter) -> Iterator[Deed]:
    """Every row, in transactions of BATCH: an export of years holds up neither the clean-up nor the memory."""
    after: tuple[datetime, int] | None = None
    while True:
        with db.transaction() as conn:
            batch = store.list_audit_onward(conn, which, after=after, limit=BATCH)
        yield from batch
        if len(batch) < BATCH:
            return
        after = batch[-1].at, batch[-1].id


def _export(settings: AuthSettings, options: argparse.Namespace) -> int:
    db, count = Parts.of(settings).db, 0
    until = options.until or datetime.now(UTC)
    for deed in rows(db, DeedFilter(options.user, options.actor, options.action, options.since, until)):
        sys.stdout.write(DeedItem.of(deed).model_dump_json() + "\n")
        count += 1
    sys.stdout.flush()
    with db.transaction() as conn:
        note(conn, "audit.exported", options.user, rows=count)
    return 0


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
