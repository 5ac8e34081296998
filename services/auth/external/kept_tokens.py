"""Apple's authorization code: worth a refresh token, whose one use here is to be given back when the account goes.

Apple asks for that when somebody deletes an account (App Store Review Guidelines, 5.1.1).
"""

import logging

from pydantic import SecretStr

from services.auth import store
from services.auth.external.id_tokens import Account
from services.auth.external.provider import Provider, Refused
from services.auth.parts import here
from services.auth.sealing import context_of
from shared.ids import new_id
from shared.postgres import Connection

log = logging.getLogger(__name__)


def exchange(provider: Provider, account: Account, code: SecretStr | None) -> str:
    """The refresh token, or nothing where no key for it is set. Raise Unavailable: the app sends the same again.

    A code that the provider refuses keeps nobody out: it may have been exchanged for an answer that was lost.
    """
    if code is None or provider.settings.signing_key is None:
        return ""
    try:
        return provider.exchange(code.get_secret_value(), client_id=account.client_id).refresh_token
    except Refused as refused:
        log.warning("%s does not take an authorization code: %s", provider.name, refused.error)
        return ""


def keep(conn: Connection, account: Account, refresh_token: str) -> None:
    """Keep it sealed with the identity of the account, in the transaction that made or found that."""
    if not refresh_token or here.providers[account.provider].settings.signing_key is None:
        return
    identity_id = store.get_identity_id(conn, account.provider, account.subject)
    if identity_id is not None:
        token_id = new_id()
        sealed = here.sealer.seal(refresh_token.encode(), context_of("provider_tokens", token_id))
        store.put_provider_token(conn, token_id, identity_id, account.provider, account.client_id, sealed)
