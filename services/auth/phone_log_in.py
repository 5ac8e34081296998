"""Signing up and logging in with a phone number. The answers tell nobody whether a number is known."""

from services.auth import bodies, kinds, rows, store, texts
from services.auth.metrics import SIGN_UPS
from services.auth.parts import here
from services.auth.passwords import require_strong
from services.auth.registration import as_signed_up, hash_of_sign_up, register, rehearse
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
        user = store.insert_phone_user(conn, answer.id, phone, password_hash, body.data or {})
        SIGN_UPS.labels("created" if user else "repeated").inc()
        if user is not None:
            register(conn, user)
        else:
            store.update_phone_sign_up(conn, phone, password_hash, body.data or {})
            user = _unconfirmed(texts.lock_recipient(conn, phone, kinds.SMS))
        _send(conn, user, phone, body.channel)
    return answer


def send_otp(body: bodies.Otp, phone: str, refusal: Problem | None) -> None:
    """Send a code that logs in. A new user is made unless `create_user` is false, or the operator refuses."""
    texts.order_sms(phone)
    with here.db.transaction() as conn:
        user = None
        if body.create_user is not False and refusal is None:
            user = store.insert_phone_user(conn, new_id(), phone, None, body.data or {})
        if user is not None:
            register(conn, user)
        else:
            store.update_phone_sign_up(conn, phone, None, body.data or {})
            user = texts.lock_recipient(conn, phone, kinds.SMS)
        if refusal is not None and store.get_user_by_phone(conn, phone) is None:
            raise refusal
        _send(conn, user, phone, body.channel)


def resend(phone: str, kind: str) -> None:
    """Send the code of a sign-up or of a change of number again, at most once an interval."""
    texts.order_sms(phone)
    with here.db.transaction() as conn:
        user = texts.lock_recipient(conn, phone, kind)
        if user is not None and kind == kinds.PHONE_CHANGE and user.new_phone is not None:
            texts.send_code(conn, user, kind, user.new_phone, None)
        elif kind == kinds.SMS:
            _send(conn, _unconfirmed(user), phone, None)
        else:
            rehearse(conn, kinds.SIGNUP)


def _unconfirmed(user: rows.User | None) -> rows.User | None:
    return user if user is not None and user.phone_confirmed_at is None else None


def _send(conn: Connection, user: rows.User | None, phone: str, channel: str | None) -> None:
    if user is None:
        rehearse(conn, kinds.SIGNUP)
    else:
        texts.send_code(conn, user, kinds.SMS, phone, channel)
