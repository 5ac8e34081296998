"""Captchas that the app shows, judged by Turnstile or hCaptcha (`siteverify`), which speak the same protocol.

Where people go on with what they hold already (a refresh token, the code of a link), none is asked for.
"""

import logging
import threading
from typing import Any, Self
from urllib.parse import urlencode

from services.auth.metrics import CAPTCHAS
from services.auth.protection_settings import ProtectionSettings
from services.auth.webhooks import HookFailed, post
from shared.errors import BadRequest, Unavailable

log = logging.getLogger(__name__)

MAX_TOKEN = 8_192


class Captcha:
    """No more than `at_once` requests wait for the provider: when it is slow, the others go on."""

    def __init__(self, settings: ProtectionSettings, at_once: int) -> None:
        self._settings = settings
        self._places = threading.BoundedSemaphore(at_once)
        self._hostnames = frozenset(filter(None, (name.strip() for name in settings.captcha_hostnames.split(","))))

    @classmethod
    def of(cls, settings: ProtectionSettings, *, at_once: int) -> Self | None:
        """None where no captcha is asked for."""
        return cls(settings, at_once) if settings.captcha_provider else None

    def require(self, token: str, address: str | None) -> bool:
        """Have the provider judge what the app at this address says it solved; call it while no connection is held.

        False if the provider failed, and that is passed over (CAPTCHA_FAIL_OPEN). Raise BadRequest(captcha_failed),
        or Unavailable(captcha_unavailable).
        """
        if not token or len(token) > MAX_TOKEN:
            CAPTCHAS.labels("missing").inc()
            raise refused("no captcha_token found" if not token else "invalid-input-response")
        try:
            answer = self._ask(token, address)
        except HookFailed as error:
            return self._pass_over(error)
        reason = self._reason_to_refuse(answer)
        CAPTCHAS.labels("refused" if reason else "solved").inc()
        if reason:
            raise refused(reason)
        return True

    def _ask(self, token: str, address: str | None) -> dict[str, Any]:
        form = {"secret": self._settings.captcha_secret.get_secret_value(), "response": token}
        body = urlencode(form | ({"remoteip": address} if address else {})).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Gatehouse"}
        if not self._places.acquire(blocking=False):
            raise HookFailed("is being waited for by too many")
        try:
            return post(self._settings.siteverify_url, body, headers, timeout_s=self._settings.captcha_timeout_s)
        finally:
            self._places.release()

    def _pass_over(self, error: HookFailed) -> bool:
        CAPTCHAS.labels("passed_over" if self._settings.captcha_fail_open else "failed").inc()
        log.warning("the captcha provider %s", error)
        if not self._settings.captcha_fail_open:
            detail = "Captchas cannot be judged just now."
            raise Unavailable(detail, code="captcha_unavailable", retry_after_s=5) from error
        return False

    def _reason_to_refuse(self, answer: dict[str, Any]) -> str:
        if answer.get("success") is not True:
            said = answer.get("error-codes")
            codes = [code for code in said if isinstance(code, str)] if isinstance(said, list) else []
            if any("secret" in code for code in codes):
                log.error("the captcha provider does not know CAPTCHA_SECRET")
            return ", ".join(codes)[:200] or "not solved"
        if self._hostnames and answer.get("hostname") not in self._hostnames:
            return "hostname-mismatch"
        if self._settings.captcha_action and answer.get("action") != self._settings.captcha_action:
            return "action-mismatch"
        return ""


def refused(reason: str) -> BadRequest:
    return BadRequest(f"captcha protection: request disallowed ({reason})", code="captcha_failed")
