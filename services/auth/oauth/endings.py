"""The end of what people granted. A client of the house has a session with it, whose end the others hear of."""

import logging
from uuid import UUID

from services.auth import store
from services.auth.endings import tell_ended
from shared.postgres import Connection

log = logging.getLogger(__name__)
MAX_GRANTS = 20  # of one person to one client: a device each
REASON = "ended_by_user"


def end_grant(conn: Connection, grant_id: UUID, why: str) -> None:
    """End one grant. `why` goes to the log; to the others it is the end of a session like any."""
    reason = "reuse_detected" if why in ("code_reused", "refresh_reused") else REASON
    tell_ended(conn, store.delete_oauth_grant(conn, grant_id, reason), reason)
    log.warning("a grant has ended: %s", why, extra={"grant_id": str(grant_id)})


def end_grants_of_user(conn: Connection, user_id: UUID, reason: str, *, client_id: UUID | None = None) -> None:
    """End what a person granted, to one client or to all."""
    tell_ended(conn, store.delete_oauth_grants_of_user(conn, user_id, reason, client_id=client_id), reason)


def end_grants_of_client(conn: Connection, client_id: UUID) -> None:
    tell_ended(conn, store.delete_oauth_grants_of_client(conn, client_id, "ended_by_admin"), "ended_by_admin")


def end_surplus(conn: Connection, user_id: UUID, client_id: UUID) -> None:
    """End the oldest grants of a person to one client, beyond MAX_GRANTS."""
    ended = store.delete_surplus_oauth_grants(conn, user_id, client_id, "expired", keep=MAX_GRANTS)
    tell_ended(conn, ended, "expired")
