"""Mails this service asks notify to send, in the transaction that makes them true."""

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from flask import request

from services.auth import rows, store
from services.auth.parts import here
from shared import outbox
from shared.contracts import MessageRequested
from shared.ids import new_id
from shared.postgres import Connection

SIGNUP = "signup"
LINK_LIKE = re.compile(r"[/:@<>\[\]]|\w\.\w")
LOCALE = re.compile(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")


def lock_recipient(conn: Connection, email: str) -> rows.User | None:
    """The user with this address, locked, if there is one and a mail may go to them now."""
    interval_s, per_day = here.settings.mail_interval_s, here.settings.mails_per_day
    return store.lock_user_for_mail(conn, email, interval_s=interval_s, per_day=per_day)


def ask_to_confirm(conn: Connection, user: rows.User, redirect_to: str | None) -> rows.User:
    """Send the link and the code that confirm an address; those of an earlier mail are void. The user as it is now.

    `redirect_to` is what the app wished for; it goes into the link only if it is allowed.
    """
    secret, code = secrets.token_urlsafe(32), f"{secrets.randbelow(1_000_000):06d}"
    email, lifetime_s = user.email or "", here.settings.confirmation_lifetime_s
    store.put_one_time_token(
        conn,
        user.id,
        SIGNUP,
        email,
        token_hash=hash_of_link(secret),
        code_hash=hashes_of_code(SIGNUP, email, code)[0],
        lifetime_s=lifetime_s,
    )
    query = {"token_hash": secret, "type": SIGNUP} | (
        {"redirect_to": redirect_to} if redirect_to in here.settings.redirect_places else {}
    )
    link = f"{here.settings.public_url}/auth/v1/verify?{urlencode(query)}"
    send(conn, user, "confirm_signup", {"link": link, "code": code}, lifetime_s)
    return store.update_mail_sent(conn, user.id) or user


def welcome(conn: Connection, user: rows.User) -> None:
    """Greet somebody whose address needed no confirmation."""
    send(conn, user, "welcome", {}, 86_400)


def tell_of_sign_up(conn: Connection, user: rows.User) -> None:
    """Tell the owner of a confirmed address that somebody signed up with it; the caller learns nothing."""
    send(conn, user, "account_exists", {}, 86_400)
    store.update_mail_sent(conn, user.id)


def hash_of_link(secret: str) -> bytes:
    """256 random bits need no key to be safe at rest."""
    return hashlib.sha256(secret.encode()).digest()


def hashes_of_code(kind: str, email: str, code: str) -> list[bytes]:
    """Six digits are guessed in no time by whoever reads the table, so their hash is keyed; one for each key."""
    return here.sealer.macs(f"{kind}\n{email}\n{code}".encode(), "one-time code")


def send(conn: Connection, user: rows.User, template: str, params: dict[str, str], lifetime_s: int) -> None:
    """Ask notify for one mail to the user's address, with the name they go by among the parameters."""
    event = MessageRequested(
        message_id=new_id(),
        user_id=user.id,
        email=user.email,
        channels=["email"],
        template=template,
        params={"name": _name(user), **params},
        locale=locale_of(user),
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
    """The language chosen at sign-up (`data.locale`), else the one the request asks for."""
    for said in (user.user_metadata.get("locale"), request.accept_languages.best):
        if isinstance(said, str) and LOCALE.match(said):
            return said
    return None
