"""What a provider sends a browser back with (RFC 6749, section 4.1.2), read and held against attack."""

import json
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.auth.external import flows, id_tokens
from services.auth.external.id_tokens import Account
from services.auth.external.provider import Provider, Refused, Tokens
from shared.errors import BadRequest, Problem

WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MAX_DESCRIPTION = 300
Text = Annotated[str, Field(max_length=4_096)]


class Said(BaseModel):
    """`user` is Apple's: the name, once."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    state: Text = ""
    code: Text = ""
    iss: Text = ""
    error: Text = ""
    error_description: Text = ""
    user: Text = ""


class Denied(BadRequest):
    """The provider's own refusal, to be passed on to the app as it is."""

    def __init__(self, said: Said) -> None:
        description = "".join(letter for letter in said.error_description if letter.isprintable())[:MAX_DESCRIPTION]
        super().__init__(description or "The provider let nobody in.", code="provider_refused")
        self.error = said.error if WORD.fullmatch(said.error) else "server_error"


def read(provider: Provider, said: Said, secret: str) -> tuple[Account, Tokens]:
    """Who came back, and the provider's tokens. Raise Problem."""
    _require_sender(provider, said)
    if said.error:
        raise Denied(said)
    if not said.code:
        raise BadRequest("OAuth callback with missing authorization code", code="bad_oauth_callback")
    tokens = _exchange(provider, said, secret)
    account = id_tokens.verify(
        provider, tokens.id_token, nonce=flows.nonce(secret, said.state), access_token=tokens.access_token
    )
    if account.client_id != provider.web_client_id:
        raise id_tokens.refusal("Unacceptable audience in id_token")
    return _completed(provider, account, tokens, said), tokens


def _require_sender(provider: Provider, said: Said) -> None:
    """A provider that names itself is the one that the browser was sent to (RFC 9207): else its code is another's."""
    if said.iss != provider.settings.issuer and (said.iss or provider.metadata().names_itself):
        raise BadRequest("This answer is from another provider than the one that was asked.", code="bad_oauth_callback")


def _exchange(provider: Provider, said: Said, secret: str) -> Tokens:
    try:
        return provider.exchange(
            said.code,
            client_id=provider.web_client_id,
            redirect_uri=flows.callback(),
            code_verifier=flows.verifier(secret, said.state),
        )
    except Refused as refused:
        raise Problem("Unable to exchange external code", code="unexpected_failure") from refused


def _completed(provider: Provider, account: Account, tokens: Tokens, said: Said) -> Account:
    """With the address that some say only at their userinfo endpoint, and the name that Apple says once."""
    more: dict[str, Any] = {}
    if account.email is None and tokens.access_token:
        try:
            more = provider.userinfo(tokens.access_token)
        except Refused:
            more = {}
        if more.get("sub") != account.subject:  # OpenID Connect Core, section 5.3.2: it may speak of somebody else
            more = {}
    name = _name(said.user) if said.user else ""
    if not more and not name:
        return account
    own = {"iss": account.data["iss"], "sub": account.subject, "aud": account.client_id}
    known = {**account.data.get("custom_claims", {}), **account.data, **more, **({"name": name} if name else {}), **own}
    return id_tokens.account_of(provider, known)


def _name(user: str) -> str:
    """It comes from the browser, not signed: it is no more than what somebody calls themselves."""
    try:
        name = json.loads(user)["name"]
        return " ".join(part for part in (name.get("firstName"), name.get("lastName")) if isinstance(part, str)).strip()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
