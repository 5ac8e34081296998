"""Signing up and logging in."""

from datetime import UTC, datetime

from services.auth import grants, mails, models, rows, store
from services.auth.confirmation import confirmed
from services.auth.metrics import SIGN_UPS
from services.auth.parts import here
from services.auth.passwords import require_strong
from services.auth.registration import register, rehearse
from services.auth.sessions import open_session, session_answer
from shared import outbox
from shared.errors import UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection
from shared.routing import Blueprint, public

bp = Blueprint("auth", __name__, url_prefix="/auth/v1")


@bp.post("/signup")
@public
def sign_up(query: models.RedirectQuery, body: models.SignUp) -> models.SignUpAnswer:
    """Create a user, its event and its mail, all or none. For an address that is taken the answer looks the same."""
    password = body.password.get_secret_value()
    require_strong(password, here.settings.password_min_length)
    password_hash = here.passwords.hash(password)  # slow on purpose: before a connection is held
    is_confirmed = here.settings.autoconfirm
    with here.db.transaction() as conn:
        user = store.insert_user(conn, body.email, password_hash, body.data or {}, is_confirmed=is_confirmed)
        SIGN_UPS.labels("created" if user else "repeated").inc()
        if user is None:
            return _sign_up_again(conn, query, body, password_hash)
        register(conn, user)
        if not is_confirmed:
            user = mails.ask_to_confirm(conn, user, query.redirect_to)
            return models.SignUpAnswer(models.User.of(user))
        user, session = _enter(conn, user)
    return models.SignUpAnswer(session_answer(user, session))


def _enter(conn: Connection, user: rows.User) -> tuple[rows.User, rows.Session]:
    """Let somebody in whose address counts as confirmed."""
    outbox.add(conn, confirmed(user))
    mails.welcome(conn, user)
    user = store.update_signed_in(conn, user.id, password_hash=None) or user
    return user, open_session(conn, user, "password")


def _sign_up_again(
    conn: Connection, query: models.RedirectQuery, body: models.SignUp, password_hash: str
) -> models.SignUpAnswer:
    """The address is taken: its owner learns of it by mail, the caller does not.

    As long as nobody confirmed the address, the latest sign-up counts: else whoever was first with somebody else's
    address would keep a password to the account. Within the mail interval nothing changes, as no mail could tell.
    """
    if here.settings.autoconfirm:
        raise UnprocessableContent("User already registered", code="user_already_exists")
    existing = store.lock_user_for_mail(conn, body.email, here.settings.mail_interval_s)
    if existing is not None and existing.email_confirmed_at is None:
        replaced = store.update_unconfirmed_user(conn, existing.id, password_hash, body.data or {})
        mails.ask_to_confirm(conn, replaced or existing, query.redirect_to)
    else:
        rehearse(conn, password_hash, body.data or {})
    if existing is not None and existing.email_confirmed_at is not None:
        mails.tell_of_sign_up(conn, existing)
    return models.SignUpAnswer(models.User.of(_nobody(body)))


def _nobody(body: models.SignUp) -> rows.User:
    """A user who looks as if just created."""
    now = datetime.now(UTC)
    return rows.User(
        id=new_id(),
        email=body.email,
        email_confirmed_at=None,
        confirmation_sent_at=now,
        password_hash=None,
        role="authenticated",
        user_metadata=body.data or {},
        app_metadata=store.EMAIL_ONLY,
        is_anonymous=False,
        last_sign_in_at=None,
        created_at=now,
        updated_at=now,
    )


@bp.post("/token")
@public
def grant_session(query: models.GrantQuery, body: models.Grant) -> models.Session:
    """Log in with a password, or exchange a refresh token for the next."""
    return grants.GRANTS[query.grant_type](body)
