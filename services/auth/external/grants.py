"""`POST /token?grant_type=id_token`: an ID token that the device got from the provider itself."""

from flask import current_app, g, request

from services.auth import bodies, models, store
from services.auth.assurance import require_caller, require_step_up
from services.auth.bodies import need
from services.auth.external import accounts, id_tokens, kept_tokens
from services.auth.external.carried import METHOD
from services.auth.external.id_tokens import Account
from services.auth.external.provider import Provider
from services.auth.impersonated import refuse_impersonated
from services.auth.metrics import EXTERNAL_LOG_INS
from services.auth.parts import here
from services.auth.sessions import open_session, session_answer
from shared.errors import BadRequest, Problem, ValidationFailed
from shared.tokens import bearer


def by_id_token(body: bodies.Grant) -> models.Session:
    """A session for whom the token speaks of; with `link_identity`, the caller's own, which the account has joined."""
    provider = provider_of(body)
    try:
        answer = _link(provider, body) if body.link_identity else _log_in(provider, body)
    except Problem as problem:
        EXTERNAL_LOG_INS.labels(provider.name, problem.code).inc()
        raise
    EXTERNAL_LOG_INS.labels(provider.name, "succeeded").inc()
    return answer


def provider_of(body: bodies.Grant) -> Provider:
    """By name, or by issuer and client id as older clients say it. Raise BadRequest."""
    if not body.provider and not (body.issuer and body.client_id):
        raise ValidationFailed("provider or client_id and issuer required")
    for provider in here.providers.values():
        if provider.name == body.provider or (not body.provider and provider.settings.issuer == body.issuer):
            return provider
    if body.provider in ("apple", "google"):
        raise BadRequest(f"Provider {body.provider} is not enabled", code="provider_disabled")
    raise ValidationFailed("Custom OIDC provider not allowed")


def _log_in(provider: Provider, body: bodies.Grant) -> models.Session:
    account = _verified(provider, body)
    refresh_token = kept_tokens.exchange(provider, account, body.authorization_code)
    accounts.ask_hook(account)
    with here.db.transaction() as conn:
        user = accounts.enter(conn, account)
        kept_tokens.keep(conn, account, refresh_token)
        session = open_session(conn, user, METHOD, provider=provider.name)
    return session_answer(user, session)


def _link(provider: Provider, body: bodies.Grant) -> models.Session:
    g.claims = current_app.extensions["verifier"].verify(bearer(request.headers.get("Authorization")))
    refuse_impersonated()
    account = _verified(provider, body)
    refresh_token = kept_tokens.exchange(provider, account, body.authorization_code)
    with here.db.transaction() as conn:
        store.lock_identity(conn, account.provider, account.subject)  # before the person, as in `enter`
        person = require_caller(conn, locked=True, guests=True)
        require_step_up(person, "link an identity")
        user = accounts.link(conn, person.user, account, session_id=person.session.id)
        kept_tokens.keep(conn, account, refresh_token)
    return session_answer(user, person.session)


def _verified(provider: Provider, body: bodies.Grant) -> Account:
    token = need(body.id_token, "id_token").get_secret_value()
    nonce = body.nonce.get_secret_value() if body.nonce else None
    access_token = body.access_token.get_secret_value() if body.access_token else None
    account = id_tokens.verify(provider, token, nonce=nonce, access_token=access_token)
    if body.client_id and body.client_id != account.client_id:
        raise id_tokens.refusal("Unacceptable audience in id_token")
    return account
