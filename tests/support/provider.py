"""Providers of accounts on loopback that answer as Apple, Google or a company's own do: real keys, real HTTP."""

import base64
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from shared.ids import new_id

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Key:
    kid: str
    private: Any
    algorithm: str

    @property
    def public(self) -> dict[str, Any]:
        jwk = json.loads(get_default_algorithms()[self.algorithm].to_jwk(self.private.public_key()))
        return {**jwk, "kid": self.kid, "alg": self.algorithm, "use": "sig"}


def new_key(algorithm: str = "ES256") -> Key:
    made = {"ES256": lambda: ec.generate_private_key(ec.SECP256R1()), "RS256": lambda: RSA_KEY}
    private = made[algorithm]() if algorithm in made else ed25519.Ed25519PrivateKey.generate()
    return Key(f"{algorithm}-{secrets.token_hex(4)}", private, algorithm)


@dataclass
class Call:
    """A request to an endpoint that is not for browsers."""

    path: str
    form: dict[str, str]
    authorization: str | None


@dataclass
class Realm:
    """One issuer. `token` signs what it would say; `person` is who logs in when a browser comes."""

    url: str
    keys: list[Key] = field(default_factory=lambda: [new_key()])
    person: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    fetches: list[str] = field(default_factory=list)
    refresh_token: str = ""
    is_down: bool = False
    holds: threading.Event | None = None  # until it is set, nothing is answered
    names_itself: bool = True
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def token(
        self, audience: Any, *, key: Key | None = None, headers: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """Claims given as None are left out."""
        now = int(time.time())
        said = {"iss": self.url, "aud": audience, "sub": str(new_id()), "iat": now, "exp": now + 600, **claims}
        signer = key or self.keys[-1]
        return jwt.encode(
            {name: value for name, value in said.items() if value is not None},
            signer.private,
            algorithm=signer.algorithm,
            headers={"kid": signer.kid, **(headers or {})},
        )

    def metadata(self) -> dict[str, Any]:
        names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        names |= {"userinfo_endpoint": "userinfo", "revocation_endpoint": "revoke"}
        addresses = {name: f"{self.url}/{path}" for name, path in names.items()}
        return {
            "issuer": self.url,
            "authorization_response_iss_parameter_supported": self.names_itself,
            **addresses,
            **self.more,
        }

    def fetch(self, path: str) -> tuple[int, Any]:
        self.fetches.append(path)
        if path == "/.well-known/openid-configuration":
            return 200, self.metadata()
        return (200, {"keys": [key.public for key in self.keys]}) if path == "/keys" else (404, {})

    def consent(self, query: dict[str, str]) -> tuple[dict[str, str], str, str]:
        """What the person's browser brings back: (parameters, redirect_uri, response_mode)."""
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        named = {"iss": self.url} if self.names_itself else {}
        return {"code": code, "state": query["state"], **named}, query["redirect_uri"], query.get("response_mode", "")

    def take(self, call: Call) -> tuple[int, Any]:
        self.calls.append(call)
        if call.path in self.answers:
            return self.answers[call.path]
        if call.path == "/revoke":
            return 200, {}
        if call.path == "/userinfo":
            return 200, self.person
        return self._exchange(call.form)

    def _exchange(self, form: dict[str, str]) -> tuple[int, Any]:
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None:
            return 400, {"error": "invalid_grant"}
        if "code_challenge" in asked:
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            met = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if met != asked["code_challenge"] or form.get("redirect_uri") != asked["redirect_uri"]:
                return 400, {"error": "invalid_grant"}
        access_token = secrets.token_urlsafe(16)
        nonce = {"nonce": asked["nonce"]} if "nonce" in asked else {}
        id_token = self.token(asked["client_id"], at_hash=at_hash(access_token), **nonce, **self.person)
        answer = {"access_token": access_token, "token_type": "Bearer", "expires_in": 3600, "id_token": id_token}
        return 200, answer | ({"refresh_token": self.refresh_token} if self.refresh_token else {})

    def device_code(self, audience: str) -> str:
        """An authorization code that a device got."""
        code = secrets.token_urlsafe(16)
        self._codes[code] = {"client_id": audience}
        return code


def at_hash(access_token: str, algorithm: str = "sha256") -> str:
    digest = hashlib.new(algorithm, access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


class Providers:
    """`providers.realm("apple")` is an issuer of its own; a browser that comes to it is sent back at once."""

    def __init__(self) -> None:
        self._realms: dict[str, Realm] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def realm(self, name: str) -> Realm:
        """A fresh one at each call, with keys of its own."""
        name = f"{name}-{secrets.token_hex(4)}"
        self._realms[name] = Realm(f"{self.url}/{name}")
        return self._realms[name]

    def visit(self, url: str) -> tuple[dict[str, str], str, str]:
        """A browser at the authorization endpoint: see `Realm.consent`."""
        parts = urlsplit(url)
        assert parts.path.endswith("/authorize") and url.startswith(f"{self.url}/"), url
        return self._realms[parts.path.split("/")[1]].consent(dict(parse_qsl(parts.query)))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        providers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                realm, path = self._find()
                if path == "/userinfo":
                    self._answer(realm, realm.take(Call(path, {}, self.headers["Authorization"])))
                else:
                    self._answer(realm, realm.fetch(path))

            def do_POST(self) -> None:
                realm, path = self._find()
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                self._answer(
                    realm, (503, {}) if realm.is_down else realm.take(Call(path, form, self.headers["Authorization"]))
                )

            def _find(self) -> tuple[Realm, str]:
                _, name, path = self.path.split("/", 2)
                return providers._realms[name], f"/{path}"

            def _answer(self, realm: Realm, answer: tuple[int, Any]) -> None:
                if realm.holds is not None:
                    realm.holds.wait(30)
                status, body = (503, {}) if realm.is_down else answer
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                if 300 <= status < 400:
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def as_query(parameters: dict[str, str]) -> str:
    return urlencode(parameters)
