"""What a person must hear of at once: something that guards their account came, went, was used, changed or attacked.

Each is a row in the audit log, a mail to the person, and an event for whoever watches accounts from outside, in the
transaction that makes it true.
"""

from datetime import UTC, datetime
from uuid import UUID

from flask import request

from services.auth import mails, rows
from services.auth.assurance import Caller
from services.auth.audit import note
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
    session_id: UUID | None = None,
    factor_id: UUID | None = None,
    factor_type: str | None = None,
    provider: str | None = None,
    remaining: str | None = None,
    new_email: str | None = None,
    device: str | None = None,
    ip: str | None = None,
    is_noted: bool = True,
) -> None:
    """Note it, unless the caller does, mail the template named like the change, and say so to the others.

    The mail goes to the confirmed address that this `user` has: of a change of address, as it was before. `device` and
    `ip` are said in place of where the request came from; `new_email` is for the mail alone.
    """
    asking = device_of(request)
    device = mails.unlinked(asking.name) or "Unknown device" if device is None else device
    ip = asking.ip if ip is None else ip or None
    said: dict[str, str | None] = {"factor_type": factor_type, "provider": provider, "remaining": remaining}
    if is_noted:
        factor = str(factor_id) if factor_id else None
        note(conn, f"user.{change}", user.id, session_id=session_id, details={**said, "factor": factor})
    event = UserSecurityChanged(
        user_id=user.id,
        session_id=session_id,
        change=change,
        factor_id=factor_id,
        factor_type=factor_type,
        ip=ip,
        changed_at=datetime.now(UTC),
    )
    outbox.add(conn, event)
    if user.email and user.email_confirmed_at:
        params = {**said, "new_email": new_email, "device": device, "ip": ip or ""}
        known = {name: value for name, value in params.items() if value is not None}
        mails.send(conn, user, change, known, MAIL_LIFETIME_S)


def tell_of_factor(
    conn: Connection, person: Caller, change: str, factor: rows.Factor, *, remaining: str | None = None
) -> None:
    """Alert the caller of a change to this factor of theirs."""
    alert(
        conn,
        person.user,
        change,
        session_id=person.session.id,
        factor_id=factor.id,
        factor_type=factor.kind,
        remaining=remaining,
    )


def tell_of_identity(conn: Connection, user: rows.User, change: str, provider: str, *, session_id: UUID | None) -> None:
    """Alert somebody that a way to log in was added (`identity_linked`) or removed (`identity_unlinked`)."""
    alert(conn, user, change, session_id=session_id, factor_id=None, factor_type=provider, provider=provider)
