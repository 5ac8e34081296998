"""Google's OAuth token endpoint for service accounts (RFC 7523): a signed assertion in, a bearer token out."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import cast
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deploy.local.simulators.credentials import Credentials
from deploy.local.simulators.faults import Fault, Faults
from deploy.local.simulators.http import Request, Response, json_response

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = {"https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"}
GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"  # what google-auth writes, whatever the token_uri
MAX_ASSERTION_S = 3_600
SKEW_S = 300
_SHORT_LIVED = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)


class Refused(Exception):
    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.response = json_response({"error": error, "error_description": description}, status)


class OAuth:
    """Access tokens carry their own end and a MAC, so they outlive a restart and nothing has to be remembered."""

    def __init__(self, credentials: Credentials, faults: Faults, ttl_s: int) -> None:
        account = json.loads(credentials.service_account_file.read_text())
        key = cast(RSAPrivateKey, load_pem_private_key(account["private_key"].encode(), None))
        self._public_key = key.public_key()
        self._mac_key = hashlib.sha256(account["private_key"].encode()).digest()
        self._credentials, self._faults, self._ttl_s = credentials, faults, ttl_s

    async def token(self, request: Request) -> Response:
        fault = self._faults.take("oauth", self._credentials.client_email)
        if fault:
            if fault.kind == "delay":
                await asyncio.sleep(fault.delay_s)
            else:
                return _fault_response(fault)
        form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        try:
            scope = self._check(form)
        except Refused as refused:
            return refused.response
        return json_response(
            {"access_token": self.issue(scope), "expires_in": self._ttl_s - 1, "token_type": "Bearer"},
            headers=(("cache-control", "no-cache, no-store"),),
        )

    def issue(self, scope: str = "") -> str:
        payload = json.dumps([int(time.time()) + self._ttl_s, scope]).encode()
        return "ya29." + _b64(payload) + "." + _b64(self._mac(payload))

    def problem_with(self, access_token: str) -> str:
        """Nothing for a good token, else Google's ErrorInfo reason."""
        try:
            prefix, payload, mac = access_token.split(".")
            known = base64.urlsafe_b64decode(payload + "==")
            given = base64.urlsafe_b64decode(mac + "==")
        except ValueError:
            return "ACCESS_TOKEN_TYPE_UNSUPPORTED"
        if prefix != "ya29" or not hmac.compare_digest(given, self._mac(known)):
            return "ACCESS_TOKEN_TYPE_UNSUPPORTED"
        return "" if json.loads(known)[0] > time.time() else "ACCESS_TOKEN_EXPIRED"

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._mac_key, payload, "sha256")

    def _check(self, form: dict[str, str]) -> str:
        if form.get("grant_type") != GRANT_TYPE:
            raise Refused("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")
        if not form.get("assertion"):
            raise Refused("invalid_request", "Missing required parameter: assertion")
        try:
            claims = jwt.decode(
                form["assertion"],
                self._public_key,
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False},
            )
        except jwt.InvalidSignatureError:
            raise Refused("invalid_grant", "Invalid JWT Signature.") from None
        except jwt.InvalidTokenError:
            raise Refused("invalid_grant", "Invalid JWT: Failed to parse the JWT.") from None
        if claims.get("iss") != self._credentials.client_email:
            raise Refused("invalid_grant", "Invalid grant: account not found")
        if claims.get("aud") not in (self._credentials.token_uri, GOOGLE_AUDIENCE):
            raise Refused("invalid_grant", f"Failed audience check. The right audience is {GOOGLE_AUDIENCE}")
        issued_at, expires_at, now = claims.get("iat"), claims.get("exp"), time.time()
        if not isinstance(issued_at, int | float) or not isinstance(expires_at, int | float):
            raise Refused("invalid_grant", _SHORT_LIVED)
        if issued_at > now + SKEW_S or expires_at <= now or expires_at - issued_at > MAX_ASSERTION_S:
            raise Refused("invalid_grant", _SHORT_LIVED)
        scope = str(claims.get("scope", ""))
        if not scope:
            raise Refused("invalid_scope", "Missing required claim: scope")
        if not set(scope.split()) <= SCOPES:
            raise Refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return scope


def _fault_response(fault: Fault) -> Response:
    if fault.kind == "reset":
        return Response(is_reset=True)
    body = {"error": "internal_failure" if fault.status >= 500 else "invalid_grant", "error_description": fault.reason}
    return json_response(body, fault.status, fault.retry_after_header)


def _b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
