"""The worker's part: refresh tokens whose identity is gone are given back to their provider, however often it takes.

The row of a token outlives the user: it is deleted when the provider has taken it, or does not know it any more.
"""

import logging

from services.auth import store
from services.auth.external.provider import Provider, Refused
from services.auth.metrics import PROVIDER_REVOCATIONS
from services.auth.parts import Parts
from services.auth.sealing import CannotOpen, context_of
from shared.errors import Unavailable
from shared.postgres import Database

log = logging.getLogger(__name__)

BUSY_S = 30.0
GIVEN_UP_AFTER = 800  # attempts, an hour apart in the end: a month
GONE = ("invalid_grant", "invalid_token", "unsupported_token_type")


def give_back_due(db: Database, parts: Parts) -> int:
    """Give back every token that is due; how many were taken. Several workers may do so at once."""
    taken = 0
    while True:
        with db.transaction() as conn:
            token = store.claim_due_provider_token(conn, busy_s=BUSY_S)
        if token is None:
            return taken
        result = _give_back(parts, token)
        PROVIDER_REVOCATIONS.labels(token.provider, result).inc()
        if result != "failed" or token.attempts >= GIVEN_UP_AFTER:
            with db.transaction() as conn:
                store.delete_provider_token(conn, token.id)
            taken += 1


def _give_back(parts: Parts, token: store.ProviderToken) -> str:
    provider: Provider | None = parts.providers.get(token.provider)
    try:
        if provider is None:
            raise LookupError("it is not configured any more")
        secret = parts.sealer.open(bytes(token.token_sealed), context_of("provider_tokens", token.id)).decode()
        provider.revoke(secret, client_id=token.client_id)
    except Refused as refused:
        if refused.error in GONE:
            return "gone"
        log.error("%s does not take a token back at attempt %s: %s", token.provider, token.attempts, refused.error)
    except (Unavailable, CannotOpen, LookupError) as error:
        log.warning("%s cannot take a token back at attempt %s: %s", token.provider, token.attempts, error)
    else:
        return "taken"
    return "failed"
