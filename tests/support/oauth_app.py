"""An app on this machine that logs people in at the provider of a whole platform, and hears what becomes of it."""

import base64
import hashlib
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from tests.support.platform import Platform


@dataclass
class OAuthApp:
    """A public client; its place is a port of its own on loopback (RFC 8252, section 7.3)."""

    url: str
    client_id: str
    place: str
    heard: "Queue[dict[str, str]]" = field(default_factory=Queue)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def request(self) -> str:
        """The address to open in a browser."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.place,
            "scope": "openid email",
            "state": "the state",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self.url}/auth/oauth/authorize?{urlencode(asked)}"

    def userinfo(self) -> Any:
        """Who came back, by the tokens for the code that they brought."""
        told = self.heard.get(timeout=15)
        assert told["state"] == "the state", told
        form = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "code": told["code"],
            "redirect_uri": self.place,
            "code_verifier": self.verifier,
        }
        tokens = requests.post(f"{self.url}/auth/oauth/token", data=form, timeout=10).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        return requests.get(f"{self.url}/auth/oauth/userinfo", headers=headers, timeout=10).json()


@contextmanager
def oauth_app(platform: Platform) -> Iterator[OAuthApp]:
    """Registered as the operator does it."""
    heard: Queue[dict[str, str]] = Queue()

    class Place(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/back?"):  # browsers also ask for an icon
                heard.put(dict(parse_qsl(urlsplit(self.path).query)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"You can go back to the app.")

        def log_message(self, *_: object) -> None:
            """Nothing: the test sees what came."""

    add = ("oauth", "clients", "add", "Photo Prints", "--public", "--redirect-uri", "http://127.0.0.1/back")
    added = platform.run("deploy.local", "run", "auth", sys.executable, "-m", "services.auth", *add)
    assert added.returncode == 0, added.stderr
    client_id = added.stdout.split("client_id=")[1].split()[0]
    with ThreadingHTTPServer(("127.0.0.1", 0), Place) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = platform.url("gateway").replace("127.0.0.1", "localhost")
        yield OAuthApp(url, client_id, f"http://127.0.0.1:{server.server_port}/back", heard)
        server.shutdown()
