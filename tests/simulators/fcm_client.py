"""FCM as a sender calls it: a token from the OAuth endpoint, then plain requests that may be wrong."""

import time
from typing import Any

import jwt
import requests
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deploy.local.simulators import Credentials

DEVICE = "fMEQxFlVSUmZtn0sPqLwYz:APA91bHun4MxP5egoKMwt2KZFBaFUH"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class FcmClient:
    def __init__(self, credentials: Credentials, account: dict[str, Any]) -> None:
        self.credentials, self.account = credentials, account
        self.key = load_pem_private_key(account["private_key"].encode(), None, unsafe_skip_rsa_key_validation=True)
        self.session = requests.Session()
        self.session.trust_env = False

    def close(self) -> None:
        self.session.close()

    def exchange(self, key: str | None = None, algorithm: str = "RS256", **claims: Any) -> requests.Response:
        """Ask for an access token with these claims in place of the right ones; None leaves one out."""
        now = int(time.time())
        right = {
            "iss": self.account["client_email"], "scope": SCOPE, "aud": self.account["token_uri"], "iat": now,
            "exp": now + 3600, **claims,
        }  # fmt: skip
        payload = {name: value for name, value in right.items() if value is not None}
        assertion = jwt.encode(payload, key or self.key, algorithm=algorithm)
        form = {"grant_type": GRANT_TYPE, "assertion": assertion}
        return self.session.post(self.account["token_uri"], data=form, timeout=10)

    def access_token(self) -> str:
        return str(self.exchange().json()["access_token"])

    def post(self, body: Any, *, project: str = "", token: str | None = None, timeout: float = 10) -> requests.Response:
        access_token = self.access_token() if token is None else token
        headers = {"authorization": f"Bearer {access_token}"} if access_token else {}
        if isinstance(body, bytes):
            headers["content-type"] = "application/json"
        return self.session.post(
            f"{self.credentials.fcm_url}/{project or self.credentials.project_id}/messages:send",
            headers=headers,
            timeout=timeout,
            **({"data": body} if isinstance(body, bytes) else {"json": body}),
        )

    def send(self, token: str = DEVICE, **message: Any) -> requests.Response:
        return self.post({"message": {"token": token, **message}})
