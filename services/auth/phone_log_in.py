"""Signing up and logging in with a phone number. The answers tell nobody whether a number is known."""

from services.auth import bodies, kinds, rows, store, texts
from services.auth.alike import register_alike, send_alike
from services.auth.metrics import SIGN_UPS
from services.auth.parts import here
from services.auth.passwords import require_strong
from services.auth.registration import as_signed_up, hash_of_sign_up
from shared.errors import Problem
from shared.ids import new_id
from shared.postgres import Connection


def sign_up(body: bodies.SignUp, phone: str) -> rows.User:
    """Create a user and send a code. For a number that is taken the answer is the same."""
    texts.order_sms(phone)
    password = bodies.need(body.password, "password").get_secret_value()
    require_strong(password, here.settings.password_min_length, breaches_url=here.settings.breaches_url)
    password_hash = hash_of_sign_up(phone, password)  # slow on purpose: before a connection is held
    answer = as_signed_up(None, body.data or {}, phone=phone)
    with here.db.transaction() as conn:
        made = store.insert_phone_user(conn, answer.id, phone, password_hash, body.data or {})
        SIGN_UPS.labels("created" if made else "repeated").inc()
        register_alike(conn, made)
        store.update_phone_sign_up(conn, phone, password_hash, body.data or {})
        _send(conn, _unconfirmed(texts.lock_recipient(conn, phone, kinds.SMS)), phone, body.channel)
    return answer


def send_otp(body: bodies.Otp, phone: str, refusal: Problem | None) -> None:
    """Send a code that logs in. A new user is made unless `create_user` is false, or the operator refuses."""
    texts.order_sms(phone)
    with here.db.transaction() as conn:
        if body.create_user is not False and refusal is None:
            register_alike(conn, store.insert_phone_user(conn, new_id(), phone, None, body.data or {}))
        if refusal is not None and store.get_user_by_phone(conn, phone) is None:
            raise refusal
        store.update_phone_sign_up(conn, phone, None, body.data or {})
        _send(conn, texts.lock_recipient(conn, phone, kinds.SMS), phone, body.channel)


def resend(phone: str, kind: str) -> None:
    """Send the code of a sign-up or of a change of number again, at most once an interval."""
    texts.order_sms(phone)
    with here.db.transaction() as conn:
        user = texts.lock_recipient(conn, phone, kind)
        if kind == kinds.SMS:
            _send(conn, _unconfirmed(user), phone, None)
        else:
            changing = user if user is not None and user.new_phone is not None else None
            send_alike(conn, changing, lambda to: texts.send_code(conn, to, kind, to.new_phone or phone, None))


def _unconfirmed(user: rows.User | None) -> rows.User | None:
    return user if user is not None and user.phone_confirmed_at is None else None


def _send(conn: Connection, user: rows.User | None, phone: str, channel: str | None) -> None:
    send_alike(conn, user, lambda to: texts.send_code(conn, to, kinds.SMS, phone, channel))
