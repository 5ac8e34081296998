"""What anyone may read: keys, settings, health."""

from flask import Response, after_this_request

from services.auth import models
from services.auth.keys import JWKS_MAX_AGE_S
from services.auth.parts import here
from shared.routing import Blueprint, public

bp = Blueprint("discovery", __name__, url_prefix="/auth/v1")


@bp.get("/.well-known/jwks.json")
@public
def list_public_keys() -> models.PublicKeys:
    """The keys that verify access tokens (RFC 7517): the one that signs, the one that will, those that did."""

    @after_this_request
    def let_it_be_kept(response: Response) -> Response:
        response.headers["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE_S}"
        return response

    return models.PublicKeys(keys=here.keys.public_keys())


@bp.get("/settings")
@public
def get_settings() -> models.PublicSettings:
    """Which ways to log in there are."""
    return models.PublicSettings(
        external={
            "email": True,
            "phone": here.settings.sms_is_on,
            "anonymous_users": here.settings.guests,
            **dict.fromkeys(("apple", "google"), False),
            **dict.fromkeys(here.providers, True),
        },
        mailer_autoconfirm=here.settings.autoconfirm,
        sms_provider="hook" if here.settings.hook_send_sms_url else "",
    )


@bp.get("/health")
@public
def get_health() -> models.Health:
    """Who answers here; `/readyz` says how it is."""
    return models.Health()
