"""Refusals only a gateway makes, beside those of `shared.errors`.

Problem ─┬─ MethodNotAllowed 405      ├─ RateLimited 429
         ├─ RequestTimeout 408        ├─ HeadersTooLarge 431
         ├─ TargetTooLong 414         ├─ NotSupported 501
         ├─ ExpectationFailed 417     ├─ BadGateway 502
         └─ UpgradeRequired 426       └─ GatewayTimeout 504
"""

from collections.abc import Iterable
from typing import Any

from shared.errors import BadRequest, Forbidden, Problem, TooManyRequests


class MethodNotAllowed(Problem):
    """The route exists, but not for this method; `Allow` lists those it has (RFC 9110, section 15.5.6)."""

    status, title, code = 405, "Method Not Allowed", "method_not_allowed"

    def __init__(self, allowed: Iterable[str]) -> None:
        super().__init__("This method is not allowed here.", headers={"Allow": ", ".join(sorted(allowed))})


class RequestTimeout(Problem):
    status, title, code = 408, "Request Timeout", "request_timeout"


class TargetTooLong(Problem):
    status, title, code = 414, "URI Too Long", "uri_too_long"


class ExpectationFailed(Problem):
    status, title, code = 417, "Expectation Failed", "expectation_failed"


class RateLimited(TooManyRequests):
    """A limit of the route table; its name is given as draft-ietf-httpapi-ratelimit-headers asks for."""

    code = "rate_limited"

    def __init__(self, limit: str, retry_after_s: int) -> None:
        super().__init__(f"Too many requests: the limit {limit} is reached.", retry_after_s=retry_after_s)
        self.limit = limit

    def document(self, request_id: str | None) -> dict[str, Any]:
        return {**super().document(request_id), "violated-policies": [self.limit]}


class UpgradeRequired(Problem):
    """The app is too old. `Upgrade` names the version wanted (RFC 9110, section 15.5.22), the body where it is."""

    status, title, code = 426, "Upgrade Required", "app_too_old"

    def __init__(self, minimum_version: str, store_url: str) -> None:
        detail = f"This version of the app is too old; it needs {minimum_version} or a later one."
        super().__init__(detail, headers={"Upgrade": f"app/{minimum_version}", "Connection": "upgrade"})
        self.minimum_version, self.store_url = minimum_version, store_url

    def document(self, request_id: str | None) -> dict[str, Any]:
        more = {"minimum_version": self.minimum_version, "store_url": self.store_url}
        return {**super().document(request_id), **more}


class HeadersTooLarge(Problem):
    status, title, code = 431, "Request Header Fields Too Large", "headers_too_large"


class NotSupported(Problem):
    status, title, code = 501, "Not Implemented", "not_supported"


class BadGateway(Problem):
    status, title, code = 502, "Bad Gateway", "upstream_protocol_error"


class GatewayTimeout(Problem):
    status, title, code = 504, "Gateway Timeout", "upstream_timeout"


def no_upgrade() -> NotSupported:
    """A 501 for a request to change to a protocol that is not spoken here; the connection is closed after it."""
    return NotSupported("This connection cannot change its protocol.", code="upgrade_not_supported")


def malformed(detail: str) -> BadRequest:
    """A 400 for a request that is not acceptable HTTP; the connection is closed after it."""
    return BadRequest(detail, code="malformed_request")


def insufficient_scope(wanted: Iterable[str]) -> Forbidden:
    """A 403 that names the scopes the route asks for (RFC 6750, section 3.1)."""
    scopes = " ".join(sorted(wanted))
    challenge = f'Bearer error="insufficient_scope", scope="{scopes}"'
    detail = f"The token lacks a scope this needs: {scopes}."
    return Forbidden(detail, code="insufficient_scope", headers={"WWW-Authenticate": challenge})


def insufficient_aal() -> Forbidden:
    """A 403 that tells a client to ask for the second factor and come again (the challenge is RFC 9470's)."""
    detail = "This needs a session that has shown a second factor."
    challenge = f'Bearer error="insufficient_user_authentication", error_description="{detail}", acr_values="aal2"'
    return Forbidden(detail, code="insufficient_aal", headers={"WWW-Authenticate": challenge})
