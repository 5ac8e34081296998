"""What the log-in pages share: the way back, why something was refused, and the step from a first factor onward."""

from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from flask import Response
from pydantic import Field

from services.auth import rows
from services.auth.addresses import normalise
from services.auth.browser import LOG_IN_PATH, keep, let_in
from services.auth.models import ClientQuery
from services.auth.parts import here
from services.auth.phones import normalise_phone
from shared.errors import BadRequest
from shared.postgres import Connection
from shared.routing import Form

PURPOSE = "log in"  # of every form before the log-in
SECOND_FACTOR_PATH = f"{LOG_IN_PATH}/second-factor"
MAX_ADDRESS = 254


class ReturnQuery(ClientQuery):
    return_to: str = Field("", description="the request for authorization to go back to, from its path on")


class ReturnForm(Form):
    form_token: str = ""
    return_to: str = ""


class AddressForm(ReturnForm):
    email: str = ""

    @property
    def typed(self) -> str:
        """To be shown again."""
        return self.email.strip()[:MAX_ADDRESS]


@dataclass
class Seat:
    """The place of a browser that is being let in: `take` it in the transaction that opens the session."""

    token: str = ""

    def take(self, conn: Connection, session: rows.Session) -> None:
        self.token = let_in(conn, session)

    def lead_on(self, user: rows.User, session: rows.Session, return_to: str) -> Response:
        """Back to where the person came from, or first to their second factor."""
        owes = user.has_second_factor and session.aal != "aal2"
        onward = with_return(SECOND_FACTOR_PATH, return_to) if owes else return_to
        return keep(lead_to(onward), self.token)


def lead_to(path: str) -> Response:
    return Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})


def with_return(path: str, return_to: str, **more: str) -> str:
    """The address of a page that will lead back there."""
    return f"{path}?{urlencode({'return_to': return_to, **more})}"


def leads_to(return_to: str) -> str | None:
    """Where the answer to a log-in may lead in the end, if the app has the person's consent already."""
    said = parse_qs(urlsplit(return_to).query).get("redirect_uri")
    return said[0] if said else None


def address_of(typed: str) -> str:
    """The e-mail address, or the number where numbers log in. Raise BadRequest(not_an_address)."""
    if not here.settings.sms_is_on or "@" in typed:
        return email_of(typed)
    try:
        return normalise_phone(typed)
    except ValueError:
        raise _not_an_address() from None


def email_of(typed: str) -> str:
    """The e-mail address, where no number will do. Raise BadRequest(not_an_address)."""
    try:
        return normalise(typed.strip())
    except ValueError:
        raise _not_an_address() from None


def _not_an_address() -> BadRequest:
    return BadRequest("Type an e-mail address.", code="not_an_address")
