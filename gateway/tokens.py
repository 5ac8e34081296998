"""Verified tokens, kept until they expire: a token costs one verification, then one look-up."""

import asyncio
import contextlib
import time
from collections.abc import Mapping

from jwt import PyJWK

from gateway.grants import Grant
from gateway.issuers import Issuer, IssuerEntry, claimed_issuer
from gateway.revocations import RevocationSet
from shared.errors import Unauthorized, Unavailable
from shared.tokens import AAL2, LEEWAY_S, MAX_TOKEN_BYTES, Claims, KeySet, Verifier, missing, refusal


class Tokens:
    """Checks Authorization headers. Nothing here waits: without the key, `check` returns None and `fetch_keys` gets it.

    The cache is two generations: a full young one becomes the old one, and what is still in use is carried over.
    """

    def __init__(self, verifier: Verifier, revoked: RevocationSet, size: int) -> None:
        self.verifier = verifier
        self.revoked = revoked
        self.verified = 0
        self._half = max(1, size // 2)
        self._young: dict[bytes, Grant] = {}
        self._old: dict[bytes, Grant] = {}
        self._issuers: dict[str, Issuer] = {}  # by what their tokens say; auth is not among them
        self._attended: set[Verifier] = set()
        self._fetching: dict[KeySet, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def check(self, authorization: bytes) -> Grant | None:
        """The grant of this header's token, or None if the key must be fetched first. Raise Unauthorized otherwise."""
        grant = self._young.get(authorization)
        if grant is None:
            grant = self._old.get(authorization) or self._verify(authorization)
            if grant is None:
                return None
            self._keep(authorization, grant)
        if grant.expires_at <= time.time():
            self._young.pop(authorization, None)
            self._old.pop(authorization, None)
            raise refusal("token_expired", "The token has expired.")
        if grant.session_id in self.revoked:
            raise refusal("session_revoked", "The session of this token has ended.")
        return grant

    def _keep(self, authorization: bytes, grant: Grant) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[authorization] = grant

    def _verify(self, authorization: bytes) -> Grant | None:
        token = bearer_token(authorization)
        issuer, verifier = self._issuer_of(token)
        key: PyJWK | None = verifier.keys.known(verifier.kid(token))
        if key is None:
            return None
        self.verified += 1
        return own_grant(verifier.check(token, key)) if issuer is None else issuer.grant(verifier.decode(token, key))

    def _issuer_of(self, token: str) -> tuple[Issuer | None, Verifier]:
        """Who is to verify the token; None for auth, also for what says nothing that can be understood."""
        issuer = self._issuers.get(claimed_issuer(token)) if self._issuers else None
        return issuer, self.verifier if issuer is None else issuer.verifier

    def check_after_fetch(self, authorization: bytes) -> Grant:
        """`check` once `fetch_keys` is done: a key that is still not there is not the issuer's."""
        grant = self.check(authorization)
        if grant is None:
            raise refusal("token_unknown_key", "The token was signed with a key that is not known.")
        return grant

    def fetch_keys(self, authorization: bytes) -> asyncio.Future[None]:
        """Fetch the public keys of the token's issuer in a thread; all who wait share one fetch.

        Raise Unavailable if there are none.
        """
        keys = self._issuer_of(bearer_token(authorization))[1].keys
        fetching = self._fetching.get(keys)
        if fetching is None or fetching.done():
            fetching = self._fetching[keys] = asyncio.ensure_future(asyncio.to_thread(keys.refresh))
        return fetching

    def trust(self, entries: Mapping[str, IssuerEntry]) -> None:
        """From now on accept what these issuers have signed, beside auth; what was verified for others is forgotten."""
        known = {issuer.name: issuer for issuer in self._issuers.values()}
        trusted = [
            known[name] if name in known and known[name].entry == entry else Issuer(name, entry)
            for name, entry in entries.items()
        ]
        issuers = {issuer.entry.issuer: issuer for issuer in trusted if issuer.entry.issuer != self.verifier.issuer}
        if issuers != self._issuers:
            self._issuers = issuers
            self._young, self._old = {}, {}

    def unattended(self) -> list[Verifier]:
        """The verifiers whose keys nobody keeps fresh yet; whoever asks is to do that."""
        found = self._verifiers() - self._attended
        self._attended |= found
        return list(found)

    def _verifiers(self) -> set[Verifier]:
        return {self.verifier, *(issuer.verifier for issuer in self._issuers.values())}

    async def keep_keys_fresh(self, verifier: Verifier, every_s: float) -> None:
        """Fetch again long before the keys are stale, so that no request waits for it; while the issuer is trusted."""
        keys = verifier.keys
        while verifier in self._verifiers():
            before = keys.kids
            with contextlib.suppress(Unavailable):
                await asyncio.to_thread(keys.refresh, force=True)
            if not before <= keys.kids:  # what a withdrawn key has signed is good no longer
                self._young, self._old = {}, {}
            await asyncio.sleep(min(every_s, max(1.0, keys.fresh_for_s - 5)))
        self._attended.discard(verifier)
        self._fetching.pop(keys, None)


def own_grant(claims: Claims) -> Grant:
    """What a token of auth stands for. Raise Unauthorized if it could not be revoked."""
    if claims.session_id is None and claims.role != "service":
        raise refusal("token_malformed", "The token names no session.")
    session_id = str(claims.session_id) if claims.session_id else ""
    scopes = frozenset(claims.scope.split())
    actor_id = str(claims.act.sub) if claims.act else ""
    return Grant(str(claims.user_id), session_id, scopes, claims.exp + LEEWAY_S, claims.aal == AAL2, actor_id=actor_id)


def bearer_token(authorization: bytes) -> str:
    """The token of an Authorization header (RFC 6750). Raise Unauthorized without one, or for one that is no token."""
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise missing()
    if len(token) > MAX_TOKEN_BYTES:
        raise refusal("token_malformed", "The token is too long.")
    try:
        return token.strip().decode("ascii")
    except UnicodeDecodeError as error:
        raise _not_a_token() from error


def _not_a_token() -> Unauthorized:
    return refusal("token_malformed", "The token is not a JWT.")
