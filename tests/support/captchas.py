"""A captcha provider on loopback that speaks `siteverify`: a form in, JSON out; a token is good once."""

import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

SECRET = "0x-the-secret-of-the-site"


class CaptchaProvider:
    """`solved` are the tokens that somebody solved and nobody has used; `asked` are the forms that came."""

    def __init__(self) -> None:
        self.solved: set[str] = set()
        self.asked: list[dict[str, str]] = []
        self.status, self.pause_s, self.forgets = 200, 0.0, True
        self.more: dict[str, Any] = {"hostname": "app.example.com", "action": "login"}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                time.sleep(provider.pause_s)
                data = json.dumps(provider._judge(form)).encode()
                self.send_response(provider.status)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.send_header("Content-Length", str(len(data)))
                with suppress(OSError):  # whoever asked did not wait for it
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/siteverify"

    def solve(self, token: str) -> dict[str, dict[str, str]]:
        """A person has solved the captcha; the member of a body as auth-js sends it."""
        self.solved.add(token)
        return carrying(token)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _judge(self, form: dict[str, str]) -> dict[str, Any]:
        self.asked.append(form)
        if form.get("secret") != SECRET:
            return {"success": False, "error-codes": ["invalid-input-secret"]}
        if form.get("response") not in self.solved:
            return {"success": False, "error-codes": ["invalid-input-response"]}
        if self.forgets:
            self.solved.discard(form["response"])
        return {"success": True, "error-codes": [], **self.more}


def carrying(token: str) -> dict[str, dict[str, str]]:
    return {"gotrue_meta_security": {"captcha_token": token}}
