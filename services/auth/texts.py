"""Codes by SMS, through the operator's send-SMS hook."""

from services.auth import hooks, rows, store
from services.auth.codes import hash_of_link, hashes_of_code, new_code
from services.auth.message_caps import admit_sms
from services.auth.parts import here
from shared.errors import BadRequest
from shared.ids import new_id
from shared.postgres import Connection


def order_sms(phone: str) -> None:
    """Count an SMS that somebody orders: before anybody looks for whom it is, and before a connection is held.

    Raise BadRequest(phone_provider_disabled) where no SMS goes to such numbers, or TooManyRequests.
    """
    if not here.settings.reaches(phone):
        raise BadRequest("Unsupported phone provider", code="phone_provider_disabled")
    with here.db.transaction() as conn:
        admit_sms(conn, phone)


def lock_recipient(conn: Connection, phone: str, kind: str) -> rows.User | None:
    """The user with this number, locked, if a message of this kind may go there now."""
    interval_s, per_day = here.settings.mail_interval_s, here.settings.mails_per_day
    return store.lock_user_for_sms(conn, phone, kind, interval_s=interval_s, per_day=per_day)


def send_code(conn: Connection, user: rows.User, kind: str, phone: str, channel: str | None) -> rows.User:
    """Send six digits; those of an earlier message of this kind are void. The user as it is now."""
    code, is_fixed = new_code(phone)
    lifetime_s = here.settings.sms_lifetime_s
    store.put_one_time_token(
        conn,
        user.id,
        kind,
        phone,
        token_hash=hash_of_link(f"no link of {new_id()}"),
        code_hash=hashes_of_code([kind], phone, code)[0],
        lifetime_s=lifetime_s,
    )
    if not is_fixed:
        hooks.ask_to_send_sms(conn, user, phone, code, channel or "sms", lifetime_s)
    return store.update_mail_sent(conn, user.id, kind) or user
