"""What a handler asks before it does anything else: that the request comes with a captcha, where one is asked for."""

import hashlib
import time
from uuid import UUID

from flask import request

from services.auth import captcha, store
from services.auth.bodies import CaptchaBody
from services.auth.devices import device_of
from services.auth.parts import here

KEPT_S = 600  # both providers forget a token sooner


def require_captcha(body: CaptchaBody) -> None:
    """Call it while no connection is held. Raise BadRequest(captcha_failed), or Unavailable(captcha_unavailable)."""
    require_solved(body.captcha_token)


def require_solved(token: str) -> None:
    """The same of a token. It is good once: both providers see to that, and so does this service, by what it keeps of
    it (a hash)."""
    if here.captcha is None or not here.captcha.require(token, device_of(request).ip):
        return
    token_id = UUID(bytes=hashlib.sha256(token.encode()).digest()[:16])
    with here.db.single() as conn:
        if not store.use_challenge(conn, token_id, expires_at=time.time() + KEPT_S):
            raise captcha.refused("timeout-or-duplicate")
