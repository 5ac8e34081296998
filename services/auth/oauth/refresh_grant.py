"""Refreshing what was granted: the token is exchanged for the next one, and a copy that turns up ends the grant.

The rule is that of sessions (`rotation.py`): a lost answer costs nothing, real reuse costs everything.
"""

from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError, InvalidScopeError
from authlib.oauth2.rfc6749.grants import RefreshTokenGrant

from services.auth import mails, rows, store
from services.auth.metrics import REFRESHES
from services.auth.oauth import issuing
from services.auth.oauth.clients import Client
from services.auth.oauth.code_grant import lifetime_of, tokens_of
from services.auth.oauth.endings import end_grant
from services.auth.oauth.errors import InvalidTargetError
from services.auth.oauth.provider import CLIENT_AUTHENTICATION, Asked, provider
from services.auth.parts import here
from services.auth.refresh import has_expired
from services.auth.rotation import Verdict, judge
from services.auth.tokens import RefreshToken
from shared.postgres import Connection

NEW_NUMBER = (Verdict.ROTATE, Verdict.REISSUE)


class RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTHENTICATION
    request: Asked

    def _validate_request_token(self, client: Client) -> store.Grant:
        """The grant, with its next number issued. Raise InvalidGrantError for any token that is not this client's."""
        text = self.request.payload.data.get("refresh_token")
        if text is None:
            raise InvalidRequestError("refresh_token is missing.")
        token = issuing.read_refresh_token(here.sealer, text)
        with here.db.transaction() as conn:
            verdict, grant = self._exchange(conn, client, token) if token else (Verdict.UNKNOWN, None)
        REFRESHES.labels(verdict.value).inc()
        if grant is None:
            raise InvalidGrantError("The refresh token is not good, or not good any more.")
        return grant

    def _exchange(self, conn: Connection, client: Client, token: RefreshToken) -> tuple[Verdict, store.Grant | None]:
        grant = store.lock_oauth_grant(conn, token.session_id)
        if grant is None or grant.client_id != client.id:
            return Verdict.UNKNOWN, None
        self._require_no_more(grant)
        own = store.lock_session(conn, grant.session_id) if grant.opens_session and grant.session_id else None
        if own is not None and has_expired(own):
            return Verdict.EXPIRED, None
        verdict = judge(
            token.number,
            issued=grant.refresh_issued,
            accepted=grant.refresh_accepted,
            age_s=grant.age_s,
            reuse_interval_s=here.settings.refresh_reuse_interval_s,
        )
        if verdict is Verdict.REUSE:
            _end_family(conn, grant, client)
        elif verdict in NEW_NUMBER:
            issued = grant.refresh_issued + 1
            lifetime_s = lifetime_of(client)
            store.update_oauth_grant_refreshed(
                conn, grant.id, issued=issued, accepted=token.number, lifetime_s=lifetime_s
            )
            if grant.opens_session and grant.session_id is not None:
                store.touch_session(conn, grant.session_id)
        is_good = verdict in NEW_NUMBER or verdict is Verdict.REPEAT
        return verdict, store.get_oauth_grant(conn, grant.id) if is_good else None

    def _require_no_more(self, grant: store.Grant) -> None:
        """Before anything is used up. Raise InvalidScopeError or InvalidTargetError for more than was granted."""
        if not set((self.request.payload.scope or "").split()) <= set(grant.scopes):
            raise InvalidScopeError()
        if self.request.payload.data.get("resource", grant.resource) != grant.resource:
            raise InvalidTargetError("The grant is for another resource.")

    def _validate_token_scope(self, token: store.Grant) -> None:
        """Judged before the token was used."""

    def authenticate_user(self, refresh_token: store.Grant) -> rows.User | None:
        with here.db.transaction() as conn:
            return store.get_user(conn, refresh_token.user_id)

    def issue_token(self, user: rows.User, refresh_token: store.Grant) -> dict[str, Any]:
        scopes = (self.request.payload.scope or refresh_token.get_scope()).split()
        return tokens_of(refresh_token, self.request.client, user, scopes, number=refresh_token.refresh_issued)

    def revoke_old_credential(self, refresh_token: store.Grant) -> None:
        """It was exchanged when it was presented."""


def _end_family(conn: Connection, grant: store.Grant, client: Client) -> None:
    """Two hold tokens of this grant, and nobody knows which one is the client: it ends for both, with a mail."""
    end_grant(conn, grant, "refresh_reused")
    owner = store.get_user(conn, grant.user_id)
    if owner is not None and owner.email_confirmed_at is not None:
        mails.tell_of_reuse(conn, owner, client.name)


provider.register_grant(RefreshGrant)
