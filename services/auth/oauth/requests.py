"""Requests that wait for consent in the app's own page, as GoTrue has them: `/oauth/authorizations/{id}`."""

import secrets

from werkzeug.datastructures import MultiDict

from services.auth import store
from services.auth.oauth.provider import Asked
from services.auth.parts import here
from services.auth.places import with_query

LIFETIME_S = 600


def keep_request(asked: Asked) -> str:
    """Keep a request that was found in order; the address of the page that asks about it."""
    request_id = secrets.token_urlsafe(24)
    with here.db.transaction() as conn:
        store.insert_oauth_request(conn, request_id, asked.client.id, asked.payload.data, lifetime_s=LIFETIME_S)
    return with_query(here.settings.oauth_consent_url, {"authorization_id": request_id})


def asked_again(kept: store.PendingRequest) -> Asked:
    """The request as it came."""
    return Asked("GET", MultiDict(kept.parameters))
