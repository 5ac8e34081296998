"""Browsers that are logged in on the provider's pages. A cookie shows their session, an ordinary row of `sessions`.

No other endpoint of the house takes the cookie for anything: what is here is called by pages only. The cookie is 256
random bits, hashed at rest, and another one after every log-in and every second factor, so that a planted one is worth
nothing. Before the log-in it stands for nobody, and binds forms to the browser that they were shown to.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

from flask import Response, after_this_request, g, request

from services.auth import rows, store
from services.auth.assurance import Caller
from services.auth.endings import end_sessions
from services.auth.parts import here
from services.auth.relying_party import LOOPBACK
from shared.errors import BadRequest, Forbidden
from shared.postgres import Connection

COOKIE = "__Host-gatehouse"  # browsers take this prefix from a host of its own only, over TLS, for all of its paths
COOKIE_ON_LOOPBACK = "gatehouse_loopback"  # where PUBLIC_URL is http://localhost or the like: there is no TLS there
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
LOG_IN_PATH = "/auth/oauth/login"
# One spelling only, and nothing that a browser reads in another way than we do: this very path, and printable ASCII.
RETURN_TO = re.compile(r"/auth/oauth/authorize(\?[!$-\[\]-~]*)?")
MAX_RETURN_TO = 8_000
SEEN_EVERY = timedelta(hours=1)
HALFWAY = timedelta(minutes=15)


@dataclass(frozen=True)
class Visitor:
    """A browser that nobody has logged in with."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class Browser(Visitor):
    """A browser, whose it is, and its session."""

    user: rows.User
    session: rows.Session

    @property
    def auth_time(self) -> int:
        return self.session.auth_time

    @property
    def caller(self) -> Caller:
        return Caller(self.user, self.session)

    @property
    def lacks_second_factor(self) -> bool:
        return self.user.has_second_factor and self.session.aal != "aal2"


def signed_in(conn: Connection) -> Browser | None:
    """Whoever is logged in with this browser, with the second factor if the account has one."""
    browser = _known(conn)
    if browser is None or browser.lacks_second_factor:
        return None
    if browser.session.refreshed_at < datetime.now(UTC) - SEEN_EVERY:
        store.update_browser_seen(conn, browser.session.id)
        after_this_request(lambda response: response if "has_left" in g else keep(response, browser.token))
    return browser


def halfway_in(conn: Connection, *, locked: bool = False) -> Browser | None:
    """Whoever has just shown a first factor here and owes the second; in turns with other changes of the same user if
    `locked`."""
    browser = _known(conn)
    if browser is not None and locked:
        store.lock_user(conn, browser.user.id)
        browser = _known(conn)
    if browser is None or not browser.lacks_second_factor:
        return None
    return browser if browser.session.created_at > datetime.now(UTC) - HALFWAY else None


def visitor() -> Visitor:
    """This browser, whoever uses it: it gets a cookie if it has none. For forms before the log-in."""
    if "visitor" not in g:
        said = _token()
        g.visitor = Visitor(said or secrets.token_urlsafe(32))
        if said is None:
            after_this_request(lambda response: _set(response, g.visitor.token, max_age_s=None))
    found: Visitor = g.visitor
    return found


def let_in(conn: Connection, session: rows.Session) -> str:
    """Give this browser a session, in place of the one it had; the cookie's new value, for `keep`."""
    before = _known(conn)
    if before is not None:
        if before.user.id == session.user_id:
            store.move_oauth_grants(conn, before.session.id, session.id)
        end_sessions(conn, before.user.id, "logout", only=before.session.id, by=before.user.id)
    token = secrets.token_urlsafe(32)
    store.insert_browser(conn, session.id, _hash(token))
    return token


def renew(conn: Connection, browser: Browser) -> str:
    """Another cookie for the same session, which has just become more than it was; its value, for `keep`."""
    token = secrets.token_urlsafe(32)
    store.update_browser_token(conn, browser.session.id, _hash(token))
    return token


def keep(response: Response, token: str) -> Response:
    """Hand the cookie of a session over, once it is committed."""
    return _set(response, token, max_age_s=here.settings.browser_idle_s)


def log_out(conn: Connection, browser: Browser, response: Response) -> Response:
    """End the browser's session and take its cookie away."""
    end_sessions(conn, browser.user.id, "logout", only=browser.session.id, by=browser.user.id)
    g.has_left = True
    response.delete_cookie(_cookie(), path="/", secure=_is_secure(), httponly=True, samesite="Lax")
    return response


def to_log_in(return_to: str, *, login_hint: str | None = None) -> Response:
    """To the log-in page, and from there back to a request for authorization. Raise BadRequest for another place.

    The page asks even who is logged in: who is led there has to prove anew who they are, or to be somebody else.
    """
    query = {"return_to": require_return_to(return_to)}
    if login_hint:
        query["login_hint"] = login_hint[:254]
    return Response(status=303, headers={"Location": f"{LOG_IN_PATH}?{urlencode(query)}", "Cache-Control": "no-store"})


def require_return_to(place: str) -> str:
    """The place itself, if it is one of ours to lead back to. Raise BadRequest."""
    if len(place) > MAX_RETURN_TO or not RETURN_TO.fullmatch(place):
        raise BadRequest("This page was opened without a request that it could go back to.", code="bad_return_to")
    return place


def form_token(browser: Visitor, purpose: str) -> str:
    """What a form for this purpose, shown to this browser, has to send back as `form_token`."""
    return _macs(browser, purpose)[0]


def require_form_token(browser: Visitor, purpose: str) -> None:
    """Raise Forbidden(form_token_invalid) unless the form was shown by us, for this, to this very browser."""
    require_own_page()
    said = request.form.get("form_token", "").encode()
    if not any(hmac.compare_digest(said, mac.encode()) for mac in _macs(browser, purpose)):
        raise _refused()


def require_own_page(*, hides_origin: bool = False) -> None:
    """Raise Forbidden(form_token_invalid) if the browser says that the form was sent by a page of somebody else.

    A page with a secret address `hides_origin`: browsers say `null` of it, and older ones no more than that.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is None and origin in (None, _origin(), "null" if hides_origin else None):  # an old browser, or none
        return
    if site not in ("same-origin", "none"):
        raise _refused()


def _refused() -> Forbidden:
    return Forbidden("This form was open for too long, or it is not from here. Try again.", code="form_token_invalid")


def _macs(browser: Visitor, purpose: str) -> list[str]:
    return [mac.hex() for mac in here.sealer.macs(f"{purpose}\n{browser.token}".encode(), "form token")]


def _known(conn: Connection) -> Browser | None:
    token = _token()
    if token is None:
        return None
    idle_s, lifetime_s = here.settings.browser_idle_s, here.settings.session_lifetime_s
    found = store.get_browser(conn, _hash(token), idle_s=idle_s, lifetime_s=lifetime_s)
    if found is None:
        return None
    g.reader = found[0]  # pages speak the language that this person chose
    return Browser(token, *found)


def _token() -> str | None:
    said = request.cookies.get(_cookie(), "")
    return said if TOKEN.fullmatch(said) else None


def _hash(token: str) -> bytes:
    """256 random bits need no key to be safe at rest."""
    return hashlib.sha256(token.encode()).digest()


def _set(response: Response, token: str, *, max_age_s: int | None) -> Response:
    response.set_cookie(
        _cookie(), token, max_age=max_age_s, path="/", secure=_is_secure(), httponly=True, samesite="Lax"
    )
    return response


def _cookie() -> str:
    return COOKIE if _is_secure() else COOKIE_ON_LOOPBACK


def _is_secure() -> bool:
    public = urlsplit(here.settings.public_url)
    return public.scheme == "https" or public.hostname not in LOOPBACK


def _origin() -> str:
    public = urlsplit(here.settings.public_url)
    return f"{public.scheme}://{public.netloc}"
