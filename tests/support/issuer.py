"""An issuer of access tokens for services under test: a real ES256 key, published as JWKS over HTTP on loopback."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from shared.ids import new_id


class Issuer:
    """`token(user_id)` signs what auth would sign; `extra_headers` and claims given as None are left out."""

    kid = "test-key"
    audience = "gatehouse"

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.fetches = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.issuer = f"{self.url}/auth/v1"
        self.jwks_url = f"{self.issuer}/.well-known/jwks.json"

    def jwks(self) -> dict[str, Any]:
        public = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": self.kid, "alg": "ES256", "use": "sig"}]}

    def token(
        self, user_id: UUID, *, sid: UUID | str | None = "", headers: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        now = int(time.time())
        payload: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": str(user_id),
            "sid": str(sid or new_id()) if sid is not None else None,
            "role": "authenticated",
            "scope": "",
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": now}],
            "is_anonymous": False,
            "iat": now,
            "exp": now + 600,
            "jti": str(new_id()),
            **claims,
        }
        payload = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(payload, self.key, algorithm="ES256", headers={"kid": self.kid, **(headers or {})})

    def service_token(self, scope: str) -> str:
        return self.token(new_id(), sid=None, role="service", scope=scope)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                body = json.dumps(issuer.jwks()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
