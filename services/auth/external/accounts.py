"""What an account elsewhere does here: it lets in whom it belongs to, makes a user, or joins one."""

from uuid import UUID

from services.auth import hooks, models, rows, store
from services.auth.alerts import tell_of_identity
from services.auth.audit import note
from services.auth.endings import end_sessions
from services.auth.external.id_tokens import Account
from services.auth.metrics import SIGN_UPS
from services.auth.parts import here
from services.auth.registration import confirm, register
from shared.errors import BadRequest, UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection


def ask_hook(account: Account) -> None:
    """Ask the operator about somebody who would be new here, while no connection is held. Raise the refusal."""
    email = account.proven_email
    with here.db.transaction() as conn:
        is_known = store.get_user_by_identity(conn, account.provider, account.subject) is not None or (
            email is not None and store.get_user_by_email(conn, email) is not None
        )
    if not is_known:
        _require_address(account)
        refusal = hooks.refusal_of_user(email, None, account.data, provider=account.provider)
        if refusal is not None:
            raise refusal


def enter(conn: Connection, account: Account) -> rows.User:
    """Whom this account elsewhere lets in, made if need be.

    Raise UnprocessableContent: provider_email_needs_verification, or email_exists for an address that somebody has
    confirmed here already.
    """
    store.lock_identity(conn, account.provider, account.subject)
    owner = store.get_user_by_identity(conn, account.provider, account.subject)
    if owner is None:
        owner = _make(conn, account)
        if owner is None:
            owner = _claim(conn, account)
            tell_of_identity(conn, owner, "identity_linked", account.provider, session_id=None)
        _insert_identity(conn, owner.id, account)
    else:
        store.update_identity_used(
            conn, account.provider, account.subject, email=account.email, identity_data=account.data
        )
    if owner.is_banned:
        raise BadRequest("User is banned", code="user_banned")
    _add_metadata(conn, owner.id, account)
    return store.update_signed_in(conn, owner.id, password_hash=None) or owner


def link(conn: Connection, owner: rows.User, account: Account, *, session_id: UUID | None) -> rows.User:
    """Let this account elsewhere in, too. A guest becomes an account by it, with the same id.

    Raise UnprocessableContent: identity_already_exists, email_exists, provider_email_needs_verification.
    """
    store.lock_identity(conn, account.provider, account.subject)
    require_free(conn, account, owner)
    if owner.email is None:
        _require_address(account)
    _insert_identity(conn, owner.id, account)
    _add_metadata(conn, owner.id, account)
    if owner.email is None or owner.is_anonymous:
        return _vouch(conn, owner, account)
    tell_of_identity(conn, owner, "identity_linked", account.provider, session_id=session_id)
    return store.get_user(conn, owner.id) or owner


def require_free(conn: Connection, account: Account, owner: rows.User) -> None:
    """Raise UnprocessableContent(identity_already_exists) if it lets somebody in already."""
    other = store.get_user_by_identity(conn, account.provider, account.subject)
    if other is not None:
        detail = "Identity is already linked" + ("" if other.id == owner.id else " to another user")
        raise UnprocessableContent(detail, code="identity_already_exists")


def _make(conn: Connection, account: Account) -> rows.User | None:
    """A new user; None if somebody has the address."""
    _require_address(account)
    made = store.insert_external_user(conn, new_id(), account.proven_email, account.data)
    if made is None:
        return None
    SIGN_UPS.labels("created").inc()
    register(conn, made)
    if made.email is not None:
        confirm(conn, made)
    return made


def _claim(conn: Connection, account: Account) -> rows.User:
    """Whoever has the address here. If nobody has confirmed it, the provider's word is the first proof of whose it is:
    then nothing stays that somebody signed up with, who may have meant to wait for the owner."""
    email = account.proven_email or ""
    found = store.lock_user_by_email(conn, email)
    if found is None:
        raise store.email_exists()  # and gone meanwhile: the app tries again
    if found.email_confirmed_at is not None:
        if not here.settings.link_verified_addresses:
            raise UnprocessableContent(
                "A user with this email address has already been registered: log in to it and link this account there.",
                code="email_exists",
            )
        return found
    end_sessions(conn, found.id, "password_changed")
    store.delete_one_time_tokens(conn, found.id)
    store.delete_identities(conn, found.id)
    proven = store.update_email_proven(conn, found.id, account.data) or found
    confirm(conn, proven)
    note(conn, "user.confirmed", proven.id, provider=account.provider)
    return proven


def _vouch(conn: Connection, owner: rows.User, account: Account) -> rows.User:
    after = store.update_email_vouched(conn, owner.id, account.proven_email) or owner
    confirm(conn, after)
    return after


def _insert_identity(conn: Connection, user_id: UUID, account: Account) -> None:
    note(conn, "identity.linked", user_id, actor=user_id, provider=account.provider)
    store.insert_identity(
        conn, user_id, account.provider, account.subject, email=account.email, identity_data=account.data
    )
    store.update_identity_used(conn, account.provider, account.subject, email=None, identity_data={})


def _add_metadata(conn: Connection, user_id: UUID, account: Account) -> None:
    store.update_metadata_added(conn, user_id, account.data, max_bytes=models.MAX_METADATA_BYTES)


def _require_address(account: Account) -> None:
    """An address that nobody has proven counts for nothing: it may be somebody else's."""
    if account.proven_email is None and not here.providers[account.provider].settings.email_optional:
        label = account.provider
        detail = f"Unverified email with {label}. Verify the email with {label} in order to sign in"
        raise UnprocessableContent(detail, code="provider_email_needs_verification")
