"""Wiring of the auth service's web process."""

from functools import partial

from flask import Flask

import shared.app
from services.auth import (
    admin,
    confirmation,
    discovery,
    factors,
    guests,
    history,
    identities,
    message_caps,
    passkeys,
    passwordless,
    recovery_codes,
    routes,
    sessions,
    users,
)
from services.auth.config import MIGRATIONS, AuthSettings
from services.auth.external import redirects
from services.auth.impersonated import refuse_impersonated
from services.auth.keys import OwnKeys
from services.auth.oauth import authorize, client_admin, consents, end_session, metadata
from services.auth.oauth import routes as oauth
from services.auth.pages import codes, forgotten, log_in, script, second_factor, sign_up
from services.auth.parts import Parts
from shared.migrations import require_current
from shared.settings import load


def create_app(settings: AuthSettings | None = None) -> Flask:
    """The WSGI application; settings come from the environment unless given."""
    settings = settings or load(AuthSettings)
    parts = Parts.of(settings)
    message_caps.publish(settings)
    app: Flask = shared.app.create_app(
        "auth",
        settings,
        title="Gatehouse auth",
        blueprints=[
            routes.bp,
            passwordless.bp,
            confirmation.bp,
            users.bp,
            guests.bp,
            identities.bp,
            redirects.bp,
            sessions.bp,
            history.bp,
            recovery_codes.bp,
            factors.bp,
            passkeys.bp,
            *admin.BLUEPRINTS,
            log_in.bp,
            script.bp,
            codes.bp,
            second_factor.bp,
            forgotten.bp,
            sign_up.bp,
            authorize.bp,
            end_session.bp,
            oauth.bp,
            metadata.bp,
            metadata.before_path,
            consents.bp,
            client_admin.bp,
            discovery.bp,
        ],
        ready={
            "postgres": parts.db.check,
            "schema": partial(require_current, parts.db, MIGRATIONS),
            "signing_key": parts.keys.check,
        },
    )
    app.before_request(refuse_impersonated)
    app.extensions["auth"] = parts
    app.extensions["verifier"].keys = OwnKeys(parts.keys)
    return app
