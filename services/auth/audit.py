"""The log of deeds: a row for each, in the transaction that makes it true.

Its words are `noun.verbed`. Details are a few words or numbers that say which (a factor's kind, a session's end): never
a secret, nor an address of mail or phone; what a value was, or became, is nobody's business here.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import g, has_request_context, request

from services.auth import store
from services.auth.devices import Device, device_of
from services.auth.metrics import AUDIT_ROWS
from shared.postgres import Connection
from shared.tokens import Claims

Detail = str | int | bool | None
NOWHERE = Device("", "", None)


def note(
    conn: Connection,
    action: str,
    subject: UUID | None,
    *,
    actor: UUID | None = None,
    session_id: UUID | None = None,
    or_by: UUID | None = None,
    details: Mapping[str, Detail] | None = None,
    **more: Detail,
) -> None:
    """Note what was done to whom. Who did it is the caller, or who acts for them, unless said otherwise, or `or_by`.

    Outside of a request nobody is the actor: it was done at the command line, or by the worker.
    """
    claims: Claims | None = g.get("claims") if has_request_context() else None
    device = device_of(request) if has_request_context() else NOWHERE
    store.insert_audit(
        conn,
        action,
        subject=subject,
        actor=actor or (claims.actor_id if claims else or_by),
        address=device.ip,
        session_id=session_id or (claims.session_id if claims else None),
        client=client_of(device),
        details=told({**(details or {}), **more}),
    )
    AUDIT_ROWS.labels(action).inc()


def client_of(device: Device) -> str:
    """What a request says of where it comes from: the device, and the version of the app."""
    return " ".join(filter(None, (device.name, device.app_version)))


def told(details: Mapping[str, Detail]) -> dict[str, Any]:
    """Those that say something, and no more of each than a line."""
    return {name: said[:200] if isinstance(said, str) else said for name, said in details.items() if said is not None}
