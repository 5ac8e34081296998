"""The end of what people granted. A client of the house has a session with it, whose end the others hear of."""

import logging
from uuid import UUID

from services.auth import audit, store
from services.auth.endings import tell_ended
from shared.postgres import Connection

log = logging.getLogger(__name__)
MAX_GRANTS = 20  # of one person to one client: a device each
REASON = "ended_by_user"
ATTACKS = frozenset({"code_reused", "refresh_reused"})


def end_grant(conn: Connection, grant: store.Grant, why: str) -> None:
    """End one grant. `why` goes to the logs; to the others it is the end of a session like any."""
    is_attack = why in ATTACKS
    reason = "reuse_detected" if is_attack else REASON
    tell_ended(conn, store.delete_oauth_grant(conn, grant.id, reason), reason)
    audit.note(conn, "grant.ended", grant.user_id, client=str(grant.client_id), reason=why)
    level = logging.WARNING if is_attack else logging.INFO
    log.log(level, "a grant has ended: %s", why, extra={"grant_id": str(grant.id)})


def refuse_code(conn: Connection, grant: store.Grant) -> None:
    """A code that was right came from somebody else than had asked for it: it is worth nothing any more."""
    store.delete_refused_oauth_code(conn, grant.id)
    audit.note(conn, "grant.ended", grant.user_id, client=str(grant.client_id), reason="code_refused")
    log.warning("a code came from somebody else than had asked for it", extra={"grant_id": str(grant.id)})


def end_grants_of_user(conn: Connection, user_id: UUID, reason: str, *, client_id: UUID | None = None) -> None:
    """End what a person granted, to one client or to all."""
    tell_ended(conn, store.delete_oauth_grants_of_user(conn, user_id, reason, client_id=client_id), reason)


def end_grants_of_client(conn: Connection, client_id: UUID) -> None:
    tell_ended(conn, store.delete_oauth_grants_of_client(conn, client_id, "ended_by_admin"), "ended_by_admin")


def end_surplus(conn: Connection, user_id: UUID, client_id: UUID, *, begun: bool) -> None:
    """End what a person granted to one client beyond MAX_GRANTS: of what has `begun`, or of codes that nobody came for
    yet. The one does not count with the other, for a stranger's page can have a browser fetch codes."""
    ended = store.delete_surplus_oauth_grants(conn, user_id, client_id, "expired", begun=begun, keep=MAX_GRANTS)
    tell_ended(conn, ended, "expired")
