"""Mails this service asks notify to send, in the transaction that makes them true."""

import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import request

from services.auth import hooks, kinds, rows, store
from services.auth.codes import hash_of_link, hashes_of_code, new_code
from services.auth.message_caps import admit_mail
from services.auth.parts import here
from services.auth.pkce import Challenge
from shared import outbox
from shared.contracts import MessageRequested
from shared.ids import new_id
from shared.postgres import Connection

LINK_LIKE = re.compile(r"[/:@<>\[\]]|\w\.\w")
LOCALE = re.compile(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}\Z")
MAX_LANGUAGES = 10
TEMPLATES = {
    kinds.SIGNUP: "confirm_signup",
    kinds.INVITE: "invite",
    kinds.MAGIC_LINK: "magic_link",
    kinds.RECOVERY: "recovery",
    kinds.EMAIL_CHANGE_CURRENT: "email_change_current",
    kinds.EMAIL_CHANGE_NEW: "email_change_new",
    kinds.REAUTHENTICATION: "reauthentication",
}


def order(email: str) -> None:
    """Count a mail that somebody orders: before anybody looks for whom it is, and before a connection is held.

    Raise TooManyRequests(over_email_send_rate_limit).
    """
    with here.db.transaction() as conn:
        admit_mail(conn, email)


def lock_recipient(conn: Connection, email: str, kind: str) -> rows.User | None:
    """The user with this address, locked, if there is one and a mail of this kind may go to them now."""
    return store.lock_user_for_mail(conn, email, kind, **_limits())


def lock_own_recipient(conn: Connection, user_id: UUID, kind: str) -> rows.User | None:
    """This user, locked, if a mail of this kind may go to them now."""
    return store.lock_own_user_for_mail(conn, user_id, kind, **_limits())


def _limits() -> dict[str, int]:
    return {"interval_s": here.settings.mail_interval_s, "per_day": here.settings.mails_per_day}


@dataclass(frozen=True)
class Secret:
    """What a mail holds: a link, the `token` in it, and a code. `is_fixed`: the code of a test address, to be sent to
    nobody."""

    token: str = field(repr=False)
    code: str = field(repr=False)
    link: str = field(repr=False)
    is_fixed: bool
    lifetime_s: int


def make_secret(
    conn: Connection,
    user: rows.User,
    kind: str,
    *,
    to: str | None = None,
    redirect_to: str | None = None,
    challenge: Challenge | None = None,
    user_metadata: dict[str, Any] | None = None,
) -> Secret:
    """A new secret of this kind for an address, the user's own unless given; an earlier one is void.

    `redirect_to` is what the app wished for; it goes into the link only if it is allowed.
    """
    email = to or user.email or ""
    token, (code, is_fixed) = secrets.token_urlsafe(32), new_code(email)
    first_of_all = kind in (kinds.SIGNUP, kinds.INVITE)
    lifetime_s = here.settings.confirmation_lifetime_s if first_of_all else here.settings.code_lifetime_s
    store.put_one_time_token(
        conn,
        user.id,
        kind,
        email,
        token_hash=hash_of_link(token),
        code_hash=hashes_of_code([kind], email, code)[0],
        lifetime_s=lifetime_s,
        challenge=challenge,
        user_metadata=user_metadata,
    )
    link = _link(token, kind, redirect_to) if kind in kinds.TYPE_OF_LINK else ""
    return Secret(token, code, link, is_fixed, lifetime_s)


def send_secret(
    conn: Connection,
    user: rows.User,
    kind: str,
    *,
    to: str | None = None,
    redirect_to: str | None = None,
    challenge: Challenge | None = None,
    user_metadata: dict[str, Any] | None = None,
) -> rows.User:
    """Mail what `make_secret` makes. The user as it is now."""
    secret = make_secret(
        conn, user, kind, to=to, redirect_to=redirect_to, challenge=challenge, user_metadata=user_metadata
    )
    params = {"code": secret.code}
    if secret.link:
        params["link"] = secret.link
    if kind in kinds.EMAIL_CHANGE:
        params |= {"email": user.email or "", "new_email": user.new_email or ""}
    if not secret.is_fixed:
        send(conn, user, TEMPLATES[kind], params, secret.lifetime_s, to=to or user.email)
    return store.update_mail_sent(conn, user.id, kind) or user


def send_change(
    conn: Connection, user: rows.User, *, redirect_to: str | None, challenge: Challenge | None
) -> rows.User:
    """Ask both addresses whether the new one may take the place of the old; a new one alone if there is no old one."""
    if user.email_confirmed_at is not None:
        send_secret(conn, user, kinds.EMAIL_CHANGE_CURRENT, redirect_to=redirect_to, challenge=challenge)
    return send_secret(
        conn, user, kinds.EMAIL_CHANGE_NEW, to=user.new_email, redirect_to=redirect_to, challenge=challenge
    )


def welcome(conn: Connection, user: rows.User) -> None:
    """Greet somebody whose address needed no confirmation."""
    send(conn, user, "welcome", {}, 86_400)


def tell_of_sign_up(conn: Connection, user: rows.User) -> None:
    """Tell the owner of a confirmed address that somebody signed up with it; the caller learns nothing."""
    # A secret that nobody can know, for its cost alone: a mail that asks to confirm has one.
    nobodys = secrets.token_bytes(32)
    store.put_one_time_token(
        conn, user.id, kinds.SIGNUP, user.email or "", token_hash=nobodys, code_hash=nobodys, lifetime_s=1
    )
    send(conn, user, "account_exists", {}, 86_400)
    store.update_mail_sent(conn, user.id, kinds.SIGNUP)


def _link(secret: str, kind: str, redirect_to: str | None) -> str:
    query = {"token_hash": secret, "type": kinds.TYPE_OF_LINK[kind]}
    if redirect_to and here.settings.places.allows(redirect_to):
        query["redirect_to"] = redirect_to
    return f"{here.settings.public_url}/auth/v1/verify?{urlencode(query)}"


def tell_of_reuse(conn: Connection, user: rows.User, device_name: str) -> None:
    """Tell somebody that a session has ended because a copy of its refresh token was used.

    The device's name is what a client once said of itself: one that looks like a link is left out.
    """
    send(conn, user, "reuse_detected", {"device": unlinked(device_name)}, 86_400)


def unlinked(text: str) -> str:
    """The text, or nothing if it looks like a link."""
    return "" if LINK_LIKE.search(text) else text


def send(
    conn: Connection, user: rows.User, template: str, params: dict[str, str], lifetime_s: int, *, to: str | None = None
) -> None:
    """Ask notify, or the operator's hook, for one mail, to the user's address unless told otherwise."""
    params = {"name": _name(user), **params}
    wishes: Any = {"locale": locale_of(user), "languages": languages_asked_for()}
    if here.settings.hook_send_mail_url:
        address = to or user.email or ""
        return hooks.ask_to_send_mail(conn, user, address, template, params, lifetime_s, **wishes)
    event = MessageRequested(
        message_id=new_id(),
        user_id=user.id,
        email=to or user.email,
        channels=["email"],
        template=template,
        params=params,
        **wishes,
        expires_at=datetime.now(UTC) + timedelta(seconds=lifetime_s),
    )
    outbox.add(conn, event, source="auth")


def _name(user: rows.User) -> str:
    """What the person calls themselves, or nothing: whoever signs up writes this into a mail to an address that may be
    somebody else's, so it must not be a message and must not hold a link."""
    said = user.user_metadata.get("name") or user.user_metadata.get("full_name")
    if not isinstance(said, str) or len(said) > 64 or not said.isprintable() or LINK_LIKE.search(said):
        return ""
    return said.strip()


def locale_of(user: rows.User) -> str | None:
    """The language chosen at sign-up or later (`data.locale`), else the one the request asks for first.

    Whether there are mails in it is notify's to know; it goes on to `languages_asked_for`.
    """
    chosen = user.user_metadata.get("locale")
    if isinstance(chosen, str) and LOCALE.match(chosen):
        return chosen
    return next(iter(languages_asked_for()), None)


def languages_asked_for() -> list[str]:
    """All of Accept-Language (RFC 9110, 12.5.4), best first, without what is refused (`q=0`) or is no language tag."""
    asked = [tag for tag, quality in request.accept_languages if quality > 0 and LOCALE.match(tag)]
    return list(dict.fromkeys(asked))[:MAX_LANGUAGES]
