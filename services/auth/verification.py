"""What it does to an account that a one-time secret was right."""

from services.auth import kinds, rows, store
from services.auth.alerts import alert
from services.auth.audit import note
from services.auth.endings import end_sessions
from services.auth.registration import confirm
from shared.errors import Forbidden
from shared.postgres import Connection


def complete(conn: Connection, consumed: store.Consumed, password_hash: str | None = None) -> rows.User | None:
    """Do what the secret was for. The user who may enter now; None after the first of the two that change an address.

    `password_hash` is the password that was set on the page of the link. Raise UnprocessableContent(email_exists).
    """
    if consumed.kind == kinds.SIGNUP:
        user = store.update_email_confirmed(conn, consumed.user_id, password_hash)
        return _told(conn, user, "user.confirmed")
    if consumed.kind == kinds.SMS:
        before = store.get_user(conn, consumed.user_id)
        is_new = before is not None and before.phone_confirmed_at is None
        user = store.update_phone_confirmed(conn, consumed.user_id)
        return _told(conn, user, "user.phone_confirmed" if is_new else None)
    if consumed.kind == kinds.PHONE_CHANGE:
        user = _told(conn, store.update_phone_changed(conn, consumed.user_id, consumed.email))
        if user is not None:
            alert(conn, user, "phone_changed")
        return user
    if consumed.kind in kinds.EMAIL_CHANGE:
        return _change_email(conn, consumed)
    return _prove_email(conn, consumed, password_hash)


def _prove_email(conn: Connection, consumed: store.Consumed, password_hash: str | None) -> rows.User | None:
    """Whoever reads the mail is let in. An address nobody had confirmed is confirmed by it, and its sign-ups are void:
    their password may be somebody else's."""
    proven = store.update_email_proven(conn, consumed.user_id, consumed.user_metadata)
    if proven is not None:
        store.delete_one_time_tokens(conn, consumed.user_id, [kinds.SIGNUP])
        _told(conn, proven, "user.confirmed")
    user = store.get_user(conn, consumed.user_id)
    if password_hash is None or user is None:
        return user
    if user.has_second_factor:
        raise Forbidden("AAL2 required to update the password", code="insufficient_aal")
    end_sessions(conn, user.id, "password_changed")
    alert(conn, user, "password_changed")
    return store.update_user(conn, user.id, password_hash=password_hash, user_metadata=None)


def _change_email(conn: Connection, consumed: store.Consumed) -> rows.User | None:
    """Both addresses have to agree, in any order; then nothing that was mailed to the old one works any more."""
    before = store.get_user(conn, consumed.user_id)
    asked = kinds.EMAIL_CHANGE if before and before.email_confirmed_at else (kinds.EMAIL_CHANGE_NEW,)
    if not all(kind == consumed.kind or store.is_used(conn, consumed.user_id, kind) for kind in asked):
        return None
    user = store.update_email_changed(conn, consumed.user_id)
    store.delete_one_time_tokens(conn, consumed.user_id)
    if before is not None and user is not None:  # whoever has the old address must hear of it there
        alert(conn, before, "email_changed", new_email=user.email)
    return _told(conn, user)


def _told(conn: Connection, user: rows.User | None, deed: str | None = None) -> rows.User | None:
    if user is not None:
        confirm(conn, user)
        if deed is not None:
            note(conn, deed, user.id)
    return user
