"""What a person must hear of at once: something that guards their account was added, used, removed or attacked.

Each is a mail to the person and an event for whoever keeps an audit log, in the transaction that makes it true.
"""

from datetime import UTC, datetime
from uuid import UUID

from flask import request

from services.auth import mails, rows
from services.auth.assurance import Caller
from services.auth.devices import device_of
from shared import outbox
from shared.contracts import UserSecurityChanged
from shared.postgres import Connection

MAIL_LIFETIME_S = 604_800


def alert(
    conn: Connection,
    user: rows.User,
    change: str,
    *,
    session_id: UUID | None,
    factor_id: UUID | None,
    factor_type: str,
    **params: str,
) -> None:
    """Mail the template named like the change, and say so to the others; the event alone, without a known address."""
    device = device_of(request)
    event = UserSecurityChanged(
        user_id=user.id,
        session_id=session_id,
        change=change,
        factor_id=factor_id,
        factor_type=factor_type,
        ip=device.ip,
        changed_at=datetime.now(UTC),
    )
    outbox.add(conn, event)
    if user.email and user.email_confirmed_at:
        where = {"factor_type": factor_type, "device": device.name, "ip": device.ip or ""}
        mails.send(conn, user, change, {**where, **params}, MAIL_LIFETIME_S)


def tell_of_factor(conn: Connection, person: Caller, change: str, factor: rows.Factor, **params: str) -> None:
    """Alert the caller of a change to this factor of theirs."""
    session_id = person.session.id
    alert(conn, person.user, change, session_id=session_id, factor_id=factor.id, factor_type=factor.kind, **params)


def tell_of_identity(conn: Connection, user: rows.User, change: str, provider: str, *, session_id: UUID | None) -> None:
    """Alert somebody that a way to log in was added (`identity_linked`) or removed (`identity_unlinked`)."""
    alert(conn, user, change, session_id=session_id, factor_id=None, factor_type=provider, provider=provider)
